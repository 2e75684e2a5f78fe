"""The HDF5 specification of The Well, read and written.

Velocity is the vector field `t1_fields/velocity`, `(trajectory, time, x, y[, z], component)`; times and coordinates are
in `dimensions`, parameters in `scalars` and in the attributes of the root.

Source: https://polymathic-ai.org/the_well/data_format; Ohana et al. (2024), The Well, NeurIPS Datasets and Benchmarks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from eddymark.config.source import Source
from eddymark.external.store import AXES, SourceError, Store, fields, numbers
from eddymark.storage import CHUNK_OUTPUTS


def is_well(file: h5py.File) -> bool:
    """Return whether a file follows the specification."""
    return "t1_fields" in file and "dimensions" in file


def well_store(file: h5py.File, path: Path, source: Source, dimension: int) -> Store:
    """Return what a file of The Well holds.

    Raises:
        SourceError: if it is not periodic and Cartesian, or the velocity is missing or of another shape.
    """
    name = (source.velocity or ("velocity",))[0]
    vectors, grid = file["t1_fields"], file["dimensions"]
    if name not in vectors:
        raise SourceError(f"{path}, t1_fields", f"{name!r} (name it in source.velocity)", ", ".join(vectors) or "none")
    _check_geometry(path, file)
    field = vectors[name]
    dimensions: list[str] = list(source.dimensions or ())
    if not dimensions:
        dimensions = ["trajectory"] if field.attrs.get("sample_varying", True) else []
        dimensions += ["time"] if field.attrs.get("time_varying", True) else []
        dimensions += [*map(_word, grid.attrs.get("spatial_dims", ())), "component"]
    trajectories, outputs, points, read = fields([field], dimensions, f"{path}, t1_fields/{name}", dimension)
    return Store(
        path=path,
        layout="The Well (HDF5)",
        trajectories=trajectories,
        outputs=outputs,
        points=points,
        coordinates=tuple(_coordinate(grid, axis, path) for axis in AXES[:dimension]),
        time=_coordinate(grid, "time", path),
        runs=_runs(file, trajectories),
        dtype=field.dtype,
        read=read,
    )


def _coordinate(grid: h5py.Group, name: str, path: Path) -> NDArray[np.float64] | None:
    return numbers(grid[name][()], f"{path}, dimensions/{name}") if name in grid else None


def _check_geometry(path: Path, file: h5py.File) -> None:
    kind = _word(file.attrs.get("grid_type", "cartesian"))
    if kind.lower() != "cartesian":
        raise SourceError(f"{path}", "a Cartesian grid", kind)
    for name, boundary in file.get("boundary_conditions", {}).items():
        kind = _word(boundary.attrs.get("bc_type", "periodic"))
        if kind.lower() != "periodic":
            raise SourceError(f"{path}, boundary_conditions/{name}", "periodic boundaries", kind)


def _word(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _runs(file: h5py.File, trajectories: int) -> NDArray[np.int64] | None:
    scalars = file.get("scalars", {})
    if "run" not in scalars or scalars["run"].shape != (trajectories,):
        return None
    return np.asarray(scalars["run"][:]).round().astype(np.int64)


def write_well(path: Path, parts: Sequence[xr.Dataset], *, name: str, parameters: Mapping[str, float]) -> None:
    """Write trajectories as a file of The Well, a few outputs at a time.

    Beside what the specification asks for, the scalar `run` says which trajectories were cut from one run.

    Arguments:
        path: the file.
        parts: datasets of trajectories of equal length (see `storage.trajectory_dataset`), opened lazily.
        name: name of the data set.
        parameters: parameters of the simulation, such as the viscosity.
    """
    first = parts[0]
    velocity = first["velocity"]
    axes = [axis for axis in AXES if axis in velocity.dims]
    points = [velocity.sizes[axis] for axis in axes]
    trajectories, outputs = sum(part.sizes["trajectory"] for part in parts), first.sizes["time"]
    with h5py.File(path, "w") as file:
        file.attrs["dataset_name"] = name
        file.attrs["grid_type"] = "cartesian"
        file.attrs["n_spatial_dims"] = len(axes)
        file.attrs["n_trajectories"] = trajectories
        file.attrs["simulation_parameters"] = list(parameters)
        for key, value in parameters.items():
            file.attrs[key] = value
        dimensions = file.create_group("dimensions")
        dimensions.attrs["spatial_dims"] = axes
        _write(dimensions, "time", first["time"].values, sample_varying=False)
        boundaries = file.create_group("boundary_conditions")
        for axis in axes:
            coordinate = first[axis].values
            _write(dimensions, axis, coordinate, sample_varying=False, time_varying=False)
            _write_periodic(boundaries, axis, len(coordinate))
        scalars = file.create_group("scalars")
        scalars.attrs["field_names"] = [*parameters, "run"]
        for key, value in parameters.items():
            _write(scalars, key, np.array([value]), sample_varying=False, time_varying=False)
        runs = np.concatenate([part["run"].values for part in parts])
        _write(scalars, "run", runs, sample_varying=True, time_varying=False)
        for order in (0, 1, 2):
            group = file.create_group(f"t{order}_fields")
            group.attrs["field_names"] = np.array(["velocity"] if order == 1 else [], dtype=h5py.string_dtype())
        field = file["t1_fields"].create_dataset("velocity", (trajectories, outputs, *points, len(axes)), np.float32)
        field.attrs["dim_varying"] = np.ones(len(axes), dtype=bool)
        field.attrs["sample_varying"] = True
        field.attrs["time_varying"] = True
        number = 0
        for part in parts:
            for trajectory in part["velocity"].transpose("trajectory", "time", *axes, "component"):
                for start in range(0, outputs, CHUNK_OUTPUTS):
                    block = slice(start, start + CHUNK_OUTPUTS)
                    field[number, block] = trajectory[block].values
                number += 1


def _write(group: h5py.Group, name: str, values: NDArray[Any], **attributes: bool) -> None:
    dataset = group.create_dataset(name, data=values.astype(np.float32))
    dataset.attrs.update(attributes)


def _write_periodic(boundaries: h5py.Group, axis: str, points: int) -> None:
    """Describe both ends of an axis as one periodic boundary."""
    group = boundaries.create_group(f"{axis}_periodic")
    group.attrs["associated_dims"] = [axis]
    group.attrs["associated_fields"] = np.array([], dtype=h5py.string_dtype())
    group.attrs["bc_type"] = "periodic"
    group.attrs["sample_varying"] = False
    group.attrs["time_varying"] = False
    mask = np.zeros(points, dtype=bool)
    mask[[0, -1]] = True
    group.create_dataset("mask", data=mask)
    group.create_dataset("values", data=np.zeros(2, dtype=np.float32))
