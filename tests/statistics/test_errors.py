from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from eddymark.grid import Grid, SpectralSpace
from eddymark.statistics.errors import decorrelation_time, relative_l2_error, vorticity_correlation

Fields = Callable[..., Tensor]


def test_relative_l2_error_of_a_scaled_field_is_its_excess_per_trajectory_and_time(
    cube: Grid, random_phases: Fields
) -> None:
    truth = random_phases(cube, trajectories=2, times=3, seed=1)
    scale = torch.tensor([[1.1, 1.2, 1.0], [0.7, 2.0, 1.0]], dtype=torch.float64)
    error = relative_l2_error(scale[:, :, None, None, None, None] * truth, truth)
    expected = torch.tensor([[0.1, 0.2, 0.0], [0.3, 1.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(error, expected, rtol=1e-12, atol=1e-12)


def test_relative_l2_error_takes_the_norm_over_all_components() -> None:
    truth = torch.tensor([3.0, 4.0]).view(1, 1, 2, 1, 1).expand(1, 1, 2, 4, 4)
    prediction = torch.tensor([3.0, 3.0]).view(1, 1, 2, 1, 1).expand(1, 1, 2, 4, 4)
    assert relative_l2_error(prediction, truth).item() == pytest.approx(0.2)


def test_relative_l2_error_refuses_states_of_different_times() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        relative_l2_error(torch.zeros(1, 2, 2, 4, 4), torch.zeros(1, 3, 2, 4, 4))


def test_vorticity_correlation_is_that_of_the_fluctuations(square: Grid) -> None:
    space = SpectralSpace(square, dealiased=False)
    x = torch.as_tensor(square.coordinates()[0])[:, None].expand(16, 16)
    rest = torch.zeros_like(x)
    first = torch.stack([rest, torch.sin(x)])  # ω = cos x
    second = torch.stack([rest, torch.sin(3 * x) / 3])  # ω = cos 3x
    truth = first.expand(1, 5, 2, 16, 16)
    prediction = torch.stack([2 * first + 7.0, -first, second, first + second, 0 * first])[None]
    found = vorticity_correlation(prediction, truth, space=space)[0]
    expected = torch.tensor([1.0, -1.0, 0.0, math.sqrt(0.5), 0.0], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_a_mean_profile_that_all_states_share_is_no_correlation(square: Grid) -> None:
    space = SpectralSpace(square, dealiased=False)
    x, y = (torch.as_tensor(axis) for axis in square.coordinates())
    x, y = x[:, None].expand(16, 16), y.expand(16, 16)
    mean = torch.stack([3 * torch.sin(y), torch.zeros_like(x)])
    first, second = (torch.stack([torch.zeros_like(x), torch.sin(n * x) / n]) for n in (1, 3))
    truth, prediction = (mean + first).expand(1, 2, 2, 16, 16), torch.stack([mean + second, mean + first])[None]
    assert vorticity_correlation(prediction, truth, space=space)[0, 0] == pytest.approx(9 / 10)
    found = vorticity_correlation(prediction, truth, space=space, averaged_axes=(0,))[0]
    torch.testing.assert_close(found, torch.tensor([0.0, 1.0], dtype=torch.float64), rtol=0, atol=1e-12)


def test_a_failed_state_has_no_error_and_leaves_the_others_alone(cube: Grid, random_phases: Fields) -> None:
    truth = random_phases(cube, trajectories=2, times=2, seed=2)
    prediction = truth.clone()
    prediction[0, 1] = torch.nan
    correlation = vorticity_correlation(prediction, truth, space=SpectralSpace(cube, dealiased=False))
    for values, same in ((relative_l2_error(prediction, truth), 0.0), (correlation, 1.0)):
        assert values[0, 1].isnan()
        torch.testing.assert_close(values[[0, 1, 1], [0, 0, 1]], torch.full((3,), same).double())


@pytest.mark.parametrize(
    ("correlation", "expected"),
    [
        ([0.9, 0.7, 0.2], 1.5),
        ([0.6, 0.9, 0.9], 0.5),
        ([0.9, 0.8, 0.6], 2.0),
        ([0.9, 0.7, 0.9], 1.5),
        ([0.9, np.nan, np.nan], 1 + 0.1 / 0.9),
        ([0.95, 0.9, 0.85], np.nan),
    ],
    ids=["between", "before the first output", "exactly at", "first of two", "failed", "beyond the data"],
)
def test_decorrelation_time_is_the_interpolated_first_crossing(correlation: list[float], expected: float) -> None:
    # 0.8 itself is not below the threshold.
    found = decorrelation_time([1.0, 2.0, 3.0], correlation, threshold=0.8)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_decorrelation_times_of_several_trajectories_are_independent() -> None:
    found = decorrelation_time([0.5, 1.0], [[0.9, 0.7], [0.99, 0.98]], threshold=0.8)
    np.testing.assert_allclose(found, [0.75, np.nan])
