"""States and constraints for the tests of what limits or sets shell energies."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from eddymark.config.constraints import Constraint
from eddymark.grid import Grid, SpectralSpace
from eddymark.stepping.constraints import Constraints
from eddymark.stepping.controls import solenoidal_noise


def space_on(points: tuple[int, ...], dtype: torch.dtype = torch.float64, *, dealiased: bool = True) -> SpectralSpace:
    sides = [2 * np.pi] * len(points)
    return SpectralSpace(Grid(points=points, sides=tuple(sides)), dtype=dtype, dealiased=dealiased)


def noise(space: SpectralSpace, batch: int = 3, seed: int = 1) -> Tensor:
    like = torch.empty((batch, space.grid.dimension, *space.grid.points), dtype=space.dtype)
    return solenoidal_noise(space, like, np.random.default_rng(seed))


def energies(space: SpectralSpace, velocity: Tensor) -> Tensor:
    return space.energy_spectrum(space.to_spectral(velocity))


def constraints(
    space: SpectralSpace, *sections: dict[str, Any], reference: Tensor, held: tuple[int, ...] = ()
) -> Constraints:
    made = Constraints(space, [Constraint.model_validate(one) for one in sections], held=held).eval()
    made.reference.copy_(reference)
    return made


CAP = {"type": "shell_energy_cap", "factor": 1.0}
FIX = {"type": "shell_energy"}
