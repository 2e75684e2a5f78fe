from __future__ import annotations

import pytest
import torch

from eddymark.grid import Grid, SpectralSpace
from eddymark.statistics.balance import enstrophy, kinetic_energy, mean_flow_energy, relative_divergence


def test_energy_and_enstrophy_of_a_taylor_green_vortex_on_a_mean_flow(square: Grid) -> None:
    space = SpectralSpace(square, dealiased=False)
    x, y = torch.meshgrid(*map(torch.as_tensor, square.coordinates()), indexing="ij")
    velocity = torch.stack([torch.sin(x) * torch.cos(y) + 2, -torch.cos(x) * torch.sin(y)])
    spectrum = space.to_spectral(velocity)
    # ω = 2 sin x sin y.
    assert kinetic_energy(spectrum, space=space).item() == pytest.approx(0.25 + 2)
    assert mean_flow_energy(spectrum, space=space).item() == pytest.approx(2)
    assert enstrophy(spectrum, space=space).item() == pytest.approx(0.5)
    assert relative_divergence(spectrum, space=space).item() == pytest.approx(0, abs=1e-14)


def test_relative_divergence_is_the_ratio_of_rms_values(cube: Grid) -> None:
    space = SpectralSpace(cube, dealiased=False)
    x = torch.as_tensor(cube.coordinates()[0])[:, None, None].expand(12, 12, 12)
    rest = torch.zeros_like(x)
    velocity = torch.stack([0.3 * torch.sin(x), torch.sin(2 * x), rest])
    # ∂_i u_i = 0.3 cos x and ω_z = 2 cos 2x.
    assert relative_divergence(space.to_spectral(velocity), space=space).item() == pytest.approx(0.15)
    still = relative_divergence(space.to_spectral(torch.stack([rest, rest, rest])), space=space)
    assert still.item() == 0


def test_balances_are_per_state_and_see_modes_beyond_the_dealiased_ones(cube: Grid) -> None:
    space = SpectralSpace(cube, dealiased=False)
    y = torch.as_tensor(cube.coordinates()[1])[:, None].expand(12, 12, 12)
    velocity = torch.zeros(2, 3, 3, 12, 12, 12, dtype=torch.float64)
    velocity[1, 2, 0] = torch.cos(5 * y)
    energy = kinetic_energy(space.to_spectral(velocity), space=space)
    assert energy.shape == (2, 3)
    assert energy[1, 2].item() == pytest.approx(0.25)
    assert energy.sum().item() == pytest.approx(0.25)
