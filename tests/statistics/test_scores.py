from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from torch import Tensor

from eddymark.grid import Grid
from eddymark.statistics.measure import Scales, Window, measure, measure_scales
from eddymark.statistics.scores import COLUMNS, score_table

Fields = Callable[..., Tensor]


def statistics(
    velocity: Tensor,
    *,
    grid: Grid,
    scales: Scales,
    kind: str = "les",
    truth: Tensor | None = None,
    failure_time: np.ndarray | None = None,
    start: float = 1.0,
    parts: int = 1,
) -> xr.Dataset:
    window = Window(start, parts=parts)
    found = measure(velocity, grid=grid, interval=1.0, window=window, scales=scales, truth=truth)
    survived = np.full(len(velocity), np.nan)
    found["failure_time"] = ("trajectory", survived if failure_time is None else failure_time)
    names = {"flow": "box", "stepper": "dns" if kind == "floor" else "fake", "kind": kind, "seed": ""}
    return found.assign_attrs(names).assign_coords(run=("trajectory", np.arange(len(velocity))))


def scales_of(velocity: Tensor, *, grid: Grid) -> Scales:
    return measure_scales(velocity, grid=grid, interval=1.0, window=Window(-np.inf))


def dns_statistics(velocity: Tensor, *, grid: Grid, scales: Scales) -> xr.Dataset:
    return statistics(velocity, grid=grid, scales=scales, kind="floor", start=-np.inf)


def table(prediction: xr.Dataset, dns: xr.Dataset, samples: int = 200) -> pd.DataFrame:
    return score_table(prediction, dns, seed=0, samples=samples)


def row(scores: pd.DataFrame, statistic: str, window: str | None = None) -> pd.Series:
    chosen = scores[scores["statistic"] == statistic]
    if window is not None:
        chosen = chosen[chosen["window"] == window]
    assert len(chosen) == 1, statistic
    return chosen.iloc[0]


def coherent(phases: Tensor, grid: Grid) -> Tensor:
    """Triads (2-D) or harmonics (3-D) `(trajectory, time, component, *grid)` with phases `(trajectory, time,
    3)`.

    The spectrum does not depend on the phases; skewness and palinstrophy production do.
    """
    axes = torch.meshgrid(*map(torch.as_tensor, grid.coordinates()), indexing="ij")
    first, second, third = (phases[..., i].reshape(*phases.shape[:2], *[1] * grid.dimension) for i in range(3))
    if grid.dimension == 3:
        pairs = zip(axes, [axes[1], axes[2], axes[0]], strict=True)
        waves = [torch.sin(x + first) - 0.4 * torch.sin(2 * x + second) + torch.sin(y) for x, y in pairs]
        return torch.stack(waves, dim=2)
    x, y = axes
    wave = [x + first, x + 2 * y + second, 2 * x + 2 * y + third]
    # Stream function Σ a cos(wave).
    u = -2 * 2.0 * torch.sin(wave[1]) + 2 * torch.sin(wave[2])
    v = torch.sin(wave[0]) + 2.0 * torch.sin(wave[1]) - 2 * torch.sin(wave[2])
    return torch.stack([u, v], dim=2)


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_fake_with_the_exact_spectrum_is_caught_by_the_structure_of_its_gradients(dimension: int) -> None:
    grid = Grid(points=(12,) * dimension, sides=(2 * np.pi,) * dimension)
    source = torch.Generator().manual_seed(dimension)
    phases = 2 * np.pi * torch.rand((6, 60, 3), generator=source, dtype=torch.float64)
    # A shift of the field shifts the phases of a triad (or of harmonics) together.
    locked = phases.clone()
    locked[..., 2] = phases[..., 0] + phases[..., 1]
    if dimension == 3:
        locked[..., 1] = 2 * phases[..., 0]
    truth, fake = coherent(locked, grid), coherent(phases, grid)
    scales = scales_of(truth, grid=grid)
    dns = dns_statistics(truth, grid=grid, scales=scales)
    scores = table(statistics(fake, grid=grid, scales=scales), dns)
    occupied = dns["energy_spectrum"].mean(["trajectory", "window"]) > 1e-20
    assert occupied.sum() >= 2
    means = [
        one["energy_spectrum"].mean(["trajectory", "window"])
        for one in (statistics(fake, grid=grid, scales=scales), dns)
    ]
    ratio = means[0] / means[1]
    np.testing.assert_allclose(ratio[occupied.values], 1, rtol=1e-10)
    name = "derivative_skewness" if dimension == 3 else "palinstrophy_production"
    caught, value = row(scores, f"{name}_error"), row(scores, name)
    assert caught.low > 10 * caught.floor
    assert abs(value.value) < 0.2 * caught.value
    assert row(scores, "kinetic_energy_error").value == pytest.approx(0, abs=1e-10)


