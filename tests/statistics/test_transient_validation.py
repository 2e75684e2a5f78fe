"""Validation of a transient flow: everything is compared with the DNS ensemble at the same times."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from torch import Tensor

from eddymark.config.schema import Experiment
from eddymark.grid import Grid
from eddymark.stages import validate
from eddymark.storage import read_trajectories, trajectory_dataset, write_trajectories
from tests.statistics.test_validation_stages import FLOW

HALVING = 5
"""Outputs in which the energy falls to a half."""
OUTPUTS = 11


def experiment(**validation: Any) -> Experiment:
    runs = {name: {"runs": 6, "length": 2} for name in ("train", "validation", "test")}
    changes = {
        "type": "mcwilliams",
        "linear_drag": 0.0,
        "forcing": {},
        "initial_state": {"spectrum": "mcwilliams", "energy": 1.0, "peak_wavenumber": 2.0},
        "sampling": {"shards": 2, "spin_up": 0, "interval": 0.2, "splits": runs},
        "validation": FLOW["validation"] | {"rollout_length": 2, "statistics_start": 0.4, "windows": 3} | validation,
        "large_eddy_simulations": {"no_model": {"courant_number": 2.0}},
    }
    flow = FLOW | changes
    return Experiment.model_validate({"name": "tiny", "seed": 1, "device": "cpu", "flows": {"box": flow}})


@pytest.fixture
def results(tmp_path: Path, square: Grid, random_phases: Callable[..., Tensor]) -> Path:
    """A results tree with data for two shards of three decaying trajectories each."""
    root = tmp_path / "results"
    decay = (0.5 ** (torch.arange(OUTPUTS + 4, dtype=torch.float64) / (2 * HALVING))).view(1, -1, 1, 1, 1)
    for shard in (0, 1):
        folder = root / "box" / "generate" / str(shard)
        folder.mkdir(parents=True)
        for number, split in enumerate(("train", "test")):
            fields = random_phases(square, trajectories=3, times=OUTPUTS + 4, seed=10 * shard + number, slope=-4)
            dataset = trajectory_dataset(
                (fields * decay).float().numpy(),
                grid=square,
                interval=0.1,
                turnover_time=0.5,
                attributes={"flow": "box", "turnover_time": 0.5},
                runs=[6 * number + shard + 2 * index for index in range(3)],
            )
            write_trajectories(folder / f"{split}.zarr.zip", dataset)
    return root


def run(case: Experiment, stepper: str, results: Path, tmp_path: Path) -> tuple[xr.Dataset, pd.DataFrame]:
    output = tmp_path / "output" / stepper
    output.mkdir(parents=True)
    validate.run(case, "box", stepper, results=results, output=output, work=tmp_path)
    scores = pd.read_csv(output / "scores.csv").set_index("statistic")
    return xr.load_dataset(output / "statistics.nc", engine="h5netcdf"), scores


def test_dns_is_measured_over_the_windows_of_the_rollouts(results: Path, tmp_path: Path) -> None:
    statistics, scores = run(experiment(), "dns", results, tmp_path)
    test = read_trajectories([results / "box" / "generate" / shard / "test.zarr.zip" for shard in "01"])
    # Outputs 2 … 10 in three windows; what the DNS has beyond the rollouts counts for nothing.
    np.testing.assert_allclose(statistics["window_start"], [0.4, 1.0, 1.6])
    np.testing.assert_allclose(statistics["window_end"], [0.8, 1.4, 2.0])
    energy = 0.5 * test["velocity"].astype(float).pipe(np.square).sum("component").mean(["x", "y"]).to_numpy()
    assert statistics.sizes["time"] == OUTPUTS
    np.testing.assert_allclose(statistics["kinetic_energy"], energy[:, :OUTPUTS], rtol=1e-5)
    expected = energy[:, 2:11].reshape(6, 3, 3).mean(axis=2)
    np.testing.assert_allclose(statistics["mean_kinetic_energy"], expected, rtol=1e-5)
    assert scores.loc["spectrum_error", "value"] == scores.loc["spectrum_error", "floor"] > 0
    assert np.isnan(statistics["failure_time"]).all()


def test_noise_follows_the_spectrum_of_the_training_runs_in_time(results: Path, tmp_path: Path) -> None:
    statistics, scores = run(experiment(), "matched_noise", results, tmp_path)
    train = read_trajectories([results / "box" / "generate" / shard / "train.zarr.zip" for shard in "01"])
    energy = 0.5 * train["velocity"].astype(float).pipe(np.square).sum("component").mean(["x", "y"]).to_numpy()
    np.testing.assert_allclose(
        statistics["kinetic_energy"][:, 1:], np.tile(energy.mean(axis=0)[1:OUTPUTS], (6, 1)), rtol=1e-4
    )
    assert scores.loc["spectrum_error", "value"] < 3 * scores.loc["spectrum_error", "floor"]


def test_what_does_not_decay_fails_when_it_leaves_the_band_around_the_dns_at_that_time(
    results: Path, tmp_path: Path
) -> None:
    case = experiment(survival={"energy": [0.5, 4.0], "enstrophy": [0.01, 1000], "average": 0})
    statistics, scores = run(case, "persistence", results, tmp_path)
    energy = statistics["kinetic_energy"].to_numpy()
    test = read_trajectories([results / "box" / "generate" / shard / "test.zarr.zip" for shard in "01"])
    dns = 0.5 * test["velocity"].astype(float).pipe(np.square).sum("component").mean(["x", "y"]).to_numpy()
    outside = energy > 4 * dns.mean(axis=0)[:OUTPUTS]
    for trajectory, time in enumerate(statistics["failure_time"].to_numpy()):
        first = np.flatnonzero(outside[trajectory, 1:])
        assert (np.isnan(time) and not first.size) or time == pytest.approx(0.2 * (1 + first[0]))
    assert 0 < scores.loc["surviving_fraction", "value"] < 1
    # Energy that stays, over windows in which that of the DNS falls.
    assert scores.loc["kinetic_energy", "value"] > 1.5


def test_les_starts_from_the_first_state_of_every_run_and_is_compared_at_equal_times(
    results: Path, tmp_path: Path
) -> None:
    statistics, scores = run(experiment(), "no_model", results, tmp_path)
    assert statistics["run"].to_numpy().tolist() == [6, 8, 10, 7, 9, 11]
    dns, _ = run(experiment(), "dns", results, tmp_path)
    assert dict(statistics.sizes) == {**dns.sizes, "lead_time": OUTPUTS - 1}
    np.testing.assert_allclose(statistics["kinetic_energy"][:, 0], dns["kinetic_energy"][:, 0], rtol=1e-6)
    np.testing.assert_allclose(statistics["lead_time"], 0.2 * np.arange(1, OUTPUTS))
    assert set(scores.loc["relative_l2_error", "window"]) == {"step 1", "step 2", "step 5", "step 10"}
