from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from eddymark.grid import Grid
from eddymark.statistics import averaging as module
from eddymark.statistics.distributions import INCREMENT_BINS, VORTICITY_BINS
from eddymark.statistics.measure import Scales, Window, measure, measure_scales, unrelated_trajectories

Fields = Callable[..., Tensor]
UNIT = Scales(vorticity=(1.0,), increment=(1.0,))


def test_window_includes_its_ends_and_never_the_initial_state() -> None:
    time = np.array([0.0, 0.2, 0.4, 0.2 * 3, 0.8])
    assert Window(start=0.4, end=0.6).slices(time) == [slice(2, 4)]
    assert Window(start=0.0).slices(time) == [slice(1, 5)]
    assert Window(start=-np.inf).slices(time) == [slice(0, 5)]


def test_a_window_is_divided_into_equal_parts_without_gap_or_overlap() -> None:
    time = 0.1 * np.arange(14)
    assert Window(start=0.4, parts=3).slices(time) == [slice(4, 8), slice(8, 11), slice(11, 14)]
    assert Window(start=0.0, end=0.4, parts=4).slices(time) == [slice(n, n + 1) for n in (1, 2, 3, 4)]
    with pytest.raises(ValueError, match="holds no state"):
        Window(start=1.2, parts=3).slices(time)


def test_each_part_is_averaged_and_normalised_by_itself(square: Grid, random_phases: Fields) -> None:
    velocity = random_phases(square, trajectories=3, times=7, seed=11)
    velocity = velocity * (0.7 ** torch.arange(7, dtype=torch.float64)).view(1, 7, 1, 1, 1)
    window = Window(start=1.0, parts=3)
    scales = measure_scales(velocity, grid=square, interval=1.0, window=window)
    found = measure(velocity, grid=square, interval=1.0, window=window, scales=scales)
    assert found["window_start"].values.tolist() == [1.0, 3.0, 5.0]
    assert found["window_end"].values.tolist() == [2.0, 4.0, 6.0]
    for number, part in enumerate((slice(1, 3), slice(3, 5), slice(5, 7))):
        own = measure_scales(velocity[:, part], grid=square, interval=1.0, window=Window(-np.inf))
        assert scales.vorticity[number] == pytest.approx(own.vorticity[0])
        alone = measure(velocity[:, part], grid=square, interval=1.0, window=Window(-np.inf), scales=own)
        for name in ("energy_spectrum", "vorticity_density", "vorticity_fourth", "mean_enstrophy"):
            np.testing.assert_allclose(found[name][:, number], alone[name][:, 0], rtol=1e-12)
    # The spread of the normalised vorticity stays, though the flow loses nine tenths of its energy per part.
    bins = found["vorticity_bin"]
    spread = np.sqrt((found["vorticity_density"] * bins**2).sum("vorticity_bin") * VORTICITY_BINS.width)
    np.testing.assert_allclose(spread, 1, rtol=0.15)


def test_a_trajectory_that_fails_counts_in_the_parts_before(square: Grid, random_phases: Fields) -> None:
    velocity = random_phases(square, trajectories=2, times=5, seed=12)
    velocity[1, 3:] = torch.nan
    scales = Scales((1.0, 1.0), (1.0, 1.0))
    found = measure(velocity, grid=square, interval=1.0, window=Window(1.0, parts=2), scales=scales)
    assert np.isfinite(found["energy_spectrum"][:, 0]).all()
    assert np.isfinite(found["energy_spectrum"][0, 1]).all()
    for name in ("energy_spectrum", "mean_kinetic_energy", "vorticity_square"):
        assert np.isnan(found[name][1, 1]).all()


def test_variables_and_dimensions_are_those_of_the_file_format(cube: Grid, square: Grid, random_phases: Fields) -> None:
    for grid, own in (
        (cube, {"derivative_square", "derivative_cube"}),
        (square, {"vorticity_gradient_square", "vorticity_gradient_production"}),
    ):
        velocity = random_phases(grid, trajectories=2, times=4, seed=1)
        truth = random_phases(grid, trajectories=2, times=2, seed=2)
        found = measure(velocity, grid=grid, interval=0.5, window=Window(1.0), scales=UNIT, truth=truth)
        for name in ("kinetic_energy", "enstrophy", "divergence"):
            assert found[name].dims == ("trajectory", "time")
            np.testing.assert_allclose(found[f"mean_{name}"][:, 0], found[name][:, 2:].mean("time"))
        for name in ("relative_l2_error", "vorticity_correlation"):
            assert found[name].dims == ("trajectory", "lead_time")
        assert found["energy_spectrum"].dims == ("trajectory", "window", "shell")
        assert found["vorticity_density"].dims == ("trajectory", "window", "vorticity_bin")
        assert found["increment_density"].dims == ("trajectory", "window", "increment_bin")
        assert own <= set(found.data_vars)
        assert found["lead_time"].values.tolist() == [0.5, 1.0]
        assert found["time"].values.tolist() == [0.0, 0.5, 1.0, 1.5]
        assert found["shell"].values[0] == 1
        np.testing.assert_allclose(found["vorticity_density"].sum("vorticity_bin") * VORTICITY_BINS.width, 1)
        np.testing.assert_allclose(found["increment_density"].sum("increment_bin") * INCREMENT_BINS.width, 1)