def test_a_copy_of_the_dns_distribution_scores_like_the_floor_and_a_scaled_one_does_not(
    cube: Grid, random_phases: Fields
) -> None:
    truth = random_phases(cube, trajectories=12, times=6, seed=1)
    scales = scales_of(truth, grid=cube)
    dns = dns_statistics(truth, grid=cube, scales=scales)
    same = table(statistics(random_phases(cube, trajectories=12, times=7, seed=2), grid=cube, scales=scales), dns)
    wrong = table(
        statistics(1.2 * random_phases(cube, trajectories=12, times=7, seed=3), grid=cube, scales=scales), dns
    )
    for name in ("spectrum_error", "spectrum_error_upper", "enstrophy_error", "vorticity_pdf_distance"):
        assert row(same, name).value < 2.5 * row(same, name).floor, name
        assert row(wrong, name).value > 4 * row(wrong, name).floor, name
    assert row(wrong, "spectrum_error").value == pytest.approx(2 * np.log10(1.2), abs=0.01)
    assert row(wrong, "kinetic_energy").value == pytest.approx(1.44, abs=0.05)
    assert row(wrong, "kinetic_energy_error").value == pytest.approx(0.44, abs=0.05)
    assert row(wrong, "divergence").value < 1e-12


def test_the_floor_of_divergence_is_that_of_the_dns(cube: Grid, random_phases: Fields) -> None:
    truth = random_phases(cube, trajectories=4, times=3, seed=12)
    truth[..., 0, :, :, :] += 0.1 * torch.sin(torch.as_tensor(cube.coordinates()[0]))[:, None, None]
    scales = scales_of(truth, grid=cube)
    dns = dns_statistics(truth, grid=cube, scales=scales)
    expected = float(dns["mean_divergence"].mean())
    assert expected > 1e-3
    own = row(table(dns, dns), "divergence")
    assert own.value == own.floor == pytest.approx(expected)
    clean = random_phases(cube, trajectories=4, times=3, seed=13)
    other = row(table(statistics(clean, grid=cube, scales=scales), dns), "divergence")
    assert other.value < 1e-12 < other.floor == pytest.approx(expected)


def test_trajectories_of_one_run_do_not_count_as_independent(square: Grid, random_phases: Fields) -> None:
    # Four runs, whose four trajectories each are copies of one another.
    truth = random_phases(square, trajectories=4, times=3, seed=14).repeat_interleave(4, dim=0)
    scales = scales_of(truth, grid=square)
    factor = torch.tensor([0.8, 0.9, 1.1, 1.2], dtype=torch.float64).repeat_interleave(4)
    fake = statistics(truth * factor.view(-1, 1, 1, 1, 1), grid=square, scales=scales)
    dns = dns_statistics(truth, grid=square, scales=scales)
    runs = {"run": ("trajectory", np.repeat(np.arange(4), 4))}
    naive = row(score_table(fake, dns, seed=0, samples=2000), "kinetic_energy")
    honest = row(score_table(fake.assign_coords(runs), dns.assign_coords(runs), seed=0, samples=2000), "kinetic_energy")
    assert honest.value == naive.value
    # The standard error of 4 independent numbers is twice that of 16.
    assert 1.5 < (honest.high - honest.low) / (naive.high - naive.low) < 2.5


def test_rows_of_the_dns_are_the_sampling_floor(cube: Grid, random_phases: Fields) -> None:
    truth = random_phases(cube, trajectories=8, times=3, seed=4)
    dns = dns_statistics(truth, grid=cube, scales=scales_of(truth, grid=cube))
    scores = table(dns, dns)
    assert set(scores["kind"]) == {"floor"}
    error = row(scores, "spectrum_error")
    assert 0 < error.low < error.value == error.floor < error.high
    ratio = row(scores, "kinetic_energy")
    assert ratio.low < ratio.value == 1 < ratio.high
    assert not scores["statistic"].isin(["relative_l2_error", "decorrelation_time"]).any()
    assert row(scores, "surviving_fraction").value == 1


