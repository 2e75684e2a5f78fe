from __future__ import annotations

import numpy as np
import pytest

from eddymark.statistics.uncertainty import (
    bootstrap_weights,
    ensemble_averages,
    halves,
    interval,
    weighted_median,
)


def test_bootstrap_intervals_cover_the_truth_at_about_the_nominal_rate() -> None:
    source = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        values = {"x": 3 + 2 * source.standard_normal(30)}
        weights = bootstrap_weights(source, runs=np.arange(30), samples=400)
        low, high = interval(ensemble_averages(values, weights)["x"])
        covered += low <= 3 <= high
    # The percentile interval of 30 numbers covers 93–94 %; three standard errors of 400 trials are 4 %.
    assert 0.895 <= covered / 400 <= 0.975


def test_bootstrap_draws_as_many_trajectories_as_there_are() -> None:
    weights = bootstrap_weights(np.random.default_rng(1), runs=np.arange(6), samples=500)
    assert weights.shape == (500, 6)
    assert (weights.sum(axis=1) == 6).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.15)


def test_bootstrap_draws_whole_runs_where_there_are_four_and_trajectories_otherwise() -> None:
    runs = np.array([7, 7, 2, 2, 5, 5, 9, 9])
    weights = bootstrap_weights(np.random.default_rng(2), runs=runs, samples=200)
    assert (weights.sum(axis=1) == 8).all()
    assert (weights[:, 0::2] == weights[:, 1::2]).all()
    assert len(np.unique(weights, axis=0)) > 20
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.25)
    few = bootstrap_weights(np.random.default_rng(2), runs=np.array([0, 0, 0, 1, 1, 1, 2, 2]), samples=200)
    assert (few.sum(axis=1) == 8).all()
    assert (few[:, 0] != few[:, 1]).any()


def test_few_runs_are_halved_by_trajectory_and_many_by_run() -> None:
    by_trajectory = halves(np.random.default_rng(4), runs=np.array([0, 0, 0, 1, 1, 1]), splits=100)
    first, second = by_trajectory
    assert (first + second == 1).all()
    assert (first.sum(axis=1) == 3).all()
    assert len(np.unique(first, axis=0)) > 10
    runs = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    first, second = halves(np.random.default_rng(4), runs=runs, splits=100)
    assert (first + second == 1).all()
    assert (first[:, 0::2] == first[:, 1::2]).all()
    assert (first.sum(axis=1) == 4).all()


def test_a_single_trajectory_has_no_halves() -> None:
    first, second = halves(np.random.default_rng(5), runs=np.array([0]), splits=10)
    assert first.shape == second.shape == (0, 1)


def test_averages_leave_out_what_is_missing_and_say_so_when_nothing_is_left() -> None:
    values = {"x": np.array([1.0, np.nan, 4.0]), "y": np.array([[1.0, np.nan], [2.0, np.nan], [3.0, 5.0]])}
    weights = np.array([[1.0, 1.0, 1.0], [2.0, 1.0, 0.0], [0.0, 3.0, 0.0]])
    averages = ensemble_averages(values, weights)
    np.testing.assert_allclose(averages["x"], [2.5, 1.0, np.nan])
    np.testing.assert_allclose(averages["y"], [[2.0, 5.0], [4 / 3, np.nan], [2.0, np.nan]])


def test_weighted_median_is_the_median_of_the_drawn_values() -> None:
    source = np.random.default_rng(6)
    values = np.array([5.0, np.nan, 1.0, 3.0, 9.0])
    weights = source.integers(0, 3, (50, 5)).astype(float)
    expected = [
        np.median(drawn)
        if (drawn := np.repeat(values, row.astype(int))[~np.isnan(np.repeat(values, row.astype(int)))]).size
        else np.nan
        for row in weights
    ]
    np.testing.assert_allclose(weighted_median(values, weights), expected)
    assert np.isnan(weighted_median(np.full(5, np.nan), weights)).all()
    assert np.isnan(weighted_median(values, np.array([[0.0, 4.0, 0.0, 0.0, 0.0]])))[0]


def test_interval_is_made_of_samples_and_ignores_missing_ones() -> None:
    samples = np.concatenate([np.arange(1, 1001, dtype=float), [np.nan]])
    assert interval(samples) == (25.0, 975.0)
    assert np.isnan(interval(np.full(10, np.nan))).all()
    assert interval(np.array([1.0, np.inf] * 50)) == (1.0, np.inf)


def test_interval_at_another_confidence() -> None:
    assert interval(np.arange(1, 101, dtype=float), confidence=0.5) == pytest.approx((25, 75))
