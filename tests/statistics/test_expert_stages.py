"""Validation measures, stores and scores the statistics for experts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from eddymark.config.schema import Experiment
from eddymark.contents import check_content
from eddymark.grid import Grid, SpectralSpace
from eddymark.stepping.large_eddy_simulation import LargeEddySimulation
from eddymark.storage import read_trajectories
from tests.statistics import test_transient_validation, test_validation_stages
from tests.statistics.test_validation_stages import run

experiment, results = test_validation_stages.experiment, test_validation_stages.results
decaying_results = test_transient_validation.results

DISTANCES = (
    "structure_function_error",
    "increment_skewness_error",
    "increment_densities_distance",
    "energy_flux_error",
    "enstrophy_flux_error",
    "gradient_flatness_error",
    "integral_length_error",
    "integral_time_error",
)


def opened(folder: Path) -> tuple[xr.Dataset, pd.DataFrame]:
    statistics = xr.load_dataset(folder / "statistics.nc", engine="h5netcdf")
    return statistics, pd.read_csv(folder / "scores.csv").set_index("statistic")


def test_les_dns_and_controls_have_them_alike(
    experiment: Experiment, results: Path, tmp_path: Path, square: Grid
) -> None:
    dns, floors = opened(run(experiment, "dns", results, tmp_path))
    folder = run(experiment, "smagorinsky", results, tmp_path)
    ours, scores = opened(folder)
    _, still = opened(run(experiment, "persistence", results, tmp_path))
    for name in DISTANCES:
        assert np.isfinite(scores.loc[name, "value"]), name
        assert scores.loc[name, "floor"] == still.loc[name, "floor"] == floors.loc[name, "value"] > 0, name
    # Only an LES has a model, whose work is stored.
    assert "subgrid_transfer" not in dns
    assert "subgrid_activity" not in still.index
    assert 0 < scores.loc["subgrid_activity", "value"] < 1
    np.testing.assert_allclose(ours["energy_transfer"].sum("shell"), 0, atol=1e-9)
    assert check_content(folder, "statistics.nc") is None
    # What never changes remembers for ever: its integral time is the longest lag.
    lag = float(dns["lag"][-1])
    assert lag == 0.2 * 5
    reference = dns["autocovariance"].mean("trajectory")
    time = float((reference / reference[0]).integrate("lag"))
    np.testing.assert_allclose(still.loc["integral_time", "value"], lag / time)
    # The stored numbers are those of the stored states, of which the initial one and the spin-up do not count.
    states = torch.as_tensor(read_trajectories(folder / "rollouts.zarr.zip")["velocity"].to_numpy())[:, 5:].double()
    step = states.roll(-2, dims=3)[:, :, 0] - states[:, :, 0]
    other = states.roll(-2, dims=4)[:, :, 1] - states[:, :, 1]
    expected = 0.5 * (step.pow(4) + other.pow(4)).mean((1, 2, 3))
    found = ours["structure_function"].sel(direction="longitudinal", order=4).isel(separation=1, window=0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    space = SpectralSpace(square, dealiased=True)
    vorticity = space.to_physical(space.vorticity(space.to_spectral(states)))
    dissipation = 0.02 * vorticity.square().mean((1, 2, 3, 4))
    np.testing.assert_allclose(ours["dissipation_spectrum"].sum("shell")[:, 0], dissipation, rtol=1e-5)


def test_failed_rollouts_are_without_them_and_do_not_stop_the_others(
    experiment: Experiment, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = LargeEddySimulation.forward

    def explosive(self: LargeEddySimulation, past: torch.Tensor) -> torch.Tensor:
        made = honest(self, past)
        if len(made) == 4:  # lost rollouts are no part of later batches
            made[1:3] *= 3
        return made

    monkeypatch.setattr(LargeEddySimulation, "forward", explosive)
    folder = run(experiment, "smagorinsky", results, tmp_path)
    statistics, scores = opened(folder)
    for name in ("structure_function", "subgrid_transfer", "gradient_moment", "two_point_covariance", "autocovariance"):
        lost = np.isnan(statistics[name]).any([size for size in statistics[name].dims if size != "trajectory"])
        assert lost.values.tolist() == [False, True, True, False], name
    assert np.isfinite(scores.loc["energy_flux_error", "value"])
    assert check_content(folder, "statistics.nc") is None


def test_a_transient_flow_has_them_in_each_window_and_no_memory_in_time(decaying_results: Path, tmp_path: Path) -> None:
    case = test_transient_validation.experiment()
    dns, _ = test_transient_validation.run(case, "dns", decaying_results, tmp_path)
    still, scores = test_transient_validation.run(case, "persistence", decaying_results, tmp_path)
    assert "autocovariance" not in dns
    assert "integral_time_error" not in scores.index
    for name in ("structure_function", "energy_transfer", "gradient_moment", "two_point_covariance"):
        assert dns[name].dims[:2] == ("trajectory", "window")
        assert dns[name].sizes["window"] == 3
    # What does not decay is farther from the DNS in every window; its increments are, in units of the DNS, too wide.
    bins = dns["increment_bin"]
    widths = [
        np.sqrt((one["increment_densities"] * bins**2).sum("increment_bin") * 0.25).mean(
            ["trajectory", "direction", "density_separation"]
        )
        for one in (dns, still)
    ]
    np.testing.assert_allclose(widths[0], 1, rtol=0.1)
    assert (widths[1] > 1.1).all()
    assert (np.diff(widths[1]) > 0).all()
