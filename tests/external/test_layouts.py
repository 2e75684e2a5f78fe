"""Whatever the layout, the same velocity is read: components and axes in their places, bit for bit."""

from __future__ import annotations

import math
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from eddymark.config.source import Source
from eddymark.external.opening import open_store
from eddymark.external.store import SourceError
from eddymark.external.the_well import write_well
from eddymark.grid import Grid
from eddymark.storage import open_trajectories, trajectory_dataset, write_trajectories
from tests.external.fields import GRID_2D, INTERVAL, velocity, write_cutout

GRID = Grid((12, 10, 8), (2 * math.pi, 2 * math.pi, 2 * math.pi))
FIELDS = velocity(GRID, trajectories=3, outputs=5)
RUNS = [4, 4, 7]


def dataset(fields: NDArray[np.float32] = FIELDS, grid: Grid = GRID) -> xr.Dataset:
    runs = RUNS[: len(fields)]
    return trajectory_dataset(fields, grid=grid, interval=INTERVAL, turnover_time=1.0, attributes={}, runs=runs)


def own_zip(folder: Path) -> tuple[Path, dict[str, Any]]:
    write_trajectories(folder / "own.zarr.zip", dataset())
    return folder / "own.zarr.zip", {}


def zarr_folder(folder: Path) -> tuple[Path, dict[str, Any]]:
    dataset().to_zarr(folder / "store", zarr_format=3)
    return folder / "store", {}


def extracted_zip(folder: Path) -> tuple[Path, dict[str, Any]]:
    write_trajectories(folder / "own.zip", dataset())
    with zipfile.ZipFile(folder / "own.zip") as archive:
        archive.extractall(folder / "extracted")
    return folder / "extracted", {}


def netcdf(folder: Path) -> tuple[Path, dict[str, Any]]:
    dataset().to_netcdf(folder / "a.nc", engine="h5netcdf")
    return folder / "a.nc", {}


def old_netcdf_with_other_names(folder: Path) -> tuple[Path, dict[str, Any]]:
    names = {"trajectory": "ensemble", "time": "t", "x": "lon", "y": "lat", "z": "height"}
    data = dataset()["velocity"].rename({**names, "component": "vector"}).transpose("t", "ensemble", ...)
    separate = {name: data.isel(vector=i, drop=True) for i, name in enumerate(("ux", "uy", "uz"))}
    xr.Dataset(separate).drop_vars("run").to_netcdf(folder / "old.nc", engine="scipy", format="NETCDF3_64BIT")
    dimensions = ("time", "trajectory", "x", "y", "z")
    return folder / "old.nc", {"velocity": ("ux", "uy", "uz"), "dimensions": dimensions}


def plain_hdf5_big_endian_in_a_group(folder: Path) -> tuple[Path, dict[str, Any]]:
    with h5py.File(folder / "solver.h5", "w") as file:
        for index, name in enumerate(("U", "V", "W")):
            file[f"fields/{name}"] = FIELDS[:, :, index].transpose(0, 1, 4, 3, 2).astype(">f4")
        file["fields/time"] = INTERVAL * np.arange(5)
        file["fields/x"], file["fields/y"], file["fields/z"] = GRID.coordinates()
    dimensions = ("trajectory", "time", "z", "y", "x")
    return folder / "solver.h5", {"velocity": ("fields/U", "fields/V", "fields/W"), "dimensions": dimensions}


def the_well(folder: Path) -> tuple[Path, dict[str, Any]]:
    write_well(folder / "a.hdf5", [dataset()], name="test", parameters={"viscosity": 0.02})
    return folder / "a.hdf5", {}