def test_spectrum_scores_use_their_own_shells(cube: Grid, random_phases: Fields) -> None:
    # 12 points: k_c = 3, upper shells 2 and 3, corner shells up to round(3 √3) = 5.
    truth = random_phases(cube, trajectories=4, times=3, seed=5)
    scales = scales_of(truth, grid=cube)
    dns = dns_statistics(truth, grid=cube, scales=scales)
    for shells, expected in {
        (1,): (1 / np.sqrt(3), 0.0, 1 / np.sqrt(5)),
        (2, 3): (np.sqrt(2 / 3), 1.0, np.sqrt(2 / 5)),
        (4, 5): (0.0, 0.0, np.sqrt(2 / 5)),
        (7,): (0.0, 0.0, 0.0),
    }.items():
        fake = statistics(truth, grid=cube, scales=scales, start=-np.inf)
        fake["energy_spectrum"] = fake["energy_spectrum"].where(
            ~fake["shell"].isin(shells), fake["energy_spectrum"] * 10
        )
        scores = table(fake, dns, samples=10)
        names = [("spectrum_error", "resolved"), ("spectrum_error_upper", "resolved")]
        names.append(("spectrum_error_all", "all shells"))
        found = [row(scores, *name).value for name in names]
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_error_rows_are_means_over_trajectories_at_their_step(cube: Grid, random_phases: Fields) -> None:
    truth = random_phases(cube, trajectories=2, times=7, seed=6)
    scales = scales_of(truth, grid=cube)
    scale = torch.ones(2, 7, dtype=torch.float64)
    scale[:, 1] = torch.tensor([1.1, 1.3])
    scale[:, 5] = torch.tensor([2.0, 1.0])
    fake = statistics(truth * scale[:, :, None, None, None, None], grid=cube, scales=scales, truth=truth[:, 1:])
    scores = table(fake, dns_statistics(truth, grid=cube, scales=scales))
    first = row(scores, "relative_l2_error", "step 1")
    assert first.value == pytest.approx(0.2)
    assert (first.low, first.high) == pytest.approx((0.1, 0.3))
    assert row(scores, "relative_l2_error", "step 2").value == pytest.approx(0)
    assert row(scores, "relative_l2_error", "step 5").value == pytest.approx(0.5)
    # There are only six steps of truth.
    assert np.isnan(row(scores, "relative_l2_error", "step 10").value)
    # Never decorrelated: the end of the data is the lower bound.
    assert row(scores, "decorrelation_time").value == 6


def test_failed_rollouts_stay_in_the_table(cube: Grid, random_phases: Fields) -> None:
    truth = random_phases(cube, trajectories=4, times=6, seed=7)
    scales = scales_of(truth, grid=cube)
    dns = dns_statistics(truth, grid=cube, scales=scales)
    velocity = random_phases(cube, trajectories=4, times=6, seed=8)
    whole = table(
        statistics(velocity, grid=cube, scales=scales, truth=truth[:, 1:]),
        dns,
    )
    lost = velocity.clone()
    lost[:, 2:] = torch.nan
    times = np.array([2.0, 2.0, 1.0, 1.5])
    scores = table(
        statistics(lost, grid=cube, scales=scales, truth=truth[:, 1:], failure_time=times),
        dns,
    )
    assert scores[["statistic", "window"]].equals(whole[["statistic", "window"]])
    for name in ("spectrum_error", "kinetic_energy", "vorticity_pdf_distance", "derivative_skewness_error"):
        assert np.isnan(row(scores, name)[["value", "low", "high"]].astype(float)).all(), name
    assert row(scores, "spectrum_error").floor == row(whole, "spectrum_error").floor
    assert row(scores, "surviving_fraction").value == 0
    assert row(scores, "failure_time").value == 1.75
    assert row(whole, "surviving_fraction").value == 1
    assert np.isnan(row(whole, "failure_time").value)
    assert row(scores, "relative_l2_error", "step 1").value > 0.5
    assert row(scores, "decorrelation_time").value <= 2


def test_columns_are_those_of_the_file_format(square: Grid, random_phases: Fields) -> None:
    truth = random_phases(square, trajectories=4, times=3, seed=9)
    scales = scales_of(truth, grid=square)
    fake = statistics(truth, grid=square, scales=scales, truth=truth[:, 1:])
    fake["constraint_activity"] = ("trajectory", np.full(4, 0.4))
    scores = table(fake, dns_statistics(truth, grid=square, scales=scales))
    assert tuple(scores.columns) == COLUMNS
    assert not scores.duplicated(["statistic", "window"]).any()
    assert {"palinstrophy_production", "palinstrophy_production_error"} <= set(scores["statistic"])
    assert not scores["statistic"].str.contains("skewness").any()
    assert row(scores, "constraint_activity", "every step").value == pytest.approx(0.4)


