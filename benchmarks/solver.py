"""Cost of one Navier–Stokes step beside the Fourier transforms that it cannot do without."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch

from eddymark.grid import Grid
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.time_integration import TimeIntegration

CASES = [
    ((64, 64, 64), 1, torch.float32),
    ((64, 64, 64), 1, torch.float64),
    ((256, 256), 1, torch.float32),
    ((256, 256), 4, torch.float32),
]


def best_milliseconds(work: Callable[[], object], repeats: int = 7) -> float:
    """Return the shortest of several runs, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def equations(points: tuple[int, ...], batch: int, dtype: torch.dtype) -> tuple[NavierStokes, torch.Tensor]:
    """Return a solver and a solenoidal state."""
    solver = NavierStokes(Grid(points, (2 * math.pi,) * len(points)), viscosity=0.01, dtype=dtype)
    noise = torch.randn((batch, len(points), *points), dtype=dtype)
    return solver, solver.space.project(solver.space.to_spectral(noise))


def main() -> None:
    """Print the table."""
    integration = TimeIntegration("runge_kutta_4", 1.0)
    print("One RK4 step (4 right-hand sides) against its Fourier transforms alone")
    print(f"{'grid':>14} {'batch':>5} {'dtype':>8} {'ms/step':>9} {'FFTs, ms':>9} {'ratio':>6}")
    with torch.inference_mode():
        for points, batch, dtype in CASES:
            solver, spectrum = equations(points, batch, dtype)
            dimension = len(points)
            fluxes = torch.randn((batch, dimension * (dimension + 1) // 2 - 1, *points), dtype=dtype)
            step = best_milliseconds(lambda s=solver, u=spectrum: integration.advance(s, u, 1e-4, steps=1))
            transforms = 4 * best_milliseconds(
                lambda s=solver, u=spectrum, f=fluxes: (s.space.to_physical(u), s.space.to_spectral(f))
            )
            name = "x".join(map(str, points))
            print(f"{name:>14} {batch:>5} {str(dtype)[6:]:>8} {step:9.2f} {transforms:9.2f} {step / transforms:6.2f}")


if __name__ == "__main__":
    main()