@pytest.mark.parametrize(
    ("write", "layout"),
    [
        (own_zip, "Zarr"),
        (zarr_folder, "Zarr"),
        (extracted_zip, "Zarr"),
        (netcdf, "HDF5"),
        (old_netcdf_with_other_names, "NetCDF 3"),
        (plain_hdf5_big_endian_in_a_group, "HDF5"),
        (the_well, "The Well (HDF5)"),
    ],
)
def test_every_layout_gives_the_same_velocity_bit_for_bit(
    tmp_path: Path, write: Callable[[Path], tuple[Path, dict[str, Any]]], layout: str
) -> None:
    path, options = write(tmp_path)
    with open_store(path, Source(files=(str(path),), **options), 3) as store:
        assert (store.layout, store.trajectories, store.outputs, store.points) == (layout, 3, 5, (12, 10, 8))
        for number in range(3):
            read = store.read(number, slice(0, 5))
            assert read.dtype == np.float32
            np.testing.assert_array_equal(read, FIELDS[number])
        np.testing.assert_array_equal(store.read(1, slice(0, 5, 2)), FIELDS[1, ::2])
        assert store.time is not None
        np.testing.assert_allclose(store.time, INTERVAL * np.arange(5), rtol=1e-6)
        for coordinate, points in zip(store.coordinates, GRID.coordinates(), strict=True):
            assert coordinate is not None
            np.testing.assert_allclose(coordinate, points, rtol=1e-6)
        if layout in ("The Well (HDF5)", "Zarr"):
            assert store.runs is not None
            assert store.runs.tolist() == RUNS


def test_a_cutout_has_its_axes_reversed_and_its_times_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """The field is u = (1000 x + time, 2000 y, 3000 z) in grid indices: no two axes or components can be confused."""
    x, y, z = np.meshgrid(*map(np.arange, GRID.points), indexing="ij")
    fields = np.stack([np.stack([1000 * x + t, 2000 * y, 3000 * z]) for t in range(12)]).astype(np.float32)
    write_cutout(tmp_path / "cutout.h5", fields, stride=10)
    with h5py.File(tmp_path / "cutout.h5") as file:
        assert file["Velocity_0001"].shape == (8, 10, 12, 3)
    with open_store(tmp_path / "cutout.h5", Source(files=("cutout.h5",)), 3) as store:
        assert (store.layout, store.trajectories, store.outputs) == ("JHTDB cutout", 1, 12)
        assert store.points == GRID.points
        read = store.read(0, slice(2, 12, 3))
        assert read.shape == (4, 3, 12, 10, 8)
        assert read[1, :, 7, 3, 2].tolist() == [7005, 6000, 6000]
        np.testing.assert_array_equal(read, fields[2::3])


def test_a_file_of_the_well_has_what_the_specification_asks_for(tmp_path: Path) -> None:
    fields = velocity(GRID_2D, trajectories=3, outputs=20)
    parts = []
    for name, chosen in (("a", slice(0, 2)), ("b", slice(2, 3))):
        write_trajectories(tmp_path / name, dataset(fields[chosen], GRID_2D))
        parts.append(open_trajectories(tmp_path / name))
    write_well(tmp_path / "well.hdf5", parts, name="kolmogorov", parameters={"viscosity": 0.02})
    with h5py.File(tmp_path / "well.hdf5") as file:
        assert dict(file.attrs) | {"simulation_parameters": None} == {
            "dataset_name": "kolmogorov",
            "grid_type": "cartesian",
            "n_spatial_dims": 2,
            "n_trajectories": 3,
            "simulation_parameters": None,
            "viscosity": 0.02,
        }
        assert list(file.attrs["simulation_parameters"]) == ["viscosity"]
        assert set(file) == {
            "boundary_conditions",
            "dimensions",
            "scalars",
            "t0_fields",
            "t1_fields",
            "t2_fields",
        }
        assert list(file["dimensions"].attrs["spatial_dims"]) == ["x", "y"]
        assert {name: file["dimensions"][name].shape for name in file["dimensions"]} == {
            "time": (20,),
            "x": (24,),
            "y": (16,),
        }
        assert all(file["dimensions"][name].dtype == np.float32 for name in file["dimensions"])
        assert [boundary.attrs["bc_type"] for boundary in file["boundary_conditions"].values()] == ["periodic"] * 2
        assert file["boundary_conditions/y_periodic/mask"][:].sum() == 2
        names = {order: list(file[f"t{order}_fields"].attrs["field_names"]) for order in range(3)}
        assert names == {0: [], 1: ["velocity"], 2: []}
        field = file["t1_fields/velocity"]
        assert (field.dtype, field.shape) == (np.float32, (3, 20, 24, 16, 2))
        assert field.attrs["dim_varying"].tolist() == [True, True]
        assert field.attrs["sample_varying"]
        assert field.attrs["time_varying"]
        np.testing.assert_array_equal(field[:], np.moveaxis(fields, 2, -1))
        assert list(file["scalars"].attrs["field_names"]) == ["viscosity", "run"]
        assert not file["scalars/viscosity"].attrs["sample_varying"]


