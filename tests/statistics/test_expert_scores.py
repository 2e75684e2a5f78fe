"""Statistics for experts catch what spectra do not, and let copies of the DNS pass."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from eddymark.grid import Grid
from eddymark.statistics.increments import measure_increments
from eddymark.statistics.measure import Window
from eddymark.statistics.pooled import pool
from tests.statistics.test_scores import coherent, dns_statistics, row, scales_of, statistics, table

Fields = Callable[..., Tensor]
WHOLE = Window(-np.inf)


def expert(velocity: Tensor, grid: Grid, dns: xr.Dataset | None = None) -> xr.Dataset:
    return measure_increments(velocity, grid=grid, interval=1.0, window=WHOLE, reference=dns)


def scored(prediction: Tensor, truth: Tensor, grid: Grid) -> pd.DataFrame:
    scales = scales_of(truth, grid=grid)
    extra = expert(truth, grid)
    dns = dns_statistics(truth, grid=grid, scales=scales).merge(extra)
    ours = statistics(prediction, grid=grid, scales=scales).merge(expert(prediction, grid, extra))
    return table(ours, dns)


def test_a_fake_with_the_exact_spectrum_is_caught_by_the_skewness_of_its_increments(cube: Grid) -> None:
    source = torch.Generator().manual_seed(5)
    phases = 2 * np.pi * torch.rand((6, 20, 3), generator=source, dtype=torch.float64)
    locked = phases.clone()
    locked[..., 1] = 2 * phases[..., 0]
    scores = scored(coherent(phases, cube), coherent(locked, cube), cube)
    caught = row(scores, "increment_skewness_error")
    assert caught.low > 10 * caught.floor
    # The second order is the spectrum's, and every trajectory has the same.
    assert row(scores, "kinetic_energy_error").high < 1e-10
    seconds = [expert(coherent(one[:1, :1], cube), cube)["structure_function"].sel(order=2) for one in (phases, locked)]
    np.testing.assert_allclose(*seconds, rtol=1e-10)
    assert row(scores, "increment_densities_distance").low > row(scores, "increment_densities_distance").floor


def test_a_copy_of_the_dns_distribution_is_at_the_floor_and_a_scaled_one_is_not(
    square: Grid, random_phases: Fields
) -> None:
    truth = random_phases(square, trajectories=12, times=6, seed=1)
    same = scored(random_phases(square, trajectories=12, times=6, seed=2), truth, square)
    wrong = scored(1.2 * random_phases(square, trajectories=12, times=6, seed=3), truth, square)
    for name in ("structure_function_error", "increment_densities_distance"):
        assert row(same, name).value < 2.5 * row(same, name).floor, name
        assert row(wrong, name).value > 3 * row(wrong, name).floor, name
    np.testing.assert_allclose(row(wrong, "structure_function_error").value, 2 * np.log10(1.2), rtol=0.1)
    # A factor changes no skewness.
    skewness = row(wrong, "increment_skewness_error")
    assert skewness.value < 2.5 * skewness.floor


def test_results_stored_before_there_were_these_statistics_are_still_pooled(
    square: Grid, random_phases: Fields
) -> None:
    truth = random_phases(square, trajectories=4, times=4, seed=4)
    scales = scales_of(truth, grid=square)
    dns = dns_statistics(truth, grid=square, scales=scales).merge(expert(truth, square))
    seeds = [
        statistics(random_phases(square, trajectories=4, times=4, seed=seed), grid=square, scales=scales)
        for seed in (5, 6)
    ]
    names = set(pool(seeds, dns, seed=0, samples=20))
    assert "spectrum_error" in names
    assert "structure_function_error" not in names
    newer = [one.merge(expert(truth, square, dns)) for one in seeds]
    assert "structure_function_error" in set(pool(newer, dns, seed=0, samples=20))
