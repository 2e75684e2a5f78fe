"""Data that leave through The Well's format or NetCDF and come back as a source are the same, and go all the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from eddymark.config.schema import Experiment
from eddymark.config.steppers import solvers, stepper_names
from eddymark.external.export import export_flow
from eddymark.stages import cost, generate, importing, report, timestep, train, validate
from eddymark.storage import open_trajectories, read_trajectories

SPLITS = ("train", "validation", "test")
SCHEDULE = {"steps": 4, "steps_per_epoch": 2, "batch_size": 2, "warm_up_steps": 1, "validation_length": 0.4}
COMMON: dict[str, Any] = {
    "type": "kolmogorov",
    "reference": {"length": "box side / 2π", "velocity": "that of the force"},
    "turnover_time": 0.8,
    "sides": ["2pi", "2pi"],
    "viscosity": 0.01,
    "linear_drag": 0.1,
    "forcing": {"type": "sinusoidal", "wavenumber": 2, "amplitude": 1.0},
    "large_eddy_grid": {"points": [16, 16]},
    "validation": {
        "rollout_length": 1.2,
        "statistics_start": 0.4,
        "survival": {"energy": [0.1, 10], "enstrophy": [0.1, 10]},
        "bootstrap_samples": 100,
    },
    "large_eddy_simulations": {"no_model": {}},
    "surrogates": {
        "fno": {
            "kind": "surrogate",
            "operator": {"type": "fno", "arguments": {"width": 4, "modes": 3, "layers": 1}},
            "schedule": SCHEDULE,
        },
    },
}
SAMPLING: dict[str, Any] = {
    "runs": 3,
    "shards": 2,
    "spin_up": 1,
    "interval": 0.2,
    "gap": 0.4,
    "splits": {
        "train": {"stretches": 2, "length": 1.2},
        "validation": {"stretches": 1, "length": 1},
        "test": {"stretches": 1, "length": 1.4},
    },
}
SIMULATED = COMMON | {
    "initial_state": {"energy": 1.0, "peak_wavenumber": 3.0},
    "direct_numerical_simulation": {"points": [32, 32]},
    "sampling": SAMPLING,
}


def imported(files: list[Path]) -> dict[str, Any]:
    """Return a flow whose source has the twelve trajectories of three files, in the order of the splits."""
    splits = SAMPLING["splits"]
    return COMMON | {
        "source": {
            "files": [str(path) for path in files],
            "trajectories": {"train": ["0-5"], "validation": ["6-8"], "test": ["9-11"]},
        },
        "sampling": SAMPLING
        | {"runs": 12, "spin_up": 0, "splits": {name: splits[name] | {"stretches": 1} for name in splits}},
    }


def experiment(**flows: dict[str, Any]) -> Experiment:
    return Experiment.model_validate({"name": "test", "seed": 3, "device": "cpu", "flows": flows})


def run_generate(chosen: Experiment, name: str, results: Path) -> None:
    stage = generate if chosen.flows[name].source is None else importing
    for shard in range(2):
        output = results / name / "generate" / str(shard)
        work = results / ".work" / f"{name}-{shard}"
        for folder in (output, work):
            folder.mkdir(parents=True)
        stage.run(chosen, name, shard, results=results, output=output, work=work)


def split_of(results: Path, name: str, split: str) -> Any:
    return read_trajectories([results / name / "generate" / str(shard) / f"{split}.zarr.zip" for shard in range(2)])


def in_order(data: Any) -> tuple[np.ndarray[Any, Any], list[int]]:
    """Return trajectories and their runs in an order that does not depend on the shards."""
    order = np.lexsort((data["velocity"].values[:, 0, 0, 0, 0], data["run"].values))
    return data["velocity"].values[order], data["run"].values[order].tolist()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The simulated flow, its data exported twice, and each imported again."""
    folder = tmp_path_factory.mktemp("results")
    run_generate(experiment(simulated=SIMULATED), "simulated", folder)
    chosen = whole_experiment(folder)
    export_flow(chosen, "simulated", folder / "export", stepper=None, results=folder)
    for split in SPLITS:
        shards = [folder / "simulated" / "generate" / str(shard) / f"{split}.zarr.zip" for shard in range(2)]
        open_trajectories(shards).to_netcdf(folder / "export" / f"{split}.nc", engine="h5netcdf")
    for name in ("well", "netcdf"):
        run_generate(chosen, name, folder)
    return folder


