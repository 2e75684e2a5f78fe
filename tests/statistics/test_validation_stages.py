"""The stages which validate and time steppers, on small made-up data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from torch import Tensor

from eddymark.config.schema import Experiment
from eddymark.grid import Grid
from eddymark.stages import cost, validate
from eddymark.statistics.scores import COLUMNS
from eddymark.stepping.large_eddy_simulation import LargeEddySimulation
from eddymark.storage import read_trajectories, trajectory_dataset, write_trajectories

FLOW = {
    "type": "kolmogorov",
    "reference": {"length": "box side / 2π", "velocity": "that of the force"},
    "turnover_time": 0.5,
    "sides": ["2pi", "2pi"],
    "viscosity": 0.02,
    "linear_drag": 0.1,
    "forcing": {"type": "sinusoidal", "wavenumber": 2, "amplitude": 1.0},
    "initial_state": {"energy": 1.0, "peak_wavenumber": 2.0},
    "direct_numerical_simulation": {"points": [32, 32]},
    "large_eddy_grid": {"points": [16, 16]},
    "sampling": {
        "runs": 4,
        "shards": 2,
        "spin_up": 1,
        "interval": 0.2,
        "gap": 1,
        "splits": {name: {"stretches": 1, "length": 2} for name in ("train", "validation", "test")},
    },
    "validation": {
        "rollout_length": 3,
        "statistics_start": 1,
        "survival": {"energy": [0.01, 50], "enstrophy": [0.01, 50], "average": 1},
        "bootstrap_samples": 100,
    },
    "large_eddy_simulations": {
        "no_model": {},
        "smagorinsky": {"closure": {"type": "smagorinsky", "arguments": {"smagorinsky_constant": 0.17}}},
    },
    "surrogates": {},
}
TEST_STATES = 11


@pytest.fixture
def experiment() -> Experiment:
    return Experiment.model_validate({"name": "tiny", "seed": 1, "device": "cpu", "flows": {"box": FLOW}})


@pytest.fixture
def results(tmp_path: Path, square: Grid, random_phases: Callable[..., Tensor]) -> Path:
    """A results tree with data for two shards of two trajectories each."""
    root = tmp_path / "results"
    for shard in (0, 1):
        folder = root / "box" / "generate" / str(shard)
        folder.mkdir(parents=True)
        for number, split in enumerate(("train", "test")):
            seed = 10 * shard + number
            velocity = 10 * random_phases(square, trajectories=2, times=TEST_STATES, seed=seed, slope=-4)
            dataset = trajectory_dataset(
                velocity.float().numpy(),
                grid=square,
                interval=0.1,
                turnover_time=0.5,
                attributes={"flow": "box", "turnover_time": 0.5},
                runs=[shard, shard + 2],
            )
            write_trajectories(folder / f"{split}.zarr.zip", dataset)
    return root


def run(experiment: Experiment, stepper: str, results: Path, tmp_path: Path) -> Path:
    output = tmp_path / "output" / stepper
    output.mkdir(parents=True)
    validate.run(experiment, "box", stepper, results=results, output=output, work=tmp_path)
    assert {path.name for path in output.iterdir()} == {
        "rollouts.zarr.zip",
        "statistics.nc",
        "scores.csv",
        "cost.json",
    }
    return output


@pytest.mark.parametrize(
    ("stepper", "kind"),
    [
        ("no_model", "les"),
        ("persistence", "control"),
        ("matched_noise", "control"),
        ("constrained_noise", "control"),
    ],
)
def test_every_stepper_is_validated_by_the_same_road(
    stepper: str, kind: str, experiment: Experiment, results: Path, tmp_path: Path
) -> None:
    output = run(experiment, stepper, results, tmp_path)
    rollouts = read_trajectories(output / "rollouts.zarr.zip")
    test = read_trajectories([results / "box" / "generate" / shard / "test.zarr.zip" for shard in "01"])
    assert rollouts["velocity"].dtype == np.float32
    assert rollouts["velocity"].shape == (4, 16, 2, 16, 16)
    np.testing.assert_array_equal(rollouts["velocity"][:, 0], test["velocity"][:, 0])
    np.testing.assert_array_equal(rollouts["run"], test["run"])
    np.testing.assert_allclose(rollouts["turnovers"], 0.2 * np.arange(16))
    statistics = xr.load_dataset(output / "statistics.nc", engine="h5netcdf")
    assert statistics.attrs["stepper"] == stepper
    assert statistics.attrs["kind"] == kind
    np.testing.assert_allclose(statistics["lead_time"], 0.2 * np.arange(1, TEST_STATES))
    assert statistics["failure_cause"].values.tolist() == [""] * 4
    scores = pd.read_csv(output / "scores.csv")
    assert tuple(scores.columns) == COLUMNS
    assert set(scores["kind"]) == {kind}
    assert scores["seed"].isna().all()
    assert scores.set_index("statistic").loc["surviving_fraction", "value"] == 1
    costs = json.loads((output / "cost.json").read_text())
    assert costs["failures"] == []
    assert costs["parameters"] == 0
    assert costs["rollout_seconds"] > 0
    assert costs["peak_memory_bytes"] > 1e7


def test_persistence_keeps_the_initial_state_and_its_error_grows_to_that_of_other_states(
    experiment: Experiment, results: Path, tmp_path: Path
) -> None:
    output = run(experiment, "persistence", results, tmp_path)
    rollouts = read_trajectories(output / "rollouts.zarr.zip")["velocity"]
    test = read_trajectories([results / "box" / "generate" / shard / "test.zarr.zip" for shard in "01"])
    np.testing.assert_array_equal(rollouts[:, -1], rollouts[:, 0])
    statistics = xr.load_dataset(output / "statistics.nc", engine="h5netcdf")
    truth = test["velocity"].to_numpy().astype(float)
    expected = np.linalg.norm((truth[:, :1] - truth).reshape(4, TEST_STATES, -1), axis=2)
    expected /= np.linalg.norm(truth.reshape(4, TEST_STATES, -1), axis=2)
    np.testing.assert_allclose(statistics["relative_l2_error"], expected[:, 1:], rtol=1e-6)


def test_dns_is_its_own_reference(experiment: Experiment, results: Path, tmp_path: Path) -> None:
    output = run(experiment, "dns", results, tmp_path)
    test = read_trajectories([results / "box" / "generate" / shard / "test.zarr.zip" for shard in "01"])
    rollouts = read_trajectories(output / "rollouts.zarr.zip")
    np.testing.assert_array_equal(rollouts["velocity"], test["velocity"])
    scores = pd.read_csv(output / "scores.csv").set_index("statistic")
    assert set(scores["kind"]) == {"floor"}
    assert scores.loc["spectrum_error", "value"] == scores.loc["spectrum_error", "floor"] > 0
    assert "relative_l2_error" not in scores.index
    statistics = xr.load_dataset(output / "statistics.nc", engine="h5netcdf")
    assert "lead_time" not in statistics.coords
    # All test states count, so that the mean over time is that over the window.
    np.testing.assert_allclose(statistics["mean_enstrophy"], statistics["enstrophy"].mean("time"))


def test_floors_do_not_depend_on_the_stepper(experiment: Experiment, results: Path, tmp_path: Path) -> None:
    floors = [
        pd.read_csv(run(experiment, stepper, results, tmp_path) / "scores.csv").set_index("statistic")["floor"]
        for stepper in ("dns", "persistence", "matched_noise")
    ]
    for floor in floors[1:]:
        pd.testing.assert_series_equal(floor[floors[0].index], floors[0])


def test_a_blow_up_is_a_result(
    experiment: Experiment, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = LargeEddySimulation.forward

    def explosive(self: LargeEddySimulation, past: Tensor) -> Tensor:
        return 3 * honest(self, past)

    monkeypatch.setattr(LargeEddySimulation, "forward", explosive)
    output = run(experiment, "no_model", results, tmp_path)
    failures = json.loads((output / "cost.json").read_text())["failures"]
    assert [failure["trajectory"] for failure in failures] == [0, 1, 2, 3]
    assert all(0 < failure["time"] < 0.7 and failure["cause"] for failure in failures)
    assert np.isnan(read_trajectories(output / "rollouts.zarr.zip")["velocity"][:, -1]).all()
    scores = pd.read_csv(output / "scores.csv").set_index("statistic")
    assert scores.loc["surviving_fraction", "value"] == 0
    assert np.isnan(scores.loc["spectrum_error", "value"])
    assert scores.loc["failure_time", "value"] < 0.7


def test_all_competitors_are_timed_in_one_table(experiment: Experiment, results: Path, tmp_path: Path) -> None:
    cost.run(experiment, "box", results=results, output=tmp_path, work=tmp_path)
    table = pd.read_csv(tmp_path / "cost.csv")
    assert list(table.columns) == [
        *("flow", "stepper", "kind", "seed", "batch", "seconds_per_turnover_time", "low", "high"),
        *("repeats", "threads", "device", "precision"),
    ]
    assert table["stepper"].tolist() == ["no_model", "smagorinsky"] * 2
    assert table["batch"].tolist() == [1, 1, 4, 4]
    assert set(table["precision"]) == {"float32"}
    assert set(table["threads"]) == {1}
    assert (table["low"] <= table["seconds_per_turnover_time"]).all()
    # A closure cannot come for free.
    assert table["seconds_per_turnover_time"][1] > table["seconds_per_turnover_time"][0] > 0