def test_initial_state_and_spin_up_enter_neither_averages_nor_errors(cube: Grid, random_phases: Fields) -> None:
    velocity = random_phases(cube, trajectories=2, times=5, seed=3)
    truth = random_phases(cube, trajectories=2, times=3, seed=4)
    changed = velocity.clone()
    changed[:, 0] *= 7.0
    measured = [
        measure(states, grid=cube, interval=1.0, window=Window(0.0), scales=UNIT, truth=truth)
        for states in (velocity, changed)
    ]
    for name in measured[0].data_vars:
        first, second = (
            found[name].isel(time=slice(1, None)) if "time" in found[name].dims else found[name] for found in measured
        )
        np.testing.assert_array_equal(first, second)
    assert (measured[1]["kinetic_energy"][:, 0] > measured[0]["kinetic_energy"][:, 0]).all()


def test_errors_compare_each_output_with_the_truth_of_its_own_time(cube: Grid, random_phases: Fields) -> None:
    truth = random_phases(cube, trajectories=1, times=4, seed=5)
    velocity = truth * torch.tensor([1.0, 1.1, 1.2, 1.3], dtype=torch.float64).view(1, 4, 1, 1, 1, 1)
    found = measure(velocity, grid=cube, interval=0.2, window=Window(0.0), scales=UNIT, truth=truth[:, 1:])
    np.testing.assert_allclose(found["relative_l2_error"][0], [0.1, 0.2, 0.3])
    np.testing.assert_allclose(found["vorticity_correlation"][0], 1)
    assert np.isnan(found["decorrelation_time"][0])


def test_time_averages_skip_trajectories_that_failed_in_the_window_but_keep_their_history(
    square: Grid, random_phases: Fields
) -> None:
    velocity = random_phases(square, trajectories=3, times=6, seed=6)
    whole = measure(velocity, grid=square, interval=1.0, window=Window(3.0), scales=UNIT)
    velocity[1, 4:] = torch.nan
    found = measure(velocity, grid=square, interval=1.0, window=Window(3.0), scales=UNIT)
    averages = ["energy_spectrum", "vorticity_density", "vorticity_gradient_production", "mean_enstrophy"]
    for name in averages:
        assert np.isnan(found[name][1]).all()
        np.testing.assert_array_equal(found[name][[0, 2]], whole[name][[0, 2]])
    np.testing.assert_array_equal(found["enstrophy"][1, :4], whole["enstrophy"][1, :4])
    assert np.isnan(found["enstrophy"][1, 4:]).all()


def test_all_failed_trajectories_give_the_same_variables_without_values(cube: Grid, random_phases: Fields) -> None:
    velocity = random_phases(cube, trajectories=2, times=4, seed=7)
    whole = measure(velocity, grid=cube, interval=1.0, window=Window(1.0), scales=UNIT)
    velocity[:, 1:] = torch.nan
    found = measure(velocity, grid=cube, interval=1.0, window=Window(1.0), scales=UNIT)
    assert {name: found[name].shape for name in found} == {name: whole[name].shape for name in whole}
    assert np.isnan(found["energy_spectrum"]).all()
    assert np.isnan(found["mean_kinetic_energy"]).all()


def test_chunks_of_time_do_not_change_the_result(
    cube: Grid, random_phases: Fields, monkeypatch: pytest.MonkeyPatch
) -> None:
    velocity = random_phases(cube, trajectories=2, times=7, seed=8)
    truth = random_phases(cube, trajectories=2, times=5, seed=9)

    def once() -> object:
        scales = measure_scales(velocity, grid=cube, interval=1.0, window=Window(-np.inf))
        return measure(velocity, grid=cube, interval=1.0, window=Window(1.0), scales=scales, truth=truth)

    whole = once()
    monkeypatch.setattr(module, "VALUES_AT_ONCE", 2 * velocity[:, 0].numel())
    parts = once()
    for name in whole:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-12, atol=1e-15)


def test_scales_make_the_normalised_quantities_unit_rms(square: Grid) -> None:
    x = torch.as_tensor(square.coordinates()[0])[:, None].expand(16, 16)
    velocity = torch.stack([torch.zeros_like(x), torch.sin(3 * x)]).expand(2, 3, 2, 16, 16)
    whole = Window(-np.inf)
    scales = measure_scales(velocity, grid=square, interval=1.0, window=whole)
    assert scales.vorticity == pytest.approx((3 / np.sqrt(2),))
    # v does not vary along y: no longitudinal increments at all.
    assert scales.increment == pytest.approx((0,), abs=1e-15)
    along = torch.stack([torch.sin(x), torch.zeros_like(x)]).expand(1, 1, 2, 16, 16)
    expected = 2 * np.sin(square.spacing[0] / 2) / np.sqrt(2) / np.sqrt(2)
    assert measure_scales(along, grid=square, interval=1.0, window=whole).increment == pytest.approx((expected,))


def test_a_window_without_states_is_refused(square: Grid, random_phases: Fields) -> None:
    velocity = random_phases(square, trajectories=1, times=3, seed=10)
    with pytest.raises(ValueError, match="no state"):
        measure(velocity, grid=square, interval=1.0, window=Window(9.0), scales=UNIT)


@pytest.mark.parametrize("runs", [[0, 0, 1, 1], [0, 1, 0, 1, 2, 2], [3, 1, 2, 0], [0, 0, 0, 1, 1, 2]])
def test_unrelated_trajectories_are_all_used_and_come_from_other_runs(runs: list[int]) -> None:
    partners = unrelated_trajectories(np.array(runs))
    assert sorted(partners) == list(range(len(runs)))
    assert all(runs[partner] != run for partner, run in zip(partners, runs, strict=True))


def test_with_a_single_run_other_trajectories_of_it_are_taken() -> None:
    partners = unrelated_trajectories(np.zeros(3, dtype=np.int64))
    assert sorted(partners) == [0, 1, 2]
    assert (partners != np.arange(3)).all()
