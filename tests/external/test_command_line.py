"""What a user of `eddymark check` and `eddymark export` sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from eddymark.cli import main
from eddymark.grid import Grid
from eddymark.storage import trajectory_dataset, write_trajectories
from tests.external.fields import GRID_2D, velocity
from tests.small_experiment import write_experiment

FLOW = "flows/kolmogorov.yaml"


def run(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    code = exit_.value.code
    return code if isinstance(code, int) else 0


def configuration(folder: Path, data: xr.Dataset) -> Path:
    data.to_netcdf(folder / "a.nc", engine="h5netcdf")
    splits = {split: {"stretches": 1, "length": 3} for split in ("train", "validation", "test")}
    changes = {
        "initial_state": None,
        "direct_numerical_simulation": None,
        "source": {"files": str(folder / "a.nc")},
        "large_eddy_grid": {"points": [16, 16]},
        "sampling.splits": splits,
        "surrogates.fno": None,
        "surrogates.fitted_viscosity": None,
    }
    return write_experiment(folder / "config", *((FLOW, key, value) for key, value in changes.items()))


def dataset(*, interval: float) -> xr.Dataset:
    fields = np.repeat(velocity(GRID_2D, trajectories=2, outputs=1), 72, axis=1)
    return trajectory_dataset(fields, grid=GRID_2D, interval=interval, turnover_time=0.8, attributes={}, runs=[0, 1])


def test_check_looks_into_the_files_of_a_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("check", "--configfile", configuration(tmp_path, dataset(interval=0.16))) == 0
    assert "kolmogorov: 14 jobs, trajectories: 2 train, 2 validation, 2 test" in capsys.readouterr().out
    assert run("apriori", "kolmogorov", "--configfile", tmp_path / "config" / "config.yaml") == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("eddymark: no job kolmogorov/validate/apriori in the experiment; there are: ")
    assert run("check", "--configfile", configuration(tmp_path, dataset(interval=0.3))) == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    assert error[0].startswith(f"config/{FLOW}: source: expected a time step of which sampling.interval")
    assert error[0].endswith(f"found a time step of 0.3 flow units in {tmp_path}/a.nc")


def test_export_says_in_one_line_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = ["--configfile", configuration(tmp_path, dataset(interval=0.16))]
    for arguments, message in (
        (("kolmogorow", "out"), "no flow kolmogorow in the experiment (kolmogorov); did you mean kolmogorov?"),
        (("kolmogorov", "out", "--stepper", "no_modl"), "did you mean no_model?"),
        (("kolmogorov", "out"), "results/kolmogorov/generate/0/train.zarr.zip: cannot be read as trajectories"),
    ):
        assert run("export", *arguments, *config) == 1
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    grid = Grid((16, 16), GRID_2D.sides)
    fields = velocity(grid, trajectories=1)
    for shard in range(2):
        for split in ("train", "validation", "test"):
            path = tmp_path / "results" / "kolmogorov" / "generate" / str(shard) / f"{split}.zarr.zip"
            path.parent.mkdir(parents=True, exist_ok=True)
            data = trajectory_dataset(fields, grid=grid, interval=0.16, turnover_time=0.8, attributes={}, runs=[shard])
            write_trajectories(path, data)
    assert run("export", "kolmogorov", "out", *config) == 0
    written = capsys.readouterr().out.splitlines()
    assert written == [f"out/data/{split}/kolmogorov.hdf5" for split in ("train", "valid", "test")]
    assert run("export", "kolmogorov", "out", *config) == 1
    assert "exists already" in capsys.readouterr().err
    assert sorted(path.name for path in Path("out/data").rglob("*.*")) == ["kolmogorov.hdf5"] * 3
