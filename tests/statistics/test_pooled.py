from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from eddymark.grid import Grid
from eddymark.statistics.pooled import difference, pool, ratio
from tests.statistics.test_scores import Fields, scales_of, statistics


@pytest.fixture
def truth(cube: Grid, random_phases: Fields) -> tuple[torch.Tensor, xr.Dataset]:
    velocity = random_phases(cube, trajectories=8, times=4, seed=1)
    return velocity, statistics(velocity, grid=cube, scales=scales_of(velocity, grid=cube), kind="floor")


def model(velocity: torch.Tensor, grid: Grid, name: str = "fake", failed: int = 0) -> xr.Dataset:
    times = np.where(np.arange(len(velocity)) < failed, 2.0, np.nan)
    found = statistics(velocity, grid=grid, scales=scales_of(velocity, grid=grid), failure_time=times)
    return found.assign_attrs(stepper=name)


def with_energy(dataset: xr.Dataset, energy: np.ndarray) -> xr.Dataset:
    return dataset.assign(mean_kinetic_energy=(("trajectory", "window"), energy[:, None]))


def test_seeds_that_agree_leave_the_interval_of_one(truth: tuple[torch.Tensor, xr.Dataset], cube: Grid) -> None:
    velocity, dns = truth
    one = model(velocity.flip(0), cube)
    alone, thrice = (pool([one] * n, dns, seed=0, samples=200) for n in (1, 3))
    assert set(alone) == set(thrice)
    for key in ("spectrum_error", "enstrophy", "derivative_skewness"):
        np.testing.assert_array_equal(alone[key].samples, thrice[key].samples)
        assert thrice[key].seeds.shape == (3,)


def test_seeds_that_differ_widen_it_to_their_range(truth: tuple[torch.Tensor, xr.Dataset], cube: Grid) -> None:
    velocity, dns = truth
    strengths = (0.5, 1.0, 1.5)
    energy = pool([model(s**0.5 * velocity, cube) for s in strengths], dns, seed=0, samples=400)["kinetic_energy"]
    assert energy.seeds == pytest.approx(np.array(strengths))
    assert energy.value == pytest.approx(1.0)
    single = pool([model(velocity, cube)], dns, seed=0, samples=400)["kinetic_energy"].interval
    assert energy.interval[0] < 0.55 < single[0] < 1 < single[1] < 1.45 < energy.interval[1]


def test_what_two_models_share_cancels_in_their_comparison(truth: tuple[torch.Tensor, xr.Dataset], cube: Grid) -> None:
    velocity, dns = truth
    strength = torch.linspace(0.5, 1.5, 8, dtype=torch.float64).view(8, 1, 1, 1, 1, 1)
    weak, strong = (
        pool([model(factor**0.5 * strength * velocity, cube, f"times {factor}")] * 2, dns, seed=0, samples=200)
        for factor in (1.0, 1.1)
    )
    low, high = strong["kinetic_energy"].interval
    assert high - low > 0.3
    assert ratio(strong["kinetic_energy"], weak["kinetic_energy"]) == pytest.approx((1.1, 1.1, 1.1))


def test_every_rollout_of_every_seed_counts_in_survival(truth: tuple[torch.Tensor, xr.Dataset], cube: Grid) -> None:
    velocity, dns = truth
    mixed = pool([model(velocity, cube, failed=n) for n in (0, 0, 6)], dns, seed=0, samples=200)
    sane = pool([model(velocity, cube)] * 3, dns, seed=0, samples=200)
    assert mixed["surviving_fraction"].value == pytest.approx(0.75)
    value, low, high = difference(sane["surviving_fraction"], mixed["surviving_fraction"])
    assert value == pytest.approx(0.25)
    assert low == 0.0
    assert high > 0.5


def test_a_seed_without_value_is_left_out_and_none_with_one_is_no_value(
    truth: tuple[torch.Tensor, xr.Dataset], cube: Grid
) -> None:
    velocity, dns = truth
    lost = with_energy(model(velocity, cube), np.full(8, np.nan))
    some = pool([lost, model(velocity, cube)], dns, seed=0, samples=50)["kinetic_energy"]
    assert (some.value, np.isnan(some.seeds).tolist()) == (pytest.approx(1.0), [True, False])
    none = pool([lost, lost], dns, seed=0, samples=50)["kinetic_energy"]
    assert np.isnan(none.value)
    assert all(np.isnan(part) for part in (*none.interval, *ratio(none, some), *difference(some, none)))


def test_the_interval_covers_the_truth_of_models_that_scatter_over_seeds_and_states(
    truth: tuple[torch.Tensor, xr.Dataset], cube: Grid
) -> None:
    """The interval of the median over 5 seeds; one seed's own interval, which ignores the others, hardly ever does."""
    velocity, dns = truth
    dns = with_energy(dns, np.ones(8))
    like = model(velocity, cube)
    random = np.random.default_rng(0)
    covered, covered_by_one = 0, 0
    for repetition in range(100):
        states, seeds = 0.1 * random.standard_normal(8), 0.2 * random.standard_normal(5)
        noise = 0.1 * random.standard_normal((5, 8))
        models = [with_energy(like, 1 + seeds[i] + states + noise[i]) for i in range(5)]
        for chosen in (models, models[:1]):
            low, high = pool(chosen, dns, seed=repetition, samples=100)["kinetic_energy"].interval
            if low <= 1 <= high:
                covered += chosen is models
                covered_by_one += chosen is not models
    assert 85 <= covered <= 99
    assert covered_by_one < 50


def test_the_interval_is_reproducible(truth: tuple[torch.Tensor, xr.Dataset], cube: Grid) -> None:
    velocity, dns = truth
    seeds = [model(velocity, cube), model(velocity.flip(1), cube)]
    first, second = (pool(seeds, dns, seed=0, samples=50)["enstrophy"] for _ in range(2))
    assert first.interval == second.interval
    assert first.interval != pool(seeds, dns, seed=1, samples=50)["enstrophy"].interval
