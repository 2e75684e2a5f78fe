"""The initial states that other packages' solvers start from as well, and what this package makes of them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddymark.grid import Grid
from eddymark.randomness import generator
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.time_integration import TimeIntegration

SHAPES = {"3-D": (32, 32, 32), "2-D": (64, 64)}
VISCOSITY, STEP, STEPS = 0.02, 0.01, 10
RECORD = Path(__file__).with_name("peers.json")
"""What `benchmarks/agreement.py` found, and coefficients of the fields that the other package arrived at."""


def equations(dimensions: str) -> tuple[NavierStokes, Tensor]:
    """Return the solver and the initial state û, `(1, d, *modes)`: random phases, rms velocity 1 per component.

    The spectrum falls slowly enough for the modes at the cut-off to count, so that the shape of the dealiased set
    and the products in it are tested.
    """
    shape = SHAPES[dimensions]
    solver = NavierStokes(Grid(shape, (2 * math.pi,) * len(shape)), viscosity=VISCOSITY)
    space = solver.space
    noise = torch.as_tensor(generator(0, "peers", dimensions).standard_normal((1, len(shape), *shape)))
    width = 0.5 * space.grid.resolved_shells
    spectrum = space.project(space.to_spectral(noise)) * torch.exp(-space.wavenumber_squared / width**2)
    spectrum = spectrum * (space.wavenumber_squared > 0)
    return solver, spectrum * torch.sqrt(len(shape) / (2 * space.mode_energy(spectrum).sum()))


def advanced(dimensions: str, steps: int = STEPS) -> Tensor:
    """Return û after the time of the comparison, 0.1, in a number of steps."""
    solver, spectrum = equations(dimensions)
    with torch.no_grad():
        return TimeIntegration("runge_kutta_4", 1.0).advance(solver, spectrum, STEP * STEPS, steps=steps)


def compared_field(dimensions: str, spectrum: Tensor) -> NDArray[np.float64]:
    """Return what the solvers are compared in, `(component, *grid)`: velocity in 3-D, vorticity in 2-D."""
    space = equations(dimensions)[0].space
    field = spectrum if dimensions == "3-D" else space.vorticity(spectrum)
    return np.asarray(space.to_physical(field)[0].numpy())


def compared_modes(dimensions: str) -> list[tuple[int, ...]]:
    """Return the indices of the coefficients that are kept: 30 modes from the largest scales to the cut-off."""
    space = equations(dimensions)[0].space
    random = generator(0, "peers", "modes", dimensions)
    return [tuple(int(random.integers(count)) for count in space.modes) for _ in range(30)]
