from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from eddymark.config.schema import MeanFlow
from eddymark.flows import mixing_layer
from eddymark.grid import Grid
from eddymark.statistics import profiles
from eddymark.statistics.measure import Window

GRID = Grid((8, 32, 6), (3.0, 16.0, 2.0))


def coordinates() -> tuple[Tensor, Tensor, Tensor]:
    x, y, z = torch.meshgrid(*map(torch.as_tensor, GRID.coordinates()), indexing="ij")
    return x, y, z


def known_layers() -> Tensor:
    """Mean profile and correlated waves: u' = a(y) cos kx, v' = b(y) cos kx, w' = c(y) cos kz; stresses a²/2, ab/2, …

    Mirror images of each other: b changes its sign from one layer to the other.
    """
    x, y, z = coordinates()
    mean = mixing_layer.mean_velocity(y, side=16.0, mean_flow=MeanFlow(velocity_difference=2.0, momentum_thickness=0.3))
    first, second = (torch.exp(-((y - centre) ** 2)) for centre in (4.0, 12.0))
    along, across = torch.cos(2 * math.pi * x / 3), torch.cos(2 * math.pi * z / 2)
    return torch.stack([mean + 0.4 * (first + second) * along, -0.2 * (first - second) * along, 0.3 * first * across])


def test_profiles_of_known_layers() -> None:
    distance = torch.as_tensor(profiles.cross_stream_distance(GRID))
    envelope = torch.exp(-(distance**2))
    mean = profiles.mean_velocity(known_layers())
    stress = profiles.reynolds_stress(known_layers())
    assert mean.shape == (2, 17)
    assert stress.shape == (2, 4, 17)
    assert (distance[0], distance[8], distance[16]) == (-4.0, 0.0, 4.0)
    assert torch.allclose(mean, torch.tanh(distance / 0.6).expand(2, 17), atol=1e-5)
    for layer in (0, 1):
        assert torch.allclose(stress[layer, 0], 0.08 * envelope**2, atol=1e-12)
        assert torch.allclose(stress[layer, 1], 0.02 * envelope**2, atol=1e-12)
        assert torch.allclose(stress[layer, 3], -0.04 * envelope**2, atol=1e-12)
    assert torch.allclose(stress[0, 2], 0.045 * envelope**2, atol=1e-12)
    assert stress[1, 2].abs().max() < 1e-12


def test_momentum_thickness_of_the_hyperbolic_tangent_is_its_parameter() -> None:
    y = torch.arange(0, 16, 0.05, dtype=torch.float64)
    mean = mixing_layer.mean_velocity(
        y, side=16.0, mean_flow=MeanFlow(velocity_difference=3.0, momentum_thickness=0.3)
    )[:161]
    thickness = profiles.momentum_thickness(mean, velocity_difference=3.0, spacing=0.05)
    assert float(thickness) == pytest.approx(0.3, rel=1e-5)


def test_reflected_layers_have_the_same_profiles() -> None:
    """y → −y exchanges the layers; x → −x with a translation by half a side turns u about each centre."""
    velocity = known_layers()
    mirrored = velocity.flip(-2).roll(1, -2) * torch.tensor([1.0, -1.0, 1.0]).reshape(3, 1, 1, 1)
    for measured in (profiles.mean_velocity, profiles.reynolds_stress):
        assert torch.allclose(measured(mirrored), measured(velocity).flip(0), atol=1e-12)
    turned = velocity.roll(16, -2) * torch.tensor([-1.0, 1.0, 1.0]).reshape(3, 1, 1, 1)
    assert torch.allclose(profiles.mean_velocity(turned), -profiles.mean_velocity(velocity).flip(-1), atol=1e-12)


def test_distances_of_profiles_are_known() -> None:
    mean = np.linspace(-1, 1, 17)
    assert profiles.mean_velocity_error(mean + 0.1, mean) == pytest.approx(0.1)
    stress = np.ones((4, 17))
    assert profiles.reynolds_stress_error(1.2 * stress, stress) == pytest.approx(0.2)
    # The shear stress stands for two entries of the tensor: 2 of 5 units are missing.
    assert profiles.reynolds_stress_error(stress * [[1], [1], [1], [0]], stress) == pytest.approx(math.sqrt(2 / 5))
    several = profiles.reynolds_stress_error(np.stack([stress, 0 * stress]), np.stack([stress, stress]))
    assert several == pytest.approx([0.0, 1.0])


def test_layers_are_averaged_over_each_window_and_kept_apart_from_failed_ones() -> None:
    """The second trajectory fails in the second window; the first one has half its fluctuations there."""
    layers = known_layers()
    mean = layers.mean(dim=(1, 3), keepdim=True)
    weak = mean + 0.5 * (layers - mean)
    velocity = torch.stack([torch.stack([layers, layers, layers, weak, weak]), layers.expand(5, *layers.shape)])
    velocity[1, 4] = torch.nan
    window = Window(start=0.0, parts=2)
    found = profiles.measure_layers(velocity, grid=GRID, interval=0.5, window=window, velocity_difference=2.0)
    assert found["momentum_thickness"].dims == ("trajectory", "time")
    np.testing.assert_allclose(found["momentum_thickness"][0], 0.3, rtol=1e-3)
    np.testing.assert_allclose(found["mean_velocity"][0, 1], np.tanh(found["distance"] / 0.6) / 2, atol=1e-5)
    shear = found["reynolds_stress"].sel(stress="uv").sel(distance=0.0)
    # Windows: outputs 1 and 2, 3 and 4; the initial state is in none.
    np.testing.assert_allclose(shear[:, 0], -0.01)
    np.testing.assert_allclose(shear[:, 1], [-0.0025, np.nan])
    for name in ("mean_momentum_thickness", "mean_velocity", "reynolds_stress"):
        assert np.isfinite(found[name][0]).all()
        assert np.isfinite(found[name][1, 0]).all()
        assert np.isnan(found[name][1, 1]).all()
