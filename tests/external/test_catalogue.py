"""What does not fit between a source and its flow is found before a field is read, and said in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from eddymark.external.catalogue import Reader, catalogue
from eddymark.external.selection import check_lengths, select
from eddymark.external.store import SourceError
from eddymark.flows.build import build_flow
from eddymark.storage import trajectory_dataset
from tests.external.fields import GRID_2D, GRID_3D, INTERVAL, flow, velocity, write_cutout

FIELDS = velocity(GRID_2D, trajectories=2)


def dataset(**changes: Any) -> xr.Dataset:
    data = trajectory_dataset(FIELDS, grid=GRID_2D, interval=INTERVAL, turnover_time=1.0, attributes={}, runs=[0, 1])
    return data.drop_vars("run").assign_coords(changes)


def write(folder: Path, data: xr.Dataset, name: str = "a.nc") -> str:
    data.to_netcdf(folder / name, engine="h5netcdf")
    return str(folder / name)


def test_trajectories_are_numbered_through_files_and_subsampled_in_time(tmp_path: Path) -> None:
    files = [write(tmp_path, dataset(), f"{name}.nc") for name in ("run_10", "run_9")]
    chosen = flow(
        {"files": str(tmp_path / "run_*.nc")},
        sampling={
            "runs": 4,
            "spin_up": 0,
            "interval": 2 * INTERVAL,
            "gap": 2 * INTERVAL,
            "splits": {split: {"stretches": 1, "length": 2 * INTERVAL} for split in ("train", "validation", "test")},
        },
    )
    found = catalogue(chosen)
    assert [Path(found.trajectories[n].segments[0].path).name for n in range(4)] == ["run_9.nc"] * 2 + ["run_10.nc"] * 2
    assert [(t.run, t.stride, t.outputs) for t in found.trajectories.values()] == [(n, 2, 5) for n in range(4)]
    assert (found.points, found.double, found.files) == ((24, 16), False, 2)
    assert chosen.source is not None
    with Reader(chosen.source, 2) as reader:
        blocks = list(reader.blocks(found.trajectories[1], 1, 4, size=3))
    assert [len(block) for block in blocks] == [3, 1]
    np.testing.assert_array_equal(np.concatenate(blocks), FIELDS[1, 2:9:2])
    assert files


def test_files_of_consecutive_times_are_one_trajectory_whatever_the_stride(tmp_path: Path) -> None:
    fields = velocity(GRID_3D, trajectories=1, outputs=9)[0]
    for number, outputs in enumerate((slice(0, 4), slice(4, 5), slice(5, 9))):
        write_cutout(tmp_path / f"cutout{number}.h5", fields[outputs])
    source = {"files": [str(tmp_path / "cutout*.h5")], "join": "time", "time_step": 0.1}
    chosen = flow(source, dimension=3, sampling=flow({"files": "a"}).sampling.model_dump() | {"runs": 1})
    found = catalogue(chosen)
    assert found.layouts == ("JHTDB cutout",)
    trajectory = found.trajectories[0]
    assert (trajectory.stride, trajectory.outputs, len(trajectory.segments)) == (2, 5, 3)
    assert chosen.source is not None
    with Reader(chosen.source, 3) as reader:
        read = np.concatenate(list(reader.blocks(trajectory, 0, 4, size=2)))
    np.testing.assert_array_equal(read, fields[::2])


def test_units_convert_lengths_and_times(tmp_path: Path) -> None:
    """The file is in centimetres and seconds; 1 flow length is 10 cm, 1 flow velocity is 5 cm/s."""
    lengths = {axis: points * 10 for axis, points in zip("xy", GRID_2D.coordinates(), strict=True)}
    path = write(tmp_path, dataset(time=2 * INTERVAL * np.arange(9), **lengths))
    units = {"length": 0.1, "velocity": 0.2}
    assert catalogue(flow({"files": path, "units": units})).trajectories[0].stride == 1
    with pytest.raises(SourceError, match=r"x: expected a spacing of side / points = 0\.261799 .*, found 2\.61799"):
        catalogue(flow({"files": path}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time": 0.15 * np.arange(9)}, r"multiple \(nearest: interval 0\.15\), found a time step of 0\.15"),
        ({"time": 0.2 * np.arange(9) ** 1.1}, "times at equal steps, found steps from 0.2 to"),
        ({"x": GRID_2D.coordinates()[0] * 24 / 23}, r"repeat the first point at the end\?"),
        ({"x": GRID_2D.coordinates()[0] ** 1.1}, "an uneven one"),
        ({"y": GRID_2D.coordinates()[1] + 0.2}, "y: expected a first coordinate of 0 or a multiple .*, found 0.2"),
    ],
    ids=["no multiple", "uneven times", "both ends", "uneven grid", "shifted against the force"],
)
def test_coordinates_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write(tmp_path, dataset(**changes))
    with pytest.raises(SourceError, match=message) as error:
        catalogue(flow({"files": path}))
    assert str(error.value).startswith(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("source", "changes", "message"),
    [
        ({}, {"large_eddy_grid": {"points": [12, 32]}}, r"at least the points of large_eddy_grid \[12, 32\], found"),
        ({}, {"large_eddy_grid": {"points": [12, 12], "filter": {"type": "box", "width": 0.3}}}, "spacing of 0.393"),
        ({"time_step": 0.3}, {}, "the time step 0.3 of source.time_step, found 0.2"),
        ({"trajectories": {"train": [0], "validation": [1], "test": [2]}}, {}, "at least 3 trajectories .*, found 2"),
        ({"velocity": ["u", "v"]}, {}, "the velocity 'u' .*, found velocity"),
    ],
    ids=["coarse source", "narrow filter", "two time steps", "too few trajectories", "other names"],
)
def test_a_source_that_does_not_fit_its_flow_is_refused(
    tmp_path: Path, source: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    path = write(tmp_path, dataset())
    with pytest.raises(SourceError, match=message):
        catalogue(flow({"files": path} | source, **changes))


def test_files_that_differ_or_have_no_times_are_refused(tmp_path: Path) -> None:
    write(tmp_path, dataset(), "a.nc")
    write(tmp_path, dataset().isel(x=slice(0, 12)).drop_vars("x"), "b.nc")
    with pytest.raises(SourceError, match=r"b\.nc: expected the grid of the other files \[24, 16\], found \[12, 16\]"):
        catalogue(flow({"files": str(tmp_path / "*.nc")}))
    path = write(tmp_path, dataset().drop_vars(["time", "turnovers"]), "c.nc")
    with pytest.raises(SourceError, match=r"expected times, or source\.time_step, found neither"):
        catalogue(flow({"files": path}))
    assert catalogue(flow({"files": path, "time_step": 0.1})).trajectories[0].stride == 2


def test_stretches_never_overlap_and_trajectories_must_be_long_enough(tmp_path: Path) -> None:
    path = write(tmp_path, dataset())
    chosen = build_flow(flow({"files": path}))
    cut = select(chosen, 0)
    assert [(s.split, s.number, s.first, s.last) for s in cut] == [
        (split, number, first, first + 2)
        for split, first in (("train", 0), ("validation", 3), ("test", 6))
        for number in (0, 1)
    ]
    check_lengths(chosen, catalogue(chosen.configuration))
    sampling = chosen.configuration.sampling.model_dump() | {"spin_up": INTERVAL}
    longer = build_flow(flow({"files": path}, sampling=sampling))
    with pytest.raises(SourceError, match=r"trajectory 0: expected 10 outputs .*\(test data: .*, found 9"):
        check_lengths(longer, catalogue(longer.configuration))


def test_with_chosen_trajectories_every_split_starts_after_the_spin_up_of_its_own() -> None:
    source = {"files": "a", "trajectories": {"train": ["0-2"], "validation": [5], "test": [4, 3]}}
    sampling = flow({"files": "a"}).sampling.model_dump() | {"runs": 6, "spin_up": 2 * INTERVAL}
    chosen = build_flow(flow(source, sampling=sampling))
    cut = [(s.split, s.number, s.first, s.last) for s in select(chosen, 0)]
    assert cut == [
        ("train", 0, 2, 4),
        ("train", 1, 2, 4),
        ("train", 2, 2, 4),
        ("validation", 5, 2, 4),
        ("test", 4, 2, 4),
        ("test", 3, 2, 4),
    ]
