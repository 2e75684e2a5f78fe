from __future__ import annotations

import numpy as np
import pytest
import torch

from eddymark.grid import Grid
from eddymark.statistics.distributions import (
    Bins,
    histogram,
    longitudinal_increments,
    total_variation_distance,
)

BINS = Bins(limit=2.0, count=4)


def test_bins_are_symmetric_and_equal() -> None:
    assert BINS.width == 1.0
    np.testing.assert_allclose(BINS.centres, [-1.5, -0.5, 0.5, 1.5])


def test_histogram_normalises_values_and_counts_overflow_in_the_end_bins() -> None:
    values = torch.tensor([[-30.0, -1.0, 1.0, 1.0, 5.0, 1e30], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]])
    shares = histogram(values, scale=3.0, bins=BINS)
    torch.testing.assert_close(shares, torch.tensor([[1 / 6, 1 / 6, 2 / 6, 2 / 6], [0.0, 0.0, 1.0, 0.0]]))


def test_histogram_of_gaussian_numbers_is_the_gaussian_density() -> None:
    bins = Bins(limit=4.0, count=16)
    values = torch.randn(400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    density = histogram(2.5 * values, scale=2.5, bins=bins).numpy() / bins.width
    expected = np.exp(-(bins.centres**2) / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(density, expected, atol=0.006)


def test_increments_are_longitudinal_over_one_spacing_of_each_axis() -> None:
    grid = Grid(points=(8, 12), sides=(2 * np.pi, 2 * np.pi))
    x, y = torch.meshgrid(*map(torch.as_tensor, grid.coordinates()), indexing="ij")
    velocity = torch.stack([torch.sin(x) + torch.cos(5 * y), torch.sin(2 * y) + torch.cos(3 * x)])
    found = longitudinal_increments(velocity, dimension=2)
    spacing_x, spacing_y = grid.spacing
    torch.testing.assert_close(found[0], torch.sin(x + spacing_x) - torch.sin(x))
    torch.testing.assert_close(found[1], torch.sin(2 * (y + spacing_y)) - torch.sin(2 * y))


def test_total_variation_distance_is_one_for_disjoint_and_zero_for_equal_densities() -> None:
    first, second = np.array([2.0, 2.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0, 3.0])
    assert total_variation_distance(first, second, bin_width=0.25) == pytest.approx(1.0)
    assert total_variation_distance(first, first, bin_width=0.25) == 0
    mixed = 0.7 * first + 0.3 * second
    assert total_variation_distance(mixed, first, bin_width=0.25) == pytest.approx(0.3)
