"""Cost of one Navier–Stokes step beside its Fourier transforms and the torch path; memory.

Transforms are measured in two ways. *Own*: what a step does between stored modes and grid points and back, with the
same plans and blocks, padding included, only where modes are kept; a step adds products, pressure and Runge–Kutta
stages. *FFTW*: as many real transforms of the whole grid (8 per right-hand side in 3-D, 4 in 2-D), as FFTW plans them
for this machine (FFTW_MEASURE). Times are those of the processor with one thread, the shortest of several, taken in
turns: another job on the machine delays them much less than the clock on the wall.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pyfftw
import torch

from eddymark.grid import Grid
from eddymark.memory import memory_growth
from eddymark.solvers.compiled import direct, modes, plane
from eddymark.solvers.compiled.compilation import driver
from eddymark.solvers.compiled.plane_steps import PlaneSteps
from eddymark.solvers.compiled.transforms import execute
from eddymark.solvers.compiled.volume_steps import VolumeSteps
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.time_integration import TimeIntegration, compiled_steps

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
MEMORY_SHAPES = [(64, 64, 64), (128, 128, 128), (256, 256, 256)]
INTEGRATION = TimeIntegration("runge_kutta_4", 1.0)
STEP = 1e-5
STAGES = 4
SECONDS, TURNS = 6.0, 5
"""How long the pieces of work on each grid take turns, and how often at least."""


def best_milliseconds(*work: Callable[[], object], seconds: float = SECONDS, turns: int = TURNS) -> list[float]:
    """Return the shortest processor time of each piece of work; they take turns, the first turn is not counted."""
    best = [math.inf] * len(work)
    for piece in work:
        piece()
    begin, turn = time.perf_counter(), 0
    while turn < turns or time.perf_counter() - begin < seconds:
        for index, piece in enumerate(work):
            start = time.process_time()
            piece()
            best[index] = min(best[index], 1000 * (time.process_time() - start))
        turn += 1
    return best


def equations(points: tuple[int, ...], batch: int, dtype: torch.dtype) -> tuple[NavierStokes, torch.Tensor]:
    """Return a solver and a solenoidal state."""
    solver = NavierStokes(Grid(points, (2 * math.pi,) * len(points)), viscosity=0.01, dtype=dtype)
    noise = torch.randn((batch, len(points), *points), dtype=dtype)
    return solver, solver.space.project(solver.space.to_spectral(noise))


@driver
def transforms_of_plane(plans: Any, b: Any, equations: Any, recipe: Any) -> None:
    """The transforms of `direct.plane_fluxes` without its products."""
    half, width, kept = b.padded.shape[0] // b.plane.shape[1] // 2, b.block.shape[1], equations.kept
    for start in range(0, half, width):
        stop = min(half, start + width)
        modes.to_points(plans, b, recipe, equations.k_last, start, stop, half, kept)
        for flux in range(5):
            direct.to_modes(plans, b, flux, start, stop, half, kept)


@driver
def transforms_3d(plans: Any, b: Any, equations: Any, recipe: Any, arrays: Any) -> None:
    """The transforms of one right-hand side: velocity to the grid points, as many fields back as there are fluxes."""
    row, slabs = b.plane.shape[1], equations.k_slab.size
    direct.inverse_first(plans, b, equations, recipe, arrays.register, arrays.lines, 0, slabs)
    for x in range(arrays.lines.shape[1]):
        direct.inverse_middle(plans, b, equations, recipe, arrays.lines, x)
        transforms_of_plane(plans, b, equations, recipe)
        direct.forward_middle(plans, b, equations, arrays.fluxes, 5, x)
    for slab in range(slabs):
        for flux in range(5):
            execute(plans.first_forward, arrays.fluxes[flux, 0, slab * row :], b.slab[flux])


@driver
def transforms_2d(plans: Any, b: Any, equations: Any, fields: Any, arrays: Any, sizes: Any) -> None:
    """The same in 2-D, where both components are one complex field."""
    plane.to_columns(plans, b, equations, arrays.ahead[:, 0], fields, sizes, equations.rows, equations.kept)
    points, count = b.points.reshape(b.points.shape[0], -1), b.points.shape[1]
    for first in range(0, sizes[1], count):
        execute(plans.first_inverse, b.columns[0, first], points[0])
        plane.to_lines(plans, b, equations, sizes[0], points[0], 0, first)
    plane.to_modes(plans, b, 1, sizes, equations.rows)
    count = b.rate.shape[1] * equations.rows // equations.k_row.size
    for first in range(0, equations.rows, count):
        plane.split(b, equations, sizes, first, min(equations.rows, first + count))


def transforms(steps: VolumeSteps | PlaneSteps) -> Callable[[], None]:
    """Return the transforms of one right-hand side on one thread."""
    arrays = steps.trajectory(0)
    b, equations = steps.buffers[0], steps.equations
    if isinstance(steps, PlaneSteps):
        return partial(transforms_2d, steps.plans, b, equations, steps.model.fields, arrays, steps.sizes)
    return partial(transforms_3d, steps.layout.plans, b, equations, steps.recipe, arrays)


def whole_grid_transforms(points: tuple[int, ...], dtype: torch.dtype) -> Callable[[], None]:
    """Return the real transforms of one right-hand side on the whole grid, each from and to arrays of its own."""
    real = str(dtype).removeprefix("torch.")
    complex_type = str(dtype.to_complex()).removeprefix("torch.")
    inverse, forward = (3, 5) if len(points) == 3 else (2, 2)
    axes = tuple(range(len(points)))
    work: list[Any] = []
    for number in range(inverse + forward):
        field = pyfftw.zeros_aligned(points, real)
        spectrum = pyfftw.zeros_aligned((*points[:-1], points[-1] // 2 + 1), complex_type)
        arrays, direction = (
            ((spectrum, field), "FFTW_BACKWARD") if number < inverse else ((field, spectrum), "FFTW_FORWARD")
        )
        work.append(pyfftw.FFTW(*arrays, axes=axes, direction=direction, flags=("FFTW_MEASURE",), threads=1))

    def transform() -> None:
        for each in work:
            each.execute()

    return transform


def print_row(points: tuple[int, ...], batch: int, dtype: torch.dtype) -> None:
    """Compare on one grid in one precision."""
    solver, spectrum = equations(points, batch, dtype)
    steps = compiled_steps(solver, None)
    assert isinstance(steps, (VolumeSteps, PlaneSteps))
    repeat = max(4, 2**20 // (batch * math.prod(points)))

    def compiled() -> None:
        with torch.inference_mode():
            INTEGRATION.advance(solver, spectrum, repeat * STEP, steps=repeat)

    def many(once: Callable[[], None]) -> None:
        for _ in range(STAGES * repeat):
            once()

    own, whole = transforms(steps), whole_grid_transforms(points, dtype)
    costs = best_milliseconds(compiled, partial(many, own), partial(many, whole))
    step, own_cost, whole_cost = costs[0] / (batch * repeat), costs[1] / repeat, costs[2] / repeat
    by_torch = partial(INTEGRATION.advance, solver, spectrum, STEP, steps=1)
    reference = best_milliseconds(by_torch, seconds=1, turns=2)[0] / batch
    print(
        f"{'x'.join(map(str, points)):>12} {batch:>5} {str(dtype)[6:]:>8} {step:9.3f} {own_cost:9.3f} "
        f"{step / own_cost:6.2f} {whole_cost:9.3f} {step / whole_cost:6.2f} {reference:9.2f} {reference / step:6.1f}",
        flush=True,
    )


def print_steps() -> None:
    """Compiled steps against their transforms alone and against the torch path."""
    print("One RK4 step (4 right-hand sides) per trajectory over its own transforms and over FFTW's of the whole grid")
    print(
        f"{'grid':>12} {'batch':>5} {'dtype':>8} {'ms/step':>9} {'own, ms':>9} {'ratio':>6} {'FFTW, ms':>9} "
        f"{'ratio':>6} {'torch, ms':>9} {'gain':>6}"
    )
    for points, batch in SHAPES:
        for dtype in (torch.float32, torch.float64):
            print_row(points, batch, dtype)


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
    print_memory()


if __name__ == "__main__":
    main()
