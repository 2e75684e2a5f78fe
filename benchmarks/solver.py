"""Cost of one Navier–Stokes step beside its own Fourier transforms and the torch path; closures; memory.

Times are those of the processor with one thread, the shortest of several: another job on the machine delays them much
less than the clock on the wall.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from numba import njit

from eddymark.closures import CLOSURES
from eddymark.closures.build import build_closure
from eddymark.config.schema import Closure
from eddymark.filters import filter_width
from eddymark.grid import Grid
from eddymark.memory import memory_growth
from eddymark.solvers.compiled import kernels
from eddymark.solvers.compiled.stepping import compiled_steps
from eddymark.solvers.compiled.transforms import execute
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.time_integration import TimeIntegration

SHAPES = [
    ((16, 16, 16), 1),
    ((32, 32, 32), 1),
    ((64, 64, 64), 1),
    ((64, 64, 64), 8),
    ((128, 128, 128), 1),
    ((128, 128, 128), 8),
    ((32, 32), 8),
    ((256, 256), 1),
    ((256, 256), 8),
    ((512, 512), 1),
]
CLOSURE_GRIDS = [((16, 16, 16), 8), ((32, 32, 32), 1), ((32, 32), 8)]
MEMORY_SHAPES = [(64, 64, 64), (128, 128, 128), (256, 256, 256)]
INTEGRATION = TimeIntegration("runge_kutta_4", 1.0)
STEP = 1e-5


def best_milliseconds(*work: Callable[[], object], repeats: int = 7) -> list[float]:
    """Return the shortest processor time of each piece of work; they take turns, the first turn is not counted."""
    best = [math.inf] * len(work)
    for repeat in range(repeats + 1):
        for index, piece in enumerate(work):
            start = time.process_time()
            piece()
            if repeat:
                best[index] = min(best[index], 1000 * (time.process_time() - start))
    return best


def equations(points: tuple[int, ...], batch: int, dtype: torch.dtype) -> tuple[NavierStokes, torch.Tensor]:
    """Return a solver and a solenoidal state."""
    solver = NavierStokes(Grid(points, (2 * math.pi,) * len(points)), viscosity=0.01, dtype=dtype)
    noise = torch.randn((batch, len(points), *points), dtype=dtype)
    return solver, solver.space.project(solver.space.to_spectral(noise))


@njit
def transforms_of_plane(plans: Any, b: Any, half: int, kept: int) -> None:
    """The transforms of `kernels.plane_fluxes` without its products."""
    width = b.block.shape[1]
    for start in range(0, half, width):
        stop = min(half, start + width)
        for c in range(b.plane.shape[0]):
            kernels.pack(b.plane[c], b.block, start, stop, half, kept)
            execute(plans.last_inverse, b.block, b.velocity[c])
        for flux in range(b.fluxes.shape[0]):
            execute(plans.last_forward, b.product, b.transformed)
            kernels.unpack(b.transformed, b.fluxes[flux], start, stop, half, kept)


@njit
def transforms(plans: Any, b: Any, equations: Any, arrays: Any) -> None:
    """The transforms of one right-hand side: velocity to the grid points, as many fields back as there are fluxes."""
    row = b.plane.shape[1]
    half = b.padded.shape[0] // row // 2
    if b.plane.shape[0] == 2:
        for c in range(2):
            kernels.spread(arrays.ahead[c, 0], b.padded, kernels.low_modes(equations.rows, row))
            execute(plans.middle_inverse, b.padded, b.plane[c])
        transforms_of_plane(plans, b, half, equations.kept)
        for flux in range(2):
            execute(plans.middle_forward, b.fluxes[flux], b.slab[flux])
        return
    low = kernels.low_modes(equations.k_slab.size, row)
    kernels.inverse_first(plans, b, equations, arrays.ahead, arrays.lines, 0, equations.k_slab.size)
    for x in range(arrays.lines.shape[1]):
        for c in range(3):
            kernels.spread(arrays.lines[c, x], b.padded, low)
            execute(plans.middle_inverse, b.padded, b.plane[c])
        transforms_of_plane(plans, b, half, equations.kept)
        for flux in range(5):
            execute(plans.middle_forward, b.fluxes[flux], b.returned)
            kernels.gather(b.returned, arrays.fluxes[flux, x], low)
    for slab in range(equations.k_slab.size):
        for flux in range(5):
            execute(plans.first_forward, arrays.fluxes[flux, 0, slab * row :], b.slab[flux])


def print_steps() -> None:
    """Compiled steps against their transforms alone, the same plans and blocks, and against the torch path."""
    print("One RK4 step (4 right-hand sides) per trajectory against its Fourier transforms alone and the torch path")
    print(
        f"{'grid':>12} {'batch':>5} {'dtype':>8} {'ms/step':>9} {'FFTs, ms':>9} {'ratio':>6} {'torch':>9} {'gain':>6}"
    )
    for points, batch in SHAPES:
        for dtype in (torch.float32, torch.float64):
            solver, spectrum = equations(points, batch, dtype)
            steps = compiled_steps(solver)
            repeat = max(1, 2**17 // math.prod(points))

            def compiled(s: NavierStokes = solver, u: torch.Tensor = spectrum, n: int = repeat) -> None:
                with torch.inference_mode():
                    INTEGRATION.advance(s, u, n * STEP, steps=n)

            def alone(pieces: tuple[Any, ...] = steps.pieces(), n: int = 4 * batch * repeat) -> None:
                for _ in range(n):
                    transforms(*pieces)

            def by_torch(s: NavierStokes = solver, u: torch.Tensor = spectrum, n: int = repeat) -> None:
                INTEGRATION.advance(s, u, n * STEP, steps=n)

            many = batch * math.prod(points) > 2**20
            costs = best_milliseconds(compiled, alone, by_torch, repeats=3 if many else 7)
            step, own, reference = (cost / (batch * repeat) for cost in costs)
            print(
                f"{'x'.join(map(str, points)):>12} {batch:>5} {str(dtype)[6:]:>8} {step:9.3f} {own:9.3f} "
                f"{step / own:6.2f} {reference:9.2f} {reference / step:6.1f}",
                flush=True,
            )


def print_closures() -> None:
    """Cost of every closure."""
    print("\nOne RK4 step of each closure against no model, without gradients")
    print(f"{'grid':>14} {'batch':>5} {'closure':>26} {'ms/step':>9} {'ratio':>6}")
    for points, batch in CLOSURE_GRIDS:
        solver, spectrum = equations(points, batch, torch.float32)
        base = math.nan
        for name in CLOSURES:
            closure = build_closure(
                Closure(type=name), space=solver.space, filter_width=filter_width(solver.grid), viscosity=0.01
            )
            with torch.inference_mode():
                work = partial(INTEGRATION.advance, solver, spectrum, STEP, steps=1, closure=closure)
                cost = best_milliseconds(work)[0]
            base = cost if name == "none" else base
            print(f"{'x'.join(map(str, points)):>14} {batch:>5} {name:>26} {cost:9.2f} {cost / base:6.2f}", flush=True)


def print_memory() -> None:
    """Memory of a step beside that of the state."""
    print("\nMemory of the first step of one trajectory, RK4 (work space included), and of its state")
    print(f"{'grid':>14} {'dtype':>8} {'step, MB':>9} {'state, MB':>9}")
    for points in MEMORY_SHAPES:
        for dtype in (torch.float32, torch.float64):
            solver, spectrum = equations(points, 1, dtype)
            with torch.inference_mode():
                _, growth = memory_growth(partial(INTEGRATION.advance, solver, spectrum, STEP, steps=1))
            state = spectrum.numel() * spectrum.element_size()
            name = "x".join(map(str, points))
            print(f"{name:>14} {str(dtype)[6:]:>8} {growth / 1e6:9.0f} {state / 1e6:9.0f}", flush=True)


def main() -> None:
    """Print all tables."""
    torch.set_num_threads(1)
    print_steps()
    print_closures()
    print_memory()


if __name__ == "__main__":
    main()
