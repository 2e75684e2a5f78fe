"""One Navier–Stokes step beside those of other pseudo-spectral solvers in Python, alternately in one process.

All use one thread and the 2/3 rule on the same grid and keep their state in spectral space. Times are those of the
processor per step and trajectory, the shortest of several: another job on the machine delays them much less than the
clock on the wall. A batch is advanced in the way that each solver has for it: one after the other here, by `jax.vmap`
in exponax and jax-cfd; fluidsim has none. What a loop over trajectories costs is in the rows of one trajectory. That
the fields agree is checked by `benchmarks/agreement.py`.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import platform
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import exponax
import jax
import torch
from jax_cfd.base import grids
from jax_cfd.spectral import equations, time_stepping

from benchmarks.fluidsim_solver import fluidsim_solver
from eddymark.grid import Grid
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.time_integration import TimeIntegration

VISCOSITY, STEP = 0.02, 1e-3
RIGHT_HAND_SIDES = {"eddymark": 4, "exponax": 4, "fluidsim": 4, "jax-cfd": 5}
"""Of a step: classical Runge–Kutta, exponential Runge–Kutta of fourth order, and the five stages of jax-cfd's."""
SECONDS = 12.0
"""How long the solvers take turns on each grid, at least `TURNS` times."""
TURNS = 3
SHAPES = [
    ((256, 256), 1),
    ((256, 256), 8),
    ((512, 512), 1),
    ((64, 64, 64), 1),
    ((64, 64, 64), 8),
    ((128, 128, 128), 1),
    ((128, 128, 128), 8),
]
Steps = Callable[[], object]


