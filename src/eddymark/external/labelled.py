"""Zarr, NetCDF and plain HDF5: arrays whose axes have names, in the file or in the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from eddymark.config.source import Source
from eddymark.external.store import AXES, SourceError, Store, fields, numbers

_COMPONENTS = ("u", "v", "w")
_ENGINES: dict[str, dict[str, Any]] = {
    "Zarr": {"engine": "zarr", "chunks": None, "consolidated": False},
    "NetCDF 3": {"engine": "scipy"},
    "HDF5": {"engine": "h5netcdf", "phony_dims": "sort"},
}


@contextmanager
def open_labelled(path: Path, kind: str, source: Source, dimension: int) -> Iterator[Store]:
    """Open a store whose variables xarray can read.

    Arguments:
        path: the file or folder.
        kind: `Zarr`, `NetCDF 3` or `HDF5`, which includes NetCDF 4.
        source: names of the variables and of their axes, where they are not the usual ones.
        dimension: number of space dimensions.

    Raises:
        SourceError: if the velocity is not there or not of the expected shape.
    """
    names, group = _names(source)
    with _dataset(path, kind, group) as data:
        if not names:
            usual = list(_COMPONENTS[:dimension])
            names = ["velocity"] if "velocity" in data else usual
        if missing := [name for name in names if name not in data.variables]:
            present = ", ".join(map(str, data.data_vars)) or "no variables"
            raise SourceError(f"{path}", f"the velocity {missing[0]!r} (name it in source.velocity)", present)
        variables = [data[name].variable for name in names]
        own = [str(name) for name in variables[0].dims]
        dimensions = list(source.dimensions or own)
        where = f"{path}, {', '.join(names)}"
        trajectories, outputs, points, read = fields(variables, dimensions, where, dimension)
        original = dict(zip(dimensions, own, strict=True))
        yield Store(
            path=path,
            layout=kind,
            trajectories=trajectories,
            outputs=outputs,
            points=points,
            coordinates=tuple(_coordinate(data, axis, original, path) for axis in AXES[:dimension]),
            time=_coordinate(data, "time", original, path),
            runs=_runs(data, original),
            dtype=np.dtype(variables[0].dtype),
            read=read,
        )


def _names(source: Source) -> tuple[list[str], str | None]:
    """Return the names of the velocity's variables and the group which holds them."""
    paths = [name.strip("/").rpartition("/") for name in source.velocity or ()]
    groups = {group for group, _, _ in paths}
    if len(groups) > 1:
        raise SourceError("source.velocity", "components of one group", ", ".join(sorted(groups)))
    return [name for _, _, name in paths], (groups.pop() or None) if groups else None


@contextmanager
def _dataset(path: Path, kind: str, group: str | None) -> Iterator[xr.Dataset]:
    """Open a store lazily; its times stay numbers."""
    options: dict[str, Any] = {"decode_times": False, "cache": False, **_ENGINES[kind]}
    if kind != "NetCDF 3":
        options["group"] = group
    try:
        # A zip is opened as such: a path would be taken for a folder.
        target: Any = zarr.storage.ZipStore(path, mode="r") if kind == "Zarr" and path.is_file() else path
        data = xr.open_dataset(target, **options)
    except Exception as error:  # whatever a damaged or foreign store makes the libraries raise
        raise SourceError(f"{path}", f"a readable {kind} store", " ".join(f"{error}".split()) or "none") from error
    with data:
        yield data


def _coordinate(data: xr.Dataset, name: str, original: Mapping[str, str], path: Path) -> NDArray[np.float64] | None:
    """Return the coordinate of an axis: the variable of the axis' name in the file, or of its usual name."""
    for candidate in (original.get(name), name):
        if candidate is not None and candidate in data.variables:
            values = numbers(data[candidate], f"{path}, {candidate}")
            return values.reshape(-1) if values.ndim == 0 else values
    return None


def _runs(data: xr.Dataset, original: Mapping[str, str]) -> NDArray[np.int64] | None:
    if "run" not in data.variables or data["run"].dims != (original.get("trajectory"),):
        return None
    return np.asarray(data["run"].values).astype(np.int64)
