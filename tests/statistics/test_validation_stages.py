"""The stages which validate and time steppers, on small made-up data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from torch import Tensor

from eddymark.closures.base import NoClosure
from eddymark.config.schema import Experiment
from eddymark.contents import check_content
from eddymark.grid import Grid, SpectralSpace
from eddymark.records import read_measured
from eddymark.solvers.time_integration import TimeIntegration
from eddymark.stages import cost, validate
from eddymark.statistics.scores import COLUMNS
from eddymark.stepping.build import dns_stepper, fit_constraints, trainable_stepper
from eddymark.stepping.large_eddy_simulation import LargeEddySimulation
from eddymark.stepping.states import resampled
from eddymark.storage import read_trajectories, save_weights, trajectory_dataset, write_trajectories

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
        "survival": {"energy": [0.01, 50], "enstrophy": [0.01, 1000], "average": 1},
        "bootstrap_samples": 100,
    },
    "large_eddy_simulations": {
        "no_model": {"courant_number": 2.5},
        "smagorinsky": {
            "closure": {"type": "smagorinsky", "arguments": {"smagorinsky_constant": 0.17}},
            "courant_number": 2.5,
        },
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
    written = {path.name for path in output.iterdir()} - {"measured.json"}
    assert written == {"rollouts.zarr.zip", "statistics.nc", "scores.csv", "cost.json"}
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
    measured = read_measured(output)
    assert measured["rollout_seconds"] > 0
    assert 0 <= measured["peak_memory_bytes"] < 2e9


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
    # The chance level, about √2: every state against that of the next run at the same time.
    truth, other = test["velocity"].to_numpy().astype(float), test["velocity"].to_numpy().astype(float)[[2, 3, 1, 0]]
    assert test["run"].values.tolist() == [0, 2, 1, 3]
    chance = scores.loc["relative_l2_error"].set_index("window")
    for step in (1, 2, 5, 10):
        expected = np.linalg.norm((truth - other)[:, step].reshape(4, -1), axis=1)
        expected /= np.linalg.norm(other[:, step].reshape(4, -1), axis=1)
        assert chance.loc[f"step {step}", "value"] == pytest.approx(expected.mean())
        assert np.isnan(chance.loc[f"step {step}", "floor"])
    assert 0 < scores.loc["decorrelation_time", "value"] < 0.1
    assert scores.loc["divergence", "value"] == scores.loc["divergence", "floor"] > 0
    statistics = xr.load_dataset(output / "statistics.nc", engine="h5netcdf")
    assert "lead_time" not in statistics.coords
    # All test states count, so that the mean over time is that over the window.
    np.testing.assert_allclose(statistics["mean_enstrophy"][:, 0], statistics["enstrophy"].mean("time"))


def test_floors_do_not_depend_on_the_stepper(experiment: Experiment, results: Path, tmp_path: Path) -> None:
    floors = [
        pd.read_csv(run(experiment, stepper, results, tmp_path) / "scores.csv").set_index("statistic")["floor"]
        for stepper in ("dns", "persistence", "matched_noise")
    ]
    for floor in floors[1:]:
        pd.testing.assert_series_equal(floor, floors[0])
    assert floors[0]["divergence"] > 0


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
        *("flow", "stepper", "kind", "batch", "seconds_per_turnover_time", "low", "high"),
        *("repeats", "threads", "device", "precision", "solver_code"),
    ]
    assert set(table["solver_code"]) == {"compiled"}
    assert table["stepper"].tolist() == ["dns", *["no_model", "smagorinsky"] * 2]
    assert table["kind"].tolist() == ["floor", *["les"] * 4]
    assert table["batch"].tolist() == [1, 1, 1, 4, 4]
    assert (table["repeats"] >= 5).all()
    assert set(table["precision"]) == {"float32"}
    assert set(table["threads"]) == {1}
    assert (table["low"] <= table["seconds_per_turnover_time"]).all()
    assert (table["seconds_per_turnover_time"] > 0).all()


def test_a_resampled_state_is_the_same_field_on_more_points(random_phases: Callable[..., Tensor]) -> None:
    for sizes in ((16, 12), (12, 12, 8)):
        sides = (2 * np.pi,) * len(sizes)
        coarse = SpectralSpace(Grid(points=sizes, sides=sides))
        fine = SpectralSpace(Grid(points=tuple(2 * size for size in sizes), sides=sides))
        velocity = random_phases(coarse.grid, trajectories=2, times=1, seed=3)[:, 0]
        dense = resampled(velocity, coarse, fine)
        every_second = (..., *(slice(None, None, 2),) * len(sizes))
        torch.testing.assert_close(dense[every_second], velocity)
        torch.testing.assert_close(
            fine.energy_spectrum(fine.to_spectral(dense)).sum(-1),
            coarse.energy_spectrum(coarse.to_spectral(velocity)).sum(-1),
        )


def test_the_timed_dns_is_the_one_that_made_the_data(experiment: Experiment) -> None:
    dns = dns_stepper(experiment, "box")
    assert dns.solver.grid.points == (32, 32)
    assert dns.integration == TimeIntegration("runge_kutta_4", 2.0)
    assert dns.solver.space.dtype == torch.float32
    assert dns.interval == pytest.approx(0.1)
    assert isinstance(dns.closure, NoClosure)


def test_all_steppers_of_a_flow_start_from_the_same_state(
    experiment: Experiment, results: Path, tmp_path: Path
) -> None:
    forgetful = {
        "kind": "surrogate",
        "operator": {"type": "fno", "arguments": {"width": 4, "modes": 3}},
        "schedule": {"steps": 1},
    }
    document = experiment.model_dump()
    document["flows"]["box"]["surrogates"] = {"forgetful": forgetful, "long": {**forgetful, "history": 3}}
    experiment = Experiment.model_validate(document)
    for model in ("forgetful", "long"):
        folder = results / "box" / "train" / model / "seed0"
        folder.mkdir(parents=True)
        save_weights(folder / "weights.safetensors", trainable_stepper(experiment, "box", model, 0, results=None))
    test = read_trajectories([results / "box" / "generate" / shard / "test.zarr.zip" for shard in "01"])
    truth = test["velocity"].to_numpy()
    for stepper in ("dns", "no_model", "forgetful-seed0", "long-seed0", "persistence"):
        output = run(experiment, stepper, results, tmp_path)
        made = read_trajectories(output / "rollouts.zarr.zip")["velocity"]
        np.testing.assert_array_equal(made[:, 0], truth[:, 2], err_msg=stepper)
        if stepper != "dns":
            statistics = xr.load_dataset(output / "statistics.nc", engine="h5netcdf")
            np.testing.assert_allclose(statistics["lead_time"], 0.2 * np.arange(1, TEST_STATES - 2))
            expected = np.linalg.norm((made[:, 1].to_numpy() - truth[:, 3]).reshape(4, -1), axis=1)
            expected /= np.linalg.norm(truth[:, 3].reshape(4, -1), axis=1)
            np.testing.assert_allclose(statistics["relative_l2_error"][:, 0], expected, rtol=1e-4)
    cost.run(experiment, "box", results=results, output=tmp_path, work=tmp_path)
    assert "long" in set(pd.read_csv(tmp_path / "cost.csv")["stepper"])


def test_a_constraint_is_reported_as_the_share_of_shells_that_it_rescales(
    results: Path, tmp_path: Path, experiment: Experiment
) -> None:
    document = experiment.model_dump()
    document["flows"]["box"]["forcing"] = {"type": "held_shells", "energies": {1: 1.0, 2: 0.5}}
    held = Experiment.model_validate(document)
    scores = pd.read_csv(run(held, "constrained_noise", results, tmp_path) / "scores.csv").set_index("statistic")
    # 16 points resolve five shells.
    assert scores.loc["constraint_activity", "value"] == pytest.approx(2 / 5)
    assert scores.loc["constraint_activity", "window"] == "every step"
    plain = pd.read_csv(run(held, "no_model", results, tmp_path) / "scores.csv")
    assert "constraint_activity" not in set(plain["statistic"])


def test_what_constraints_did_is_stored_with_the_rollouts_of_a_model_and_of_its_noise(
    results: Path, tmp_path: Path, experiment: Experiment
) -> None:
    document = experiment.model_dump(mode="json")
    constraints = [{"type": "shell_energy", "shells": [2]}, {"type": "shell_energy_cap", "factor": 1.2}]
    document["flows"]["box"]["surrogates"]["fno"] = {
        "kind": "surrogate",
        "operator": {"type": "fno", "arguments": {"width": 4, "modes": 3, "layers": 1}},
        "constraints": constraints,
        "schedule": {"steps": 1},
    }
    constrained = Experiment.model_validate(document)
    stepper = trainable_stepper(constrained, "box", "fno", 0, results=results)
    assert stepper.constraints is not None
    fit_constraints(stepper.constraints, constrained, "box", results=results)
    weights = results / "box" / "train" / "fno" / "seed0" / "weights.safetensors"
    weights.parent.mkdir(parents=True)
    save_weights(weights, stepper)
    space, reference = stepper.constraints.space, stepper.constraints.reference
    for folder in ("fno-seed0", "fno-noise"):
        output = run(constrained, folder, results, tmp_path)
        statistics = xr.load_dataset(output / "statistics.nc", engine="h5netcdf")
        assert statistics["constraint"].values.tolist() == ["shell_energy", "shell_energy_cap"]
        for name in ("constrained_shells", "constrained_energy"):
            series = statistics[name]
            assert series.sizes == {"trajectory": 4, "time": statistics.sizes["time"], "constraint": 2}
            assert not series.isel(time=0).any()
            np.testing.assert_allclose(statistics[f"mean_{name}"], series.isel(time=slice(1, None)).mean("time"))
        scores = pd.read_csv(output / "scores.csv").set_index("statistic")
        for kind in ("shell_energy", "shell_energy_cap"):
            expected = [
                statistics[f"mean_constrained_{what}"].sel(constraint=kind).mean() for what in ("shells", "energy")
            ]
            assert scores.loc[f"{kind}_activity", "value"] == pytest.approx(float(expected[0]))
            assert scores.loc[f"{kind}_changed_energy", "value"] == pytest.approx(float(expected[1]))
            assert 0 <= scores.loc[f"{kind}_activity", "low"] <= scores.loc[f"{kind}_activity", "high"] <= 1
        assert scores.loc["shell_energy_activity", "value"] > 0.95
        made = torch.as_tensor(read_trajectories(output / "rollouts.zarr.zip")["velocity"].to_numpy())[:, 1:]
        energy = space.energy_spectrum(space.to_spectral(made)).flatten(0, 1)
        torch.testing.assert_close(energy[:, 2], reference[2].expand(len(energy)), rtol=1e-4, atol=1e-6)
        assert bool((energy[:, 1:] <= 1.2 * reference[1:] * (1 + 1e-4) + 1e-6).all())
        assert check_content(output, "statistics.nc") is None
        assert check_content(output, "scores.csv") is None
    assert scores.loc["shell_energy_cap_activity", "value"] > 0.8
