"""Cost of a step between walls beside its Fourier transforms and its wall-normal matrix products alone; memory.

A right-hand side transforms 3 fields to the points and 5 back, and multiplies v (its value and slope), χ and what
comes back by matrices. A step adds what is between: products, factors, Runge–Kutta stages. Times are those of the
processor with one thread, the shortest of several, taken in turns: another job on the machine delays them less than
the clock on the wall.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from eddymark.closures.channel import (
    ChannelClosure,
    ChannelVreman,
    ChannelWale,
    DampedSmagorinsky,
    PlaneDynamicSmagorinsky,
)
from eddymark.memory import memory_growth
from eddymark.solvers.channel.flow import ChannelFlow
from eddymark.solvers.channel.grid import ChannelGrid
from eddymark.solvers.channel.initial_state import turbulent_start
from eddymark.solvers.channel.time_integration import INTEGRATORS, ChannelIntegration

GRIDS = [((16, 17, 16), 1), ((32, 33, 16), 1), ((32, 33, 16), 8), ((64, 65, 64), 1)]
SIDES = (4 * math.pi, 2.0, 4 * math.pi / 3)
STEP = 1e-4
STEPS = 4
"""Time steps per output interval."""
SECONDS, TURNS = 3.0, 3
"""How long the pieces of work on each grid take turns, and how often at least."""


def best_milliseconds(work: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the shortest processor time of each piece of work; they take turns, the first turn is not counted."""
    best = dict.fromkeys(work, math.inf)
    for piece in work.values():
        piece()
    begin, turn = time.perf_counter(), 0
    while turn < TURNS or time.perf_counter() - begin < SECONDS:
        for name, piece in work.items():
            start = time.process_time()
            piece()
            best[name] = min(best[name], 1000 * (time.process_time() - start))
        turn += 1
    return best


def pieces(flow: ChannelFlow, spectrum: Tensor) -> dict[str, Callable[[], object]]:
    """Return an output interval, and the transforms and the matrix products of its stages alone."""
    batch, space, modes = len(spectrum), flow.space, flow.modes
    stages = STEPS * INTEGRATORS[ChannelIntegration().integrator].order
    k_x, _, k_z = modes.modes
    velocity = torch.randn((batch, 3, k_x, flow.grid.points[1], k_z), dtype=spectrum.dtype)
    flux = torch.randn((batch, 5, *flow.grid.points), dtype=space.dtype)
    columns = list(velocity.unbind(1))
    integration = ChannelIntegration()

    def transforms() -> None:
        for _ in range(stages):
            space.to_physical(velocity)
            space.to_spectral(flux)

    def matrix_products() -> None:
        for _ in range(stages):
            modes.wall_normal_profiles(spectrum, 2)
            modes.vorticity_profiles(spectrum, 1)
            modes.project(columns, columns[:2])

    def step(closure: ChannelClosure | None = None) -> Tensor:
        return integration.advance(flow, spectrum, STEPS * STEP, steps=STEPS, closure=closure)

    viscosity = flow.viscosity
    closures: dict[str, Any] = {
        "damped smagorinsky": DampedSmagorinsky(space=space, viscosity=viscosity),
        "wale": ChannelWale(space=space),
        "vreman": ChannelVreman(space=space),
        "dynamic smagorinsky": PlaneDynamicSmagorinsky(space=space),
    }
    with_closures = {name: lambda closure=closure: step(closure) for name, closure in closures.items()}
    return {"step": step, "transforms": transforms, "products": matrix_products, **with_closures}


def print_row(points: tuple[int, int, int], batch: int, dtype: torch.dtype) -> None:
    """Compare on one grid in one precision."""
    flow = ChannelFlow(ChannelGrid(points, SIDES), viscosity=1 / 180, pressure_gradient=1.0, dtype=dtype)
    spectrum = turbulent_start(flow, bulk_velocity=15.0, seed=0, batch=batch)
    with torch.inference_mode():
        costs = best_milliseconds(pieces(flow, spectrum))
        _, growth = memory_growth(lambda: ChannelIntegration().advance(flow, spectrum, STEP, steps=1))
    step, transforms, products = (costs.pop(name) for name in ("step", "transforms", "products"))
    with_closures = " ".join(f"{cost / step:20.2f}" for cost in costs.values())
    name, parts = "x".join(map(str, points)), transforms + products
    one = STEPS * batch
    print(
        f"{name:>10} {batch:>5} {str(dtype)[6:]:>8} {step / one:9.2f} {transforms / one:9.2f} "
        f"{products / one:9.2f} {step / parts:6.2f} {growth / 1e6:7.0f} {with_closures}",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print("One step (3 right-hand sides) per trajectory, ms; ratio to transforms and products; LES over DNS step")
    print(
        f"{'grid':>10} {'batch':>5} {'dtype':>8} {'ms/step':>9} {'FFT, ms':>9} {'y, ms':>9} {'ratio':>6} {'MB':>7} "
        + " ".join(f"{name:>20}" for name in ("damped smagorinsky", "wale", "vreman", "dynamic smagorinsky"))
    )
    for points, batch in GRIDS:
        for dtype in (torch.float32, torch.float64):
            print_row(points, batch, dtype)


if __name__ == "__main__":
    main()
