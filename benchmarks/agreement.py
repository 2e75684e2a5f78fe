"""Compares fields with those of other pseudo-spectral solvers: `python -m benchmarks.agreement`, see requirements.txt.

fluidsim takes the classical Runge–Kutta method with the linear terms integrated exactly, like this package: the fields
must agree to rounding. exponax takes the exponential Runge–Kutta method of fourth order: the difference must fall
with the fourth power of the time step. All start from the same state and use the 2/3 rule in double precision.
"""

from __future__ import annotations

import json
import math
from importlib import metadata
from typing import Any

import exponax
import jax
import numpy as np
import torch

from benchmarks.fluidsim_solver import fluidsim_solver
from verification.peers import (
    RECORD,
    SHAPES,
    STEP,
    STEPS,
    VISCOSITY,
    advanced,
    compared_field,
    compared_modes,
    equations,
)

DIVISIONS = (1, 2, 4, 8)


def fluidsim_field(dimensions: str, *, divisions: int = 1, velocity_set: bool = True) -> np.ndarray:
    """Return fluidsim's field at the end, `(component, *grid)`.

    Arguments:
        dimensions: key of `SHAPES`.
        divisions: into how many each time step is divided.
        velocity_set: whether the 2-D solver is told its initial velocity. It is given the vorticity, and the first
            stage of the first step takes the velocity from an array which nothing fills unless it is asked to.
    """
    simulation = fluidsim_solver(
        SHAPES[dimensions], viscosity=VISCOSITY, step=STEP / divisions, initial_state="in_script"
    )
    names = [f"v{name}" for name in "xyz"] if dimensions == "3-D" else ["rot"]
    values = compared_field(dimensions, equations(dimensions)[1])
    # Its arrays have the axes z, y, x.
    fields = {name: np.ascontiguousarray(value.T) for name, value in zip(names, values, strict=True)}
    simulation.state.init_statephys_from(**fields)
    simulation.state.statespect_from_statephys()
    if velocity_set:
        simulation.state.statephys_from_statespect()
    for _ in range(STEPS * divisions):
        simulation.time_stepping.one_time_step_computation()
    return np.stack([np.asarray(simulation.state.get_var(name)).T for name in names])


def exponax_field(dimensions: str, *, divisions: int) -> np.ndarray:
    """Return exponax's field at the end, `(component, *grid)`."""
    shape = SHAPES[dimensions]
    make = exponax.stepper.NavierStokesVorticity if len(shape) == 2 else exponax.stepper.NavierStokesVelocity
    # With a fraction of 2/3 it would drop the highest mode that the rule allows.
    kept = (shape[0] - 1) // 3
    stepper = make(
        len(shape),
        2 * math.pi,
        shape[0],
        STEP / divisions,
        diffusivity=VISCOSITY,
        order=4,
        dealiasing_fraction=(kept + 1) / (shape[0] // 2),
    )
    # Its stream function is defined by u = ∂ψ/∂y and ∇²ψ = ω, which makes its vorticity ∂u/∂y − ∂v/∂x.
    sign = -1 if dimensions == "2-D" else 1
    field = sign * jax.numpy.asarray(compared_field(dimensions, equations(dimensions)[1]))
    state = exponax.fft(field, num_spatial_dims=len(shape))
    state = exponax.repeat(stepper.step_fourier, STEPS * divisions)(state)
    return sign * np.asarray(exponax.ifft(state, num_spatial_dims=len(shape), num_points=shape[0]))


def relative_difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference over the largest value, to two digits."""
    return float(f"{abs(found - expected).max() / abs(expected).max():.1e}")


def coefficients(dimensions: str, field: np.ndarray) -> list[list[list[float]]]:
    """Return the kept coefficients of a field, per mode and component, as real and imaginary part."""
    spectrum = equations(dimensions)[0].space.to_spectral(torch.as_tensor(field))
    kept = [spectrum[(slice(None), *mode)].numpy() for mode in compared_modes(dimensions)]
    return [[[float(value.real), float(value.imag)] for value in values] for values in kept]


def main() -> None:
    """Write what was found to `RECORD` and print it."""
    jax.config.update("jax_enable_x64", True)
    record: dict[str, Any] = {"versions": {name: metadata.version(name) for name in ("fluidsim", "exponax")}}
    for dimensions in SHAPES:
        own = compared_field(dimensions, advanced(dimensions))
        field = fluidsim_field(dimensions)
        entry: dict[str, Any] = {
            "fluidsim": relative_difference(field, own),
            "coefficients": coefficients(dimensions, field),
        }
        if dimensions == "2-D":
            entry["fluidsim_without_velocity"] = [
                relative_difference(
                    fluidsim_field(dimensions, divisions=n, velocity_set=False),
                    compared_field(dimensions, advanced(dimensions, STEPS * n)),
                )
                for n in DIVISIONS
            ]
        entry["exponax"] = [
            relative_difference(
                exponax_field(dimensions, divisions=n), compared_field(dimensions, advanced(dimensions, STEPS * n))
            )
            for n in DIVISIONS
        ]
        record[dimensions] = entry
        print(dimensions, {name: value for name, value in entry.items() if name != "coefficients"})
    RECORD.write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
