"""One Navier–Stokes step beside those of other pseudo-spectral solvers in Python, alternately in one process.

All use one thread and the 2/3 rule on the same grid. fluidsim integrates the linear terms exactly and takes the
classical Runge–Kutta method like this package, so that its fields are compared as well; exponax takes the exponential
Runge–Kutta method of fourth order, also with four right-hand sides. The time is that of the processor: another job on
the machine delays it much less than the clock on the wall.
"""

from __future__ import annotations

import math
import os
import platform
import tempfile
import time
from collections.abc import Callable
from importlib import metadata

os.environ |= {"OMP_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.environ.setdefault("FLUIDSIM_PATH", tempfile.mkdtemp())

import exponax
import jax
import numpy as np
import torch

from eddymark.grid import Grid
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.time_integration import TimeIntegration

VISCOSITY, STEP = 0.02, 1e-3
STEPS = 5
"""Steps that are timed together."""
REPEATS = int(os.environ.get("REPEATS", "15"))
SHAPES = [(256, 256), (512, 512), (64, 64, 64), (128, 128, 128)]
Step = Callable[[], object]


def initial(shape: tuple[int, ...]) -> tuple[NavierStokes, torch.Tensor]:
    """Return the equations in double precision and a smooth solenoidal state."""
    solver = NavierStokes(Grid(shape, (2 * math.pi,) * len(shape)), viscosity=VISCOSITY)
    space = solver.space
    noise = torch.randn((1, len(shape), *shape), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    spectrum = space.project(space.to_spectral(noise)) * torch.exp(-space.wavenumber_squared / 18)
    spectrum[(..., *(0,) * len(shape))] = 0
    return solver, spectrum / spectrum.abs().max() / 4


def own(shape: tuple[int, ...], dtype: torch.dtype) -> Step:
    """Return some steps of this package, as an output interval has them."""
    solver = NavierStokes(Grid(shape, (2 * math.pi,) * len(shape)), viscosity=VISCOSITY, dtype=dtype)
    spectrum = initial(shape)[1].to(dtype.to_complex())
    return lambda: TimeIntegration("runge_kutta_4", 1.0).advance(solver, spectrum, STEPS * STEP, steps=STEPS)


def fluidsim_simulation(shape: tuple[int, ...]) -> object:
    """Return a simulation of fluidsim from the same state."""
    if len(shape) == 3:
        from fluidsim.solvers.ns3d.solver import Simul
    else:
        from fluidsim.solvers.ns2d.solver import Simul
    parameters = Simul.create_default_params()
    for axis in "xyz"[: len(shape)]:
        setattr(parameters.oper, f"n{axis}", shape[0])
        setattr(parameters.oper, f"L{axis}", 2 * math.pi)
    parameters.oper.coef_dealiasing = 2 / 3
    parameters.nu_2 = VISCOSITY
    parameters.time_stepping.USE_CFL = False
    parameters.time_stepping.deltat0 = STEP
    parameters.time_stepping.type_time_scheme = "RK4"
    parameters.init_fields.type = "in_script"
    parameters.output.HAS_TO_SAVE = False
    simulation = Simul(parameters)
    solver, spectrum = initial(shape)
    velocity = solver.space.to_physical(spectrum)[0].numpy()
    if len(shape) == 3:  # its arrays have the axes z, y, x
        fields = {f"v{name}": np.ascontiguousarray(velocity[i].T) for i, name in enumerate("xyz")}
        simulation.state.init_statephys_from(**fields)
        simulation.state.statespect_from_statephys()
    else:
        rotation = solver.space.to_physical(solver.space.vorticity(spectrum))[0, 0].numpy()
        simulation.state.init_statephys_from(rot=np.ascontiguousarray(rotation.T))
        simulation.state.statespect_from_statephys()
    return simulation


def fluidsim_difference(shape: tuple[int, ...]) -> float:
    """Return the largest difference of the velocity (2-D: vorticity) after ten steps, relative to its maximum."""
    simulation = fluidsim_simulation(shape)
    for _ in range(10):
        simulation.time_stepping.one_time_step_computation()
    simulation.state.statephys_from_statespect()
    solver, spectrum = initial(shape)
    with torch.inference_mode():
        spectrum = TimeIntegration("runge_kutta_4", 1.0).advance(solver, spectrum, 10 * STEP, steps=10)
    if len(shape) == 3:
        expected = solver.space.to_physical(spectrum)[0].numpy()
        found = np.stack([np.asarray(simulation.state.get_var(f"v{name}")).T for name in "xyz"])
    else:
        expected = solver.space.to_physical(solver.space.vorticity(spectrum))[0, 0].numpy()
        found = np.asarray(simulation.state.get_var("rot")).T
    return float(abs(found - expected).max() / abs(expected).max())


def exponax_step(shape: tuple[int, ...], dtype: str) -> Step:
    """Return some steps of exponax in spectral space, compiled together; its 2-D solver is in vorticity."""
    jax.config.update("jax_enable_x64", dtype == "float64")
    make = exponax.stepper.NavierStokesVorticity if len(shape) == 2 else exponax.stepper.NavierStokesVelocity
    stepper = make(len(shape), 2 * math.pi, shape[0], STEP, diffusivity=VISCOSITY, order=4)
    solver, spectrum = initial(shape)
    field = solver.space.vorticity(spectrum) if len(shape) == 2 else spectrum
    values = solver.space.to_physical(field)[0].numpy().astype(dtype)
    state = exponax.fft(jax.numpy.asarray(values), num_spatial_dims=len(shape))
    advance = jax.jit(lambda values: jax.lax.fori_loop(0, STEPS, lambda _, u: stepper.step_fourier(u), values))
    return lambda: advance(state).block_until_ready()


def fluidsim_steps(shape: tuple[int, ...]) -> Step:
    """Return some steps of fluidsim."""
    advance = fluidsim_simulation(shape).time_stepping.one_time_step_computation  # type: ignore[attr-defined]
    return lambda: [advance() for _ in range(STEPS)]


def milliseconds(steps: dict[str, Step]) -> dict[str, float]:
    """Return the shortest processor time of a step of each; they take turns."""
    best = dict.fromkeys(steps, math.inf)
    for repeat in range(REPEATS + 1):
        for name, step in steps.items():
            start = time.process_time()
            step()
            if repeat:
                best[name] = min(best[name], 1000 * (time.process_time() - start) / STEPS)
    return best


def main() -> None:
    """Print machine, versions and the table."""
    print(platform.platform(), "one thread")
    print(", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "numba", "pyfftw", "fluidsim", "exponax")))
    print(f"{'grid':>12} {'precision':>9} {'solver':>10} {'ms/step':>9} {'times own':>9}")
    for shape in SHAPES:
        for dtype in ("float32", "float64"):
            steps: dict[str, Step] = {"eddymark": own(shape, getattr(torch, dtype))}
            steps["exponax"] = exponax_step(shape, dtype)
            if dtype == "float64":
                steps["fluidsim"] = fluidsim_steps(shape)
            with torch.inference_mode():
                found = milliseconds(steps)
            for name, cost in found.items():
                grid = "x".join(map(str, shape))
                print(f"{grid:>12} {dtype:>9} {name:>10} {cost:9.2f} {cost / found['eddymark']:9.2f}", flush=True)
    for shape in ((32, 32, 32), (64, 64)):
        print(f"difference from fluidsim after 10 steps, {shape}: {fluidsim_difference(shape):.1e}")


if __name__ == "__main__":
    main()