def initial(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[NavierStokes, torch.Tensor]:
    """Return the equations and a smooth solenoidal state."""
    solver = NavierStokes(Grid(shape, (2 * math.pi,) * len(shape)), viscosity=VISCOSITY, dtype=dtype)
    space = solver.space
    noise = torch.randn((1, len(shape), *shape), generator=torch.Generator().manual_seed(0), dtype=dtype)
    spectrum = space.project(space.to_spectral(noise)) * torch.exp(-space.wavenumber_squared / 18)
    spectrum[(..., *(0,) * len(shape))] = 0
    return solver, spectrum / spectrum.abs().max() / 4


def own(shape: tuple[int, ...], batch: int, dtype: torch.dtype, steps: int) -> Steps:
    """Return some steps of this package, as an output interval has them."""
    solver, spectrum = initial(shape, dtype)
    spectrum = spectrum.expand(batch, *spectrum.shape[1:]).contiguous()

    def advance() -> None:
        with torch.inference_mode():
            TimeIntegration("runge_kutta_4", 1.0).advance(solver, spectrum, steps * STEP, steps=steps)

    return advance


def fluidsim_steps(shape: tuple[int, ...], steps: int) -> Steps:
    """Return some steps of fluidsim, which computes in double precision."""
    with contextlib.redirect_stdout(io.StringIO()):
        simulation = fluidsim_solver(shape, viscosity=VISCOSITY, step=STEP, initial_state="noise")
    advance = simulation.time_stepping.one_time_step_computation
    return lambda: [advance() for _ in range(steps)]


def jax_steps(step: Callable[[Any], Any], state: Any, batch: int, steps: int) -> Steps:
    """Return some steps of a solver written in jax, compiled together."""
    states = jax.numpy.stack([state] * batch)
    advance = jax.jit(jax.vmap(lambda values: jax.lax.fori_loop(0, steps, lambda _, u: step(u), values)))
    return lambda: advance(states).block_until_ready()


def exponax_steps(shape: tuple[int, ...], batch: int, dtype: str, steps: int) -> Steps:
    """Return some steps of exponax; its 2-D solver is in vorticity."""
    make = exponax.stepper.NavierStokesVorticity if len(shape) == 2 else exponax.stepper.NavierStokesVelocity
    stepper = make(len(shape), 2 * math.pi, shape[0], STEP, diffusivity=VISCOSITY, order=4)
    solver, spectrum = initial(shape, torch.float64)
    field = solver.space.vorticity(spectrum) if len(shape) == 2 else spectrum
    values = solver.space.to_physical(field)[0].numpy().astype(dtype)
    state = exponax.fft(jax.numpy.asarray(values), num_spatial_dims=len(shape))
    return jax_steps(stepper.step_fourier, state, batch, steps)


def jax_cfd_steps(shape: tuple[int, ...], batch: int, dtype: str, steps: int) -> Steps:
    """Return some steps of jax-cfd's spectral solver, 2-D and in vorticity, Crank–Nicolson and Runge–Kutta."""
    grid = grids.Grid(shape, domain=((0, 2 * math.pi),) * 2)
    step = time_stepping.crank_nicolson_rk4(equations.NavierStokes2D(VISCOSITY, grid, smooth=True), STEP)
    solver, spectrum = initial(shape, torch.float64)
    values = solver.space.to_physical(solver.space.vorticity(spectrum))[0, 0].numpy().astype(dtype)
    return jax_steps(step, jax.numpy.fft.rfftn(jax.numpy.asarray(values)), batch, steps)


def milliseconds(work: dict[str, Steps]) -> dict[str, float]:
    """Return the shortest processor time of some steps of each; they take turns, and the first turn is not counted."""
    best = dict.fromkeys(work, math.inf)
    for steps in work.values():
        steps()
    begin, turn = time.perf_counter(), 0
    while turn < TURNS or time.perf_counter() - begin < SECONDS:
        for name, steps in work.items():
            start = time.process_time()
            steps()
            best[name] = min(best[name], 1000 * (time.process_time() - start))
        turn += 1
    return best


def compare(shape: tuple[int, ...], batch: int, dtype: str) -> None:
    """Print the rows of one grid and precision."""
    jax.config.update("jax_enable_x64", dtype == "float64")
    steps = 5 if batch * math.prod(shape) <= 2**19 else 1
    work = {
        "eddymark": own(shape, batch, getattr(torch, dtype), steps),
        "exponax": exponax_steps(shape, batch, dtype, steps),
    }
    if len(shape) == 2:
        work["jax-cfd"] = jax_cfd_steps(shape, batch, dtype, steps)
    if dtype == "float64" and batch == 1:
        work["fluidsim"] = fluidsim_steps(shape, steps)
    found = {name: cost / (batch * steps) for name, cost in milliseconds(work).items()}
    for name, cost in found.items():
        per_side = cost / RIGHT_HAND_SIDES[name]
        ratio = per_side / (found["eddymark"] / RIGHT_HAND_SIDES["eddymark"])
        grid = "x".join(map(str, shape))
        print(
            f"{grid:>12} {batch:>5} {dtype:>8} {name:>10} {cost:9.2f} {RIGHT_HAND_SIDES[name]:>7} {per_side:9.3f} "
            f"{ratio:9.2f}",
            flush=True,
        )


def main() -> None:
    """Print machine, versions and the table."""
    print(platform.platform(), "one thread, load", " ".join(f"{load:.1f}" for load in os.getloadavg()))
    packages = ("torch", "numba", "pyfftw", "fluidsim", "exponax", "jax-cfd", "jax")
    print(", ".join(f"{name} {metadata.version(name)}" for name in packages))
    print("Processor time of a step per trajectory, its right-hand sides (r.h.s.), and each of these over our own")
    print(
        f"{'grid':>12} {'batch':>5} {'dtype':>8} {'solver':>10} {'ms/step':>9} {'r.h.s.':>7} {'ms each':>9} "
        f"{'over own':>9}"
    )
    for shape, batch in SHAPES:
        for dtype in ("float32", "float64"):
            compare(shape, batch, dtype)


if __name__ == "__main__":
    main()
