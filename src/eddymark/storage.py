"""Trajectories as zipped Zarr stores and weights as safetensors: self-describing, few files, nothing pickled."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
import zarr
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from eddymark.errors import EddymarkError
from eddymark.grid import Grid

AXES = ("x", "y", "z")
COMPONENTS = ("u", "v", "w")
CHUNK_OUTPUTS = 16
"""Most outputs in one chunk of a trajectory file."""
CHUNK_BYTES = 2**24
"""No chunk with more than one output is larger: so much is read for one output, and kept until it is written."""

_PLAIN_CODECS = {"blosc", "zstd", "zlib", "gzip", "lz4", "bz2", "lzma", "shuffle", "delta", "fixedscaleoffset", "crc32"}
"""Codecs that only compress. Others decode objects, and one of them, pickle, runs what stands in the file."""


def trajectory_dataset(
    velocity: NDArray[np.floating[Any]],
    *,
    grid: Grid,
    interval: float,
    turnover_time: float,
    attributes: Mapping[str, Any],
    runs: Sequence[int] | None = None,
) -> xr.Dataset:
    """Return trajectories as a labelled dataset.

    Arguments:
        velocity: `(trajectory, time, component, *grid)`.
        grid: the grid of the fields.
        interval: time between outputs, flow units.
        turnover_time: unit of the coordinate `turnovers`, flow units.
        attributes: whatever describes the data.
        runs: number of the independent run that each trajectory was cut from.
    """
    axes = AXES[: grid.dimension]
    time = np.arange(velocity.shape[1]) * interval
    dataset = xr.Dataset(
        {"velocity": (("trajectory", "time", "component", *axes), velocity)},
        coords={
            "trajectory": np.arange(velocity.shape[0]),
            "time": ("time", time, {"long_name": "time", "units": "flow time units"}),
            "turnovers": ("time", time / turnover_time, {"long_name": "time", "units": "turnover times"}),
            "component": list(COMPONENTS[: grid.dimension]),
            **{
                axis: (axis, points, {"units": "flow length units"})
                for axis, points in zip(axes, grid.coordinates(), strict=True)
            },
        },
        attrs=dict(attributes),
    )
    dataset["velocity"].attrs = {"long_name": "velocity", "units": "flow velocity units"}
    if runs is not None:
        dataset = dataset.assign_coords(run=("trajectory", np.asarray(runs, dtype=np.int64)))
    return dataset


def at_outputs(dataset: xr.Dataset, outputs: Sequence[int]) -> xr.Dataset:
    """Return trajectories of which only some outputs are there, with their times and the coordinate `output`.

    Arguments:
        dataset: as from `trajectory_dataset`, which takes consecutive outputs for granted.
        outputs: the number of each output in its trajectory.
    """
    numbers = np.asarray(outputs)
    coordinates: dict[str, Any] = {"output": ("time", numbers)}
    for name in ("time", "turnovers"):
        step = float(dataset[name][1] - dataset[name][0])
        coordinates[name] = ("time", numbers * step, dataset[name].attrs)
    return dataset.assign_coords(coordinates)


def write_trajectories(path: Path, dataset: xr.Dataset) -> None:
    """Write a dataset of trajectories to one zip file: a compressed Zarr store, equal bytes for equal data.

    What does not fit into memory is written by `growing_store.GrowingStore`.
    """
    encoding = {name: {"chunks": chunk_shape(fields)} for name, fields in dataset.data_vars.items()}
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        dataset.to_zarr(folder, consolidated=False, zarr_format=2, encoding=encoding)
        pack(Path(folder), path)


def chunk_shape(fields: xr.DataArray) -> tuple[int, ...]:
    """Return the shape of a chunk: one trajectory, as many outputs as `CHUNK_OUTPUTS` and `CHUNK_BYTES` allow.

    Arguments:
        fields: `(trajectory, output, …)`.
    """
    size = fields.dtype.itemsize * int(np.prod(fields.shape[2:]))
    return (1, max(1, min(CHUNK_OUTPUTS, CHUNK_BYTES // size, fields.shape[1])), *fields.shape[2:])


def pack(folder: Path, path: Path) -> None:
    """Pack a folder without compressing again, in a fixed order and with a fixed date."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            entry = zipfile.ZipInfo(str(file.relative_to(folder)), date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, file.read_bytes())


