"""The known laws that are linear, against the general formula for corrections by linear conservation laws."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import Tensor

from eddymark.config.schema import Forcing
from eddymark.grid import Grid, SpectralSpace
from eddymark.solvers.periodic import NavierStokes
from eddymark.stepping.known_physics import KnownPhysics, shell_variances
from eddymark.stepping.surrogate import Surrogate
from tests.solvers.test_periodic import random_spectrum
from tests.stepping.test_steppers import Zero, solver

INTERVAL = 0.7


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("equal", [True, False])
def test_mass_and_momentum_are_restored_by_the_general_formula(dimension: int, equal: bool) -> None:
    """u' = u − Σ Gᵀ (G Σ Gᵀ)⁻¹ (G u − b), Σ = σ² I on the resolved modes or one variance per component and shell.

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
    variances = None if equal else 0.1 + torch.rand((dimension, int(space.shells.max()) + 1), generator=random).double()
    each = torch.full_like(space.shells, 0.09, dtype=torch.float64) if variances is None else variances[:, space.shells]
    covariance = space.to_physical(each * space.to_spectral(fields)).flatten(1)
    divergence = space.to_physical(space.divergence(space.to_spectral(fields))).flatten(1).T
    mean = fields.mean(dim=space.axes).T
    laws = torch.cat([divergence, mean])
    momentum = math.exp(-0.3 * INTERVAL) * past.mean(dim=space.axes)[0]
    wanted = torch.cat([torch.zeros(len(divergence), dtype=torch.float64), momentum])
    # Laws at points say the same more than once, hence the pseudo-inverse.
    gain = covariance @ laws.T @ torch.linalg.pinv(laws @ covariance @ laws.T, rtol=1e-10)
    expected = made.flatten() - gain @ (laws @ made.flatten() - wanted)
    physics = KnownPhysics(solver, INTERVAL, ("incompressibility", "momentum"))
    restored = physics.constrain(past, made, variances)
    assert torch.allclose(restored.flatten(), expected, atol=1e-11)
    assert (restored - made).abs().max() > 0.1


def test_variances_are_those_of_the_components_in_each_shell() -> None:
    space = SpectralSpace(Grid((12, 12), (2 * math.pi,) * 2))
    x, y = torch.meshgrid(*(torch.as_tensor(axis).flatten() for axis in space.grid.coordinates()), indexing="ij")
    # Shell 1: nine to one; shell 2: the first component only; shell 3: nothing.
    field = torch.stack([3 * torch.sin(y) + torch.cos(2 * y), torch.sin(x)]).unsqueeze(0)
    found = shell_variances(space, field)
    assert torch.allclose(found[:, 1], torch.tensor([1.8, 0.2], dtype=torch.float64))
    assert torch.allclose(found[:, 2], torch.tensor([2.0, 1e-3], dtype=torch.float64))
    assert torch.allclose(found[:, 3], torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("output", ["increment", "direct"])
def test_a_surrogate_with_variances_is_solenoidal_and_stores_them(output: Literal["increment", "direct"]) -> None:
    equations = solver(Forcing(), dimension=2)
    space = equations.space

    class Noise(Zero):
        def forward(self, features: Tensor) -> Tensor:
            """Return noise with a divergence, `(batch, 2, *grid)`."""
            return torch.randn(features[:, :2].shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    changes = {}
    spectra = torch.stack([random_spectrum(equations, batch=6, seed=seed) for seed in range(2)], dim=1)
    # What has to be given varies four times as much in the first component.
    spectra[:, 1, 0] *= 4
    windows = space.to_physical(spectra)
    for chosen in (False, True):
        physics = KnownPhysics(equations, 0.1)
        surrogate = Surrogate(
            Noise(2),
            known_physics=physics,
            static_fields=torch.zeros((0, 12, 12), dtype=torch.float64),
            interval=0.1,
            history=1,
            output=output,
            component_variances=chosen,
        )
        surrogate.fit_scales(windows)
        assert ("error_variances" in surrogate.state_dict()) == chosen
        made = space.to_spectral(surrogate(windows[:, :1]))
        assert space.divergence(made).abs().max() < 1e-11
        given = space.to_spectral(surrogate.increment_scale * Noise(2)(windows[:, 0]))
        free = physics.free(windows[:, 0]) if output == "increment" else 0
        changes[chosen] = (made - free - given).abs().square().sum(dim=(0, 2, 3))
    # The component that varies less is changed less, and the other one more.
    assert changes[True][1] < 0.5 * changes[False][1]
    assert changes[True][0] > changes[False][0]
