"""Stores written output by output: the same as at once, in little memory, and the same bytes after a kill."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from eddymark.grid import Grid
from eddymark.growing_store import GrowingStore
from eddymark.storage import (
    CHUNK_BYTES,
    CHUNK_OUTPUTS,
    chunk_shape,
    read_trajectories,
    trajectory_dataset,
    write_trajectories,
)

GRID = Grid((8, 6), (2 * math.pi, 1.0))
OUTPUTS = CHUNK_OUTPUTS + 5
ATTRIBUTES = {"flow": "test", "viscosity": 0.02}


def dataset(attributes: dict[str, object], *, trajectories: int = 2) -> xr.Dataset:
    fields = np.random.default_rng(0).standard_normal((trajectories, OUTPUTS, 2, 8, 6)).astype(np.float32)
    # A field of zeros is a field like any other.
    fields[0, :CHUNK_OUTPUTS] = 0
    return trajectory_dataset(
        fields, grid=GRID, interval=0.5, turnover_time=2.0, attributes=attributes, runs=[4] * trajectories
    )


def write(store: GrowingStore, fields: np.ndarray, *, first: int = 0, end: int = OUTPUTS) -> None:
    """Write outputs of all trajectories, which come side by side."""
    for output in range(first, end):
        for trajectory, outputs in enumerate(fields):
            store.write(trajectory, output, outputs[output])


def test_a_store_written_output_by_output_is_like_one_written_at_once(tmp_path: Path) -> None:
    whole = dataset(ATTRIBUTES)
    write_trajectories(tmp_path / "whole.zarr.zip", whole)
    store = GrowingStore(tmp_path / "parts", dataset({}))
    store.start()
    write(store, whole["velocity"].to_numpy())
    store.finish(tmp_path / "parts.zarr.zip", ATTRIBUTES)
    parts = read_trajectories(tmp_path / "parts.zarr.zip")
    assert parts.identical(read_trajectories(tmp_path / "whole.zarr.zip"))
    assert parts["velocity"].encoding["chunks"] == (1, CHUNK_OUTPUTS, 2, 8, 6)


def test_no_more_than_a_chunk_of_each_trajectory_is_in_memory(tmp_path: Path) -> None:
    fields = dataset({})["velocity"].to_numpy()
    store = GrowingStore(tmp_path / "parts", dataset({}))
    store.start()
    most = 0
    for output in range(OUTPUTS):
        write(store, fields, first=output, end=output + 1)
        most = max(most, sum(map(len, store.pending.values())))
    assert most == len(fields) * (CHUNK_OUTPUTS - 1)
    assert store.pending == {}


@pytest.mark.parametrize("stopped", [1, CHUNK_OUTPUTS, OUTPUTS - 1])
def test_after_a_kill_the_bytes_are_those_of_an_undisturbed_run(stopped: int, tmp_path: Path) -> None:
    fields = dataset({})["velocity"].to_numpy()
    undisturbed = GrowingStore(tmp_path / "undisturbed", dataset({}))
    undisturbed.start()
    write(undisturbed, fields)
    undisturbed.finish(tmp_path / "undisturbed.zarr.zip", ATTRIBUTES)
    first = GrowingStore(tmp_path / "killed", dataset({}))
    first.start()
    write(first, fields, end=stopped)
    pending = first.pending
    write(first, fields, first=stopped)
    # What the process was writing when it was killed, after the checkpoint.
    array = tmp_path / "killed" / "velocity"
    (array / "1.1.0.0.0").write_bytes(b"half")
    (array / "1.1.0.0.a0.partial").write_bytes(b"half")
    second = GrowingStore(tmp_path / "killed", dataset({}))
    second.resume(pending)
    write(second, fields, first=stopped)
    second.finish(tmp_path / "killed.zarr.zip", ATTRIBUTES)
    assert (tmp_path / "killed.zarr.zip").read_bytes() == (tmp_path / "undisturbed.zarr.zip").read_bytes()


def test_what_is_incomplete_or_out_of_turn_is_refused(tmp_path: Path) -> None:
    fields = dataset({})["velocity"].to_numpy()
    store = GrowingStore(tmp_path / "parts", dataset({}))
    store.start()
    with pytest.raises(ValueError, match="output 1 of trajectory 0 comes out of turn"):
        write(store, fields, first=1)
    write(store, fields[:1])
    with pytest.raises(ValueError, match="2 chunks, expected 4"):
        store.finish(tmp_path / "parts.zarr.zip", {})
    assert not (tmp_path / "parts.zarr.zip").exists()


def test_a_store_without_trajectories_is_complete(tmp_path: Path) -> None:
    store = GrowingStore(tmp_path / "parts", dataset({}, trajectories=1).isel(trajectory=slice(0, 0)))
    store.start()
    store.finish(tmp_path / "parts.zarr.zip", {})
    assert read_trajectories(tmp_path / "parts.zarr.zip")["velocity"].shape == (0, OUTPUTS, 2, 8, 6)


@pytest.mark.parametrize(("points", "outputs"), [(16, 16), (32, 16), (64, 5), (128, 1), (256, 1)])
def test_chunks_of_large_grids_hold_few_outputs(points: int, outputs: int) -> None:
    fields = xr.DataArray(np.broadcast_to(np.float32(0), (3, 40, 3, points, points, points)))
    assert chunk_shape(fields) == (1, outputs, 3, points, points, points)
    assert outputs == 1 or 4 * outputs * 3 * points**3 <= CHUNK_BYTES
