"""The known laws that are linear, against the general formula for corrections by linear conservation laws."""

from __future__ import annotations

import math

import pytest
import torch

from eddymark.config.schema import Forcing
from eddymark.grid import Grid
from eddymark.solvers.periodic import NavierStokes
from eddymark.stepping.known_physics import KnownPhysics

INTERVAL = 0.7


@pytest.mark.parametrize("dimension", [2, 3])
def test_mass_and_momentum_are_restored_as_if_all_errors_had_the_same_variance(dimension: int) -> None:
    """u' = u − Σ Gᵀ (G Σ Gᵀ)⁻¹ (G u − b) with Σ = σ² I on the resolved modes.

    The laws are ∇·u = 0 at every point and the mean flow of each component.
    """
    forcing = Forcing(type="sinusoidal", wavenumber=1, amplitude=0.5)
    grid = Grid((8, 6, 4)[:dimension], (2 * math.pi, 3.0, 5.0)[:dimension])
    solver = NavierStokes(grid, viscosity=0.05, linear_drag=0.3, forcing=forcing)
    space = solver.space
    random = torch.Generator().manual_seed(0)
    past, made = torch.randn((2, 1, dimension, *grid.points), generator=random, dtype=torch.float64).unbind()
    past, made = (space.to_physical(space.to_spectral(field)) for field in (past, made))
    count = made.numel()
    fields = torch.eye(count, dtype=torch.float64).reshape(count, *made.shape[1:])
    covariance = 0.09 * space.to_physical(space.to_spectral(fields)).flatten(1)
    divergence = space.to_physical(space.divergence(space.to_spectral(fields))).flatten(1).T
    mean = fields.mean(dim=space.axes).T
    laws = torch.cat([divergence, mean])
    momentum = math.exp(-0.3 * INTERVAL) * past.mean(dim=space.axes)[0]
    wanted = torch.cat([torch.zeros(len(divergence), dtype=torch.float64), momentum])
    # Laws at points say the same more than once, hence the pseudo-inverse.
    gain = covariance @ laws.T @ torch.linalg.pinv(laws @ covariance @ laws.T, rtol=1e-10)
    expected = made.flatten() - gain @ (laws @ made.flatten() - wanted)
    physics = KnownPhysics(solver, INTERVAL, ("incompressibility", "momentum"))
    restored = physics.constrain(past, made)
    assert torch.allclose(restored.flatten(), expected, atol=1e-11)
    assert (restored - made).abs().max() > 0.1
