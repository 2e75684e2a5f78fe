"""Trajectories and weights: round trip, self-description, damage."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from eddymark.errors import EddymarkError
from eddymark.grid import Grid
from eddymark.storage import (
    load_weights,
    open_trajectories,
    read_trajectories,
    save_weights,
    trajectory_dataset,
    write_trajectories,
)

GRID = Grid((8, 10), (2 * math.pi, 1.0))


def dataset(*, trajectories: int = 3, turnover_time: float = 2.0, seed: int = 0) -> xr.Dataset:
    velocity = np.random.default_rng(seed).standard_normal((trajectories, 20, 2, 8, 10)).astype(np.float32)
    return trajectory_dataset(
        velocity,
        grid=GRID,
        interval=0.5,
        turnover_time=2.0,
        attributes={"flow": "test", "turnover_time": turnover_time},
        runs=[seed] * trajectories,
    )


def test_round_trip_with_names_units_and_coordinates(tmp_path: Path) -> None:
    written = dataset()
    write_trajectories(tmp_path / "a.zarr.zip", written)
    read = read_trajectories(tmp_path / "a.zarr.zip")
    xr.testing.assert_identical(read, written)
    assert read["velocity"].dims == ("trajectory", "time", "component", "x", "y")
    assert list(read["component"].values) == ["u", "v"]
    assert read["turnovers"].attrs["units"] == "turnover times"
    assert float(read["turnovers"][-1]) == pytest.approx(19 * 0.5 / 2.0)
    assert float(read["y"][-1]) == pytest.approx(0.9)


def test_equal_data_gives_equal_bytes_in_one_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_trajectories(tmp_path / f"{name}.zarr.zip", dataset())
    assert (tmp_path / "a.zarr.zip").read_bytes() == (tmp_path / "b.zarr.zip").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr.zip", "b.zarr.zip"]


def test_a_shard_without_trajectories_adds_none(tmp_path: Path) -> None:
    parts = [dataset(trajectories=0), dataset(trajectories=2, seed=1)]
    paths = [tmp_path / f"{index}.zarr.zip" for index in range(2)]
    for path, part in zip(paths, parts, strict=True):
        write_trajectories(path, part)
    joined = read_trajectories(paths)
    xr.testing.assert_identical(joined["velocity"], parts[1]["velocity"])
    assert joined["run"].dtype == np.int64


def test_shards_are_joined_and_their_scales_averaged(tmp_path: Path) -> None:
    parts = [dataset(seed=0, turnover_time=2.0), dataset(seed=1, trajectories=2, turnover_time=3.0)]
    paths = [tmp_path / f"{index}.zarr.zip" for index in range(2)]
    for path, part in zip(paths, parts, strict=True):
        write_trajectories(path, part)
    joined = open_trajectories(paths)
    assert joined["velocity"].shape == (5, 20, 2, 8, 10)
    assert joined["trajectory"].values.tolist() == [0, 1, 2, 3, 4]
    assert joined["run"].values.tolist() == [0, 0, 0, 1, 1]
    assert joined.attrs["turnover_time"] == pytest.approx(2.5)
    np.testing.assert_array_equal(joined["velocity"][3:].values, parts[1]["velocity"].values)


def test_a_damaged_or_missing_store_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr.zip"
    with pytest.raises(EddymarkError, match=r"a\.zarr\.zip: cannot be read"):
        read_trajectories(path)
    path.write_bytes(b"not a zip file")
    with pytest.raises(EddymarkError, match="cannot be read"):
        read_trajectories(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme", "no Zarr here")
    with pytest.raises(EddymarkError, match="cannot be read"):
        read_trajectories(path)


def test_weights_round_trip_and_misfit(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    first, second = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    save_weights(path, first)
    load_weights(path, second)
    assert torch.equal(first.weight, second.weight)
    with pytest.raises(EddymarkError, match="does not hold the weights"):
        load_weights(path, torch.nn.Linear(4, 2))