def test_the_table_is_reproducible(cube: Grid, random_phases: Fields) -> None:
    truth = random_phases(cube, trajectories=8, times=4, seed=11)
    scales = scales_of(truth, grid=cube)
    dns = dns_statistics(truth, grid=cube, scales=scales)
    fake = statistics(1.1 * truth, grid=cube, scales=scales, truth=truth[:, 1:])
    pd.testing.assert_frame_equal(table(fake, dns), table(fake, dns))
    other = score_table(fake, dns, seed=1, samples=200)
    assert not other["low"].equals(table(fake, dns)["low"])
    assert other["value"].equals(table(fake, dns)["value"])


def test_a_transient_flow_is_compared_with_the_dns_at_the_same_times(cube: Grid, random_phases: Fields) -> None:
    """Energy 2⁻ᵗ: a fake with the right averages over time at the wrong times is found out, a fair copy is not."""
    decay = (0.5 ** (0.5 * torch.arange(9, dtype=torch.float64))).view(1, 9, 1, 1, 1, 1)
    truth, copy, fake = (random_phases(cube, trajectories=12, times=9, seed=seed) * decay for seed in (1, 2, 3))
    fake = fake[:, [0, *range(8, 0, -1)]]
    window = Window(1.0, parts=4)
    scales = measure_scales(truth, grid=cube, interval=1.0, window=window)
    dns = statistics(truth, grid=cube, scales=scales, kind="floor", parts=4)
    same, wrong = (table(statistics(one, grid=cube, scales=scales, parts=4), dns) for one in (copy, fake))
    for name in ("spectrum_error", "kinetic_energy_error", "enstrophy_error", "vorticity_pdf_distance"):
        assert row(same, name).value < 2.5 * row(same, name).floor, name
        assert row(wrong, name).value > 4 * row(wrong, name).floor, name
    # Windows 1-2, 3-4, 5-6, 7-8 in reverse: energies 2^∓6, 2^∓2 times those of the DNS.
    decades = np.log10(2.0) * np.array([6, 2, 2, 6])
    assert row(wrong, "spectrum_error").value == pytest.approx(decades.mean(), rel=0.02)
    ratios = 2.0 ** np.array([-6, -2, 2, 6])
    assert row(wrong, "kinetic_energy").value == pytest.approx(ratios.mean(), rel=0.1)
    # The floor is that between disjoint halves of the runs in the same windows: as small as without any decay.
    steady = dns_statistics(truth / decay, grid=cube, scales=scales_of(truth / decay, grid=cube))
    steady_floor = row(table(steady, steady), "kinetic_energy_error").floor
    assert row(same, "kinetic_energy_error").floor < 4 * steady_floor


def test_a_window_in_which_nobody_is_left_leaves_the_score_without_value(cube: Grid, random_phases: Fields) -> None:
    truth = random_phases(cube, trajectories=4, times=5, seed=1)
    window = Window(1.0, parts=2)
    scales = measure_scales(truth, grid=cube, interval=1.0, window=window)
    dns = statistics(truth, grid=cube, scales=scales, kind="floor", parts=2)
    lost = random_phases(cube, trajectories=4, times=5, seed=2)
    lost[:, 3:] = torch.nan
    scores = table(statistics(lost, grid=cube, scales=scales, parts=2, failure_time=np.full(4, 3.0)), dns)
    assert np.isnan(row(scores, "spectrum_error").value)
    assert row(scores, "surviving_fraction").value == 0


def test_what_rollouts_share_with_their_own_dns_is_no_uncertainty_if_they_are_paired(
    cube: Grid, random_phases: Fields
) -> None:
    """A model that is 10 % too strong in every run: how much the runs differ in strength tells nothing about it."""
    strength = torch.linspace(0.5, 1.5, 8, dtype=torch.float64).view(8, 1, 1, 1, 1, 1)
    truth = strength * random_phases(cube, trajectories=8, times=4, seed=1)
    scales = scales_of(truth, grid=cube)
    dns = statistics(truth, grid=cube, scales=scales, kind="floor")
    model = statistics(1.1**0.5 * truth, grid=cube, scales=scales)
    paired = row(score_table(model, dns, seed=0, samples=200, paired=True), "kinetic_energy")
    independent = row(score_table(model, dns, seed=0, samples=200), "kinetic_energy")
    assert (paired.low, paired.value, paired.high) == pytest.approx((1.1, 1.1, 1.1))
    assert independent.high - independent.low > 0.3