def hdf5(path: Path, change: Callable[[h5py.File], None]) -> Path:
    with h5py.File(path, "a") as file:
        change(file)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f["boundary_conditions/y_periodic"].attrs.update(bc_type="wall"), "periodic boundaries, found wall"),
        (lambda f: f.attrs.update(grid_type="spherical"), "expected a Cartesian grid, found spherical"),
        (lambda f: f["t1_fields"].move("velocity", "momentum"), r"'velocity' \(name it in .*\), found momentum"),
        (lambda f: f["dimensions"].attrs.update(spatial_dims=["x", "y", "r"]), "axes for z .*found trajectory, time"),
    ],
    ids=["wall", "spherical", "other name", "other axis"],
)
def test_a_file_of_the_well_that_is_no_periodic_velocity_is_refused(
    tmp_path: Path, change: Callable[[h5py.File], None], message: str
) -> None:
    path, _ = the_well(tmp_path)
    hdf5(path, change)
    with pytest.raises(SourceError, match=message), open_store(path, Source(files=("a",)), 3):
        pass


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda path: path.write_bytes(b"hello, world"),
            r"a Zarr store, NetCDF or HDF5, found a file that begins with",
        ),
        (lambda path: path.write_bytes(path.read_bytes()[:3000]), "a readable HDF5 file, found .*truncated"),
        (lambda path: path.unlink(), "found No such file"),
        (lambda path: (path.unlink(), path.mkdir()), "found a folder without Zarr metadata"),
    ],
    ids=["text", "truncated", "missing", "folder"],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    path, _ = netcdf(tmp_path)
    damage(path)
    with pytest.raises(SourceError, match=message) as error, open_store(path, Source(files=("a",)), 3):
        pass
    assert "\n" not in str(error.value)


def test_a_damaged_zip_and_a_store_without_velocity_are_refused(tmp_path: Path) -> None:
    path, _ = own_zip(tmp_path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(SourceError, match="a readable Zarr store"), open_store(path, Source(files=("a",)), 3):
        pass
    dataset().drop_vars("velocity").to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    with pytest.raises(SourceError, match="the velocity 'u'"), open_store(tmp_path / "b.nc", Source(files=("b",)), 3):
        pass
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize(
    ("shape", "dtype", "options", "message"),
    [
        ((4, 3, 8, 10, 12), "f4", {}, "found phony_dim"),
        ((4, 8, 10, 12), "f4", {"dimensions": ("time", "component", "z", "y", "x")}, r"5 axes .*found shape \[4, 8, "),
        ((4, 2, 8, 10, 12), "f4", {"dimensions": ("time", "component", "z", "y", "x")}, "3 components .*found 2"),
        ((4, 3, 8, 10, 12), "i4", {"dimensions": ("time", "component", "z", "y", "x")}, "floating-point .*int32"),
    ],
    ids=["nameless axes", "wrong rank", "wrong components", "integers"],
)
def test_a_velocity_of_another_kind_is_refused(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, options: dict[str, Any], message: str
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["velocity"] = np.zeros(shape, dtype)
    source = Source(files=("a",), **options)
    with pytest.raises(SourceError, match=message), open_store(tmp_path / "a.h5", source, 3):
        pass