def whole_experiment(folder: Path) -> Experiment:
    words = ("train", "valid", "test")
    return experiment(
        simulated=SIMULATED,
        well=imported([folder / "export" / "data" / word / "simulated.hdf5" for word in words]),
        netcdf=imported([folder / "export" / f"{split}.nc" for split in SPLITS]),
    )


@pytest.mark.parametrize("layout", ["well", "netcdf"])
def test_exported_data_come_back_bit_for_bit_with_their_runs(results: Path, layout: str) -> None:
    for split in SPLITS:
        before, after = split_of(results, "simulated", split), split_of(results, layout, split)
        assert after["velocity"].dims == before["velocity"].dims
        for expected, found in zip(in_order(before), in_order(after), strict=True):
            np.testing.assert_array_equal(found, expected)
        for coordinate in ("time", "turnovers", "x", "y", "component"):
            np.testing.assert_array_equal(after[coordinate].values, before[coordinate].values)
    attributes = split_of(results, layout, "train").attrs
    doubts = json.loads(attributes["source_doubts"])
    assert doubts == ["test trajectories share run 0 with training or validation; was there a gap between them?"]
    assert attributes["source_divergence"] < 1e-5
    # The LES grid knows the large scales, and nothing of the small ones.
    assert attributes["turnover_time"] == pytest.approx(
        split_of(results, "simulated", "train").attrs["turnover_time"], rel=0.1
    )
    assert "taylor_reynolds_number" not in attributes


def test_an_imported_flow_is_trained_validated_timed_and_reported(results: Path) -> None:
    flow = whole_experiment(results).flows["well"].model_dump(mode="json")
    # Of a coarser grid, the filtered fields hold all that is needed.
    chosen = experiment(well=flow | {"alternative_grids": [[12, 12]]})
    for name in solvers(chosen.flows["well"]):
        output = results / "well" / "train" / name / "timestep"
        output.mkdir(parents=True)
        timestep.run(chosen, "well", name, results=results, output=output, work=results / "work")
    output = results / "well" / "train" / "fno" / "seed0"
    output.mkdir(parents=True)
    train.run(chosen, "well", "fno", 0, results=results, output=output, work=results / "work")
    for stepper in stepper_names(chosen.flows["well"]):
        output = results / "well" / "validate" / stepper.folder
        work = results / ".work" / stepper.folder
        for folder in (output, work):
            folder.mkdir(parents=True)
        validate.run(chosen, "well", stepper.folder, results=results, output=output, work=work)
    output = results / "well" / "validate" / "cost"
    output.mkdir(parents=True)
    cost.run(chosen, "well", results=results, output=output, work=results / "work")
    timed = pd.read_csv(output / "cost.csv")
    assert set(timed["stepper"]) == {"no_model", "no_model-12", "fno"}
    (results / "report").mkdir()
    report.run(chosen, results=results, output=results / "report", work=results / "work")
    facts = pd.read_csv(results / "report" / "tables" / "well-data-quality.csv").set_index("quantity")["value"]
    assert facts["Source of the data"] == "3 files, The Well (HDF5)"
    assert facts["Grid of the source"] == "16 × 16"
    assert facts["Trajectories of the source in use"].startswith("12, ")
    assert "Re_λ" not in facts.index
    page = (results / "report" / "index.html").read_text(encoding="utf-8")
    assert "energy-budget" not in page
    assert "apriori" not in page
    assert not list((results / "report").rglob("*apriori*"))
    assert "speed-up over DNS" not in page
    comparison = pd.read_csv(results / "report" / "tables" / "well-comparison.csv").set_index("stepper")
    assert {"dns", "no_model", "fno", "persistence"} <= set(comparison.index)
    rollouts = export_flow(chosen, "well", results / "rollouts", stepper="no_model", results=results)
    assert [path.name for path in rollouts] == ["well-no_model.hdf5"]