def open_trajectories(paths: Path | Sequence[Path]) -> xr.Dataset:
    """Open trajectories lazily; several files (shards) are joined along `trajectory` and numbered through.

    Measured scales in the attributes (turnover time, Reynolds number, …) are averaged over the files.

    Raises:
        EddymarkError: if a file cannot be read.
    """
    files = [paths] if isinstance(paths, Path) else list(paths)
    parts = [_open(path) for path in files]
    if len(parts) == 1:
        return parts[0]
    joined = xr.concat(parts, dim="trajectory", combine_attrs="override", coords="minimal", compat="override")
    for name, value in parts[0].attrs.items():
        if isinstance(value, float):
            joined.attrs[name] = float(np.mean([part.attrs[name] for part in parts]))
    return joined.assign_coords(trajectory=np.arange(joined.sizes["trajectory"]))


def _open(path: Path) -> xr.Dataset:
    try:
        _require_plain_arrays(path)
        return xr.open_zarr(zarr.storage.ZipStore(path, mode="r"), consolidated=False, chunks=None, zarr_format=2)
    except Exception as error:  # whatever a damaged or missing archive makes zarr raise
        raise EddymarkError(f"{path}: cannot be read as trajectories ({error})") from error


def read_trajectories(paths: Path | Sequence[Path]) -> xr.Dataset:
    """Read trajectories into memory; several files (shards) are joined along `trajectory`.

    Raises:
        EddymarkError: if a file cannot be read.
    """
    opened = open_trajectories(paths)
    try:
        return opened.load()
    except MemoryError:
        raise
    except Exception as error:  # whatever damaged chunks make zarr raise
        raise EddymarkError(f"{_named(paths)}: cannot be read as trajectories ({error})") from error


def _named(paths: Path | Sequence[Path]) -> str:
    return ", ".join(map(str, [paths] if isinstance(paths, Path) else paths))


def _require_plain_arrays(path: Path) -> None:
    """Refuse a Zarr store with anything but numbers and text, before any library reads it.

    Raises:
        ValueError: if the type or a codec of an array could stand for objects.
    """
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.rpartition("/")[2] != ".zarray":
                continue
            array = json.loads(archive.read(name))
            kind = array["dtype"]
            codecs = [array.get("compressor"), *(array.get("filters") or ())]
            names = [codec["id"] for codec in codecs if codec is not None]
            if not isinstance(kind, str) or np.dtype(kind).kind not in "biufcSUmM":
                raise ValueError(f"{name}: type {kind!r} is neither numbers nor text")
            if unknown := [codec for codec in names if codec not in _PLAIN_CODECS]:
                raise ValueError(f"{name}: codec {unknown[0]!r} is not one for numbers or text")


def stress_dataset(stress: NDArray[np.floating[Any]], *, outputs: Sequence[int]) -> xr.Dataset:
    """Return true subgrid-scale stresses as a labelled dataset.

    Arguments:
        stress: `(trajectory, output, entry, *grid)`; entries are τ_ij, i ≤ j, without the last diagonal one, which is
            subtracted from the others on the diagonal.
        outputs: the output of its trajectory to which each belongs.
    """
    axes = AXES[: stress.ndim - 3]
    pairs = [(i, j) for i in range(len(axes)) for j in range(i, len(axes))][:-1]
    last = axes[-1] * 2
    entries = [axes[i] + axes[j] + (f" - {last}" if i == j else "") for i, j in pairs]
    dataset = xr.Dataset(
        {"stress": (("trajectory", "output", "entry", *axes), stress)},
        coords={"output": ("output", np.asarray(outputs)), "entry": entries},
        attrs={"title": "subgrid-scale stress, (u_i u_j) filtered minus the product of filtered velocities"},
    )
    dataset["stress"].attrs = {"long_name": "subgrid-scale stress", "units": "flow velocity units squared"}
    return dataset


def read_stresses(paths: Sequence[Path]) -> xr.Dataset:
    """Read stored `stress_dataset`s; several files (shards) are joined along `trajectory`.

    Raises:
        EddymarkError: if a file cannot be read.
    """
    parts = [_open(path) for path in paths]
    try:
        return xr.concat(parts, dim="trajectory").load()
    except MemoryError:
        raise
    except Exception as error:  # whatever damaged chunks make zarr raise
        raise EddymarkError(f"{_named(paths)}: cannot be read as stresses ({error})") from error


def save_weights(path: Path, module: torch.nn.Module) -> None:
    """Write a module's parameters and persistent buffers as safetensors."""
    state = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    save_file(state, path)


def load_weights(path: Path, module: torch.nn.Module) -> None:
    """Load what `save_weights` wrote into a module of the same structure.

    Raises:
        EddymarkError: if the file cannot be read or does not fit.
    """
    try:
        module.load_state_dict(load_file(path))
    except Exception as error:
        raise EddymarkError(f"{path}: does not hold the weights of this model ({error})") from error
