from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from eddymark.grid import Grid, SpectralSpace
from eddymark.statistics.correlations import (
    correlation,
    integral_scale,
    longitudinal_length,
    measure_autocovariance,
    measure_correlations,
    offsets,
    two_point_covariances,
)
from eddymark.statistics.measure import Window

Fields = Callable[..., Tensor]
TURN = 2 * np.pi
WHOLE = Window(-np.inf)


@pytest.mark.parametrize(("points", "sides"), [((12, 16), (1.0, 2.0)), ((8, 12, 10), (2.0, 3.0, 5.0))])
def test_covariances_are_those_of_products_at_the_points(
    points: tuple[int, ...], sides: tuple[float, ...], random_phases: Fields
) -> None:
    grid = Grid(points, sides)
    space = SpectralSpace(grid, dealiased=False)
    velocity = random_phases(grid, trajectories=1, times=2, seed=1)[0] + 0.7
    for axis in range(grid.dimension):
        distances = grid.spacing[axis] * np.arange(grid.points[axis] // 2)
        axes = (axis,)
        found = two_point_covariances(velocity, space=space, axes=axes, distances=distances)
        dims = tuple(range(2, 2 + grid.dimension))
        fluctuation = velocity - velocity.mean(dim=2 + axis, keepdim=True)
        for n in range(len(distances)):
            products = (fluctuation * fluctuation.roll(-n, dims=2 + axis)).mean(dim=dims)
            transverse = (products.sum(1) - products[:, axis]) / (grid.dimension - 1)
            torch.testing.assert_close(found[:, 0, n], products[:, axis])
            torch.testing.assert_close(found[:, 1, n], transverse)


def test_correlations_of_one_wave_are_cosines_also_between_the_points(cube: Grid) -> None:
    x, y, z = torch.meshgrid(*map(torch.as_tensor, cube.coordinates()), indexing="ij")
    velocity = torch.stack([torch.sin(2 * y), torch.sin(2 * z), torch.sin(2 * x)])
    r = np.array([0, 0.1, 0.77, 2.0])
    found = two_point_covariances(velocity, space=SpectralSpace(cube, dealiased=False), axes=(0, 1, 2), distances=r)
    # Each component varies along one other axis only.
    np.testing.assert_allclose(found[0], 0.5, atol=1e-14)
    np.testing.assert_allclose(found[1], 0.25 * (1 + np.cos(2 * r)), atol=1e-14)


def test_a_mean_profile_is_no_fluctuation(random_phases: Fields) -> None:
    grid = Grid((12, 12, 8), (TURN,) * 3)
    velocity = random_phases(grid, trajectories=1, times=2, seed=2)
    velocity = velocity - velocity.mean(dim=(3, 5), keepdim=True)
    sheared = velocity.clone()
    sheared[..., 0, :, :, :] += torch.tanh(torch.as_tensor(grid.coordinates()[1]) - 3)[:, None]
    found = [
        measure_correlations(one, grid=grid, interval=1.0, window=WHOLE, homogeneous_axes=(0, 2)).to_array()
        for one in (velocity, sheared)
    ]
    np.testing.assert_allclose(found[0], found[1], atol=1e-12)


def test_offsets_go_from_zero_to_half_the_shortest_side_of_the_homogeneous_axes() -> None:
    layer = Grid(points=(24, 24, 14), sides=(2 * TURN, 2 * TURN, TURN))
    np.testing.assert_allclose(offsets(layer, (0, 2)), np.arange(7) * TURN / 12)
    np.testing.assert_allclose(offsets(Grid((16, 16), (TURN, TURN)), (0, 1))[[0, -1]], [0, np.pi])


def test_the_integral_length_is_that_of_the_spectrum(square: Grid) -> None:
    # f(r) = Σ E_k cos(k r) / Σ E_k integrates to zero over half the box, but for the constant part of waves along y.
    x, y = torch.meshgrid(*map(torch.as_tensor, square.coordinates()), indexing="ij")
    velocity = torch.stack([torch.sin(y) + torch.sin(x), torch.sin(x) + torch.sin(y)])
    found = measure_correlations(velocity[None, None], grid=square, interval=1.0, window=WHOLE)
    covariances, r = found["two_point_covariance"][0, 0].to_numpy(), found["offset"].to_numpy()
    np.testing.assert_allclose(correlation(covariances), (1 + np.cos(r)) / 2 * np.ones((2, 1)), atol=1e-14)
    assert longitudinal_length(covariances, spacing=r[1]) == pytest.approx(np.pi / 2)


def test_scales_of_an_exponential_and_of_nothing() -> None:
    lag = 0.01 * np.arange(2001)
    assert integral_scale(3 * np.exp(-lag / 0.7), spacing=0.01) == pytest.approx(0.7, rel=1e-3)
    assert np.isnan(correlation(np.zeros(4))).all()
    several = integral_scale(np.stack([np.exp(-lag), np.exp(-lag / 2)]), spacing=0.01)
    np.testing.assert_allclose(several, [1, 2], rtol=1e-3)


def test_windows_and_failures(square: Grid, random_phases: Fields) -> None:
    velocity = random_phases(square, trajectories=2, times=5, seed=3)
    window = Window(1.0, parts=2)
    whole = measure_correlations(velocity, grid=square, interval=1.0, window=window)["two_point_covariance"]
    alone = measure_correlations(velocity[:, 3:], grid=square, interval=1.0, window=WHOLE)["two_point_covariance"]
    np.testing.assert_allclose(whole[:, 1], alone[:, 0], rtol=1e-12)
    # Without a mean flow the variances add up to twice the energy.
    energy = 0.5 * velocity.square().sum(2).mean((-2, -1))[:, 1:3].mean(1)
    np.testing.assert_allclose(whole[:, 0, 0, 0] + whole[:, 0, 1, 0], 2 * energy)
    velocity[0, 3:] = torch.nan
    found = measure_correlations(velocity, grid=square, interval=1.0, window=window)["two_point_covariance"]
    np.testing.assert_array_equal(found[1], whole[1])
    assert np.isnan(found[0, 1]).all()
    assert np.isfinite(found[0, 0]).all()


def waves(grid: Grid, frequency: float, times: int, mean: float) -> Tensor:
    """Return a wave that turns in time on a mean profile, with other phases in other trajectories."""
    t = torch.arange(times, dtype=torch.float64).view(1, -1, 1, 1)
    x, y = torch.meshgrid(*map(torch.as_tensor, grid.coordinates()), indexing="ij")
    phase = torch.tensor([0.0, np.pi], dtype=torch.float64).view(-1, 1, 1, 1)
    u = mean * torch.sin(y) + torch.sin(x - frequency * t + phase)
    return torch.stack([u, torch.zeros_like(u)], dim=2)


@pytest.mark.parametrize("mean", [0.0, 3.0])
def test_the_autocorrelation_of_a_turning_wave_is_a_cosine_without_its_mean_profile(square: Grid, mean: float) -> None:
    velocity = waves(square, 0.3, 12, mean)
    found = measure_autocovariance(velocity, interval=0.5, window=WHOLE, lags=5, mean_axes=(0,))
    np.testing.assert_allclose(found["lag"], 0.5 * np.arange(6))
    np.testing.assert_allclose(found["autocovariance"], 0.5 * np.cos(0.3 * np.arange(6)) * np.ones((2, 1)), atol=1e-12)


def test_memory_of_a_decaying_process_is_its_time_scale() -> None:
    # An autoregressive process of first order forgets exponentially.
    source, keep = torch.Generator().manual_seed(4), np.exp(-1 / 4)
    noise = torch.randn((4, 400, 2, 12, 12), generator=source, dtype=torch.float64)
    states = [noise[:, 0]]
    for step in range(1, 400):
        states.append(keep * states[-1] + (1 - keep**2) ** 0.5 * noise[:, step])
    found = measure_autocovariance(torch.stack(states, 1), interval=1.0, window=WHOLE, lags=20, mean_axes=(0, 1))
    mean = found["autocovariance"].mean("trajectory").to_numpy()
    np.testing.assert_allclose(correlation(mean), keep ** np.arange(21), atol=0.01)


def test_of_large_grids_some_points_are_taken_and_failed_trajectories_are_left_out(square: Grid) -> None:
    grid = Grid((64, 64), (TURN, TURN))
    velocity = waves(grid, 0.2, 8, 1.0)
    found = measure_autocovariance(velocity, interval=1.0, window=Window(1.0), lags=3, mean_axes=(0,))
    expected = 0.5 * np.cos(0.2 * np.arange(4))
    np.testing.assert_allclose(found["autocovariance"][0], expected, atol=0.02)
    velocity[1, 5:] = torch.nan
    found = measure_autocovariance(velocity, interval=1.0, window=Window(1.0), lags=3, mean_axes=(0,))
    assert np.isnan(found["autocovariance"][1]).all()
    assert np.isfinite(found["autocovariance"][0]).all()
    velocity[:, 1:] = torch.nan
    found = measure_autocovariance(velocity, interval=1.0, window=Window(1.0), lags=3, mean_axes=(0,))
    assert np.isnan(found["autocovariance"]).all()
