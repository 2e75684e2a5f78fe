"""Imported states are filtered as simulated ones are, left alone where they may be, and refused where they must be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from eddymark.config.schema import Filter
from eddymark.external import importing
from eddymark.external.importing import Import
from eddymark.external.store import SourceError
from eddymark.filters import GridFilter
from eddymark.flows.base import turbulence_scales
from eddymark.flows.build import build_flow
from eddymark.grid import Grid, SpectralSpace
from eddymark.storage import trajectory_dataset
from tests.external.fields import GRID_2D, GRID_3D, INTERVAL, flow, velocity, write_cutout

COARSE = Grid((12, 12), GRID_2D.sides)


def imported(folder: Path, fields: NDArray[Any], grid: Grid = GRID_2D, **changes: Any) -> Import:
    data = trajectory_dataset(fields, grid=grid, interval=INTERVAL, turnover_time=1.0, attributes={})
    data.to_netcdf(folder / "a.nc", engine="h5netcdf")
    source = {"files": str(folder / "a.nc")} | changes.pop("source", {})
    return Import(build_flow(flow(source, **changes)), 0, device=torch.device("cpu"))


def states(taken: Import) -> list[NDArray[np.float32]]:
    with taken.reader() as reader:
        return [np.concatenate(list(taken.states(stretch, reader))) for stretch in taken.stretches]


@pytest.mark.parametrize("kind", ["sharp", "gaussian", "box"])
def test_states_of_a_finer_grid_are_filtered_like_those_of_a_simulation(tmp_path: Path, kind: str) -> None:
    fields = velocity(GRID_2D, trajectories=2)
    grid = {"points": COARSE.points, "filter": {"type": kind}}
    space = SpectralSpace(GRID_2D)
    expected = GridFilter(space, COARSE, Filter(type=kind))(space.to_spectral(torch.as_tensor(fields).double()))
    taken = imported(tmp_path, fields, large_eddy_grid=grid)
    for stretch, found in zip(taken.stretches, states(taken), strict=True):
        wanted = expected[stretch.number, stretch.first : stretch.last + 1].numpy()
        np.testing.assert_allclose(found, wanted, atol=3e-6)
    spectrum = space.to_spectral(torch.as_tensor(fields).double().flatten(0, 1))
    scales = vars(turbulence_scales(space, spectrum, viscosity=0.02))
    measured = taken.summary.mean_scales()
    assert set(measured) == set(scales)
    assert measured["energy"] == pytest.approx(scales["energy"], rel=1e-5)


def test_units_scale_the_velocity_and_blocks_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = velocity(GRID_2D, trajectories=2)
    whole = states(imported(tmp_path, fields))
    units = {"length": 1.0, "velocity": 3.0, "time": 1.0}
    for found, one in zip(states(imported(tmp_path, fields, source={"units": units})), whole, strict=True):
        np.testing.assert_allclose(found, 3 * one, rtol=1e-5, atol=1e-6)
    monkeypatch.setattr(importing, "BLOCK_BYTES", 1)
    for found, one in zip(states(imported(tmp_path, fields)), whole, strict=True):
        np.testing.assert_allclose(found, one, atol=1e-6)


def test_fields_on_the_les_grid_stay_as_they_are_unless_they_hold_what_the_solver_would_drop(tmp_path: Path) -> None:
    fields = velocity(COARSE, trajectories=2)
    for stretch, found in zip((taken := imported(tmp_path, fields, COARSE)).stretches, states(taken), strict=True):
        np.testing.assert_array_equal(found, fields[stretch.number, stretch.first : stretch.last + 1])
    assert set(taken.summary.mean_scales()) == {
        "energy",
        "root_mean_square_velocity",
        "integral_length",
        "turnover_time",
    }
    space = SpectralSpace(COARSE)
    x, y = np.meshgrid(*COARSE.coordinates(), indexing="ij")
    # A mode beyond the cut-off (5 > 3), and one of a potential flow.
    added = np.stack([np.sin(5 * y) + np.cos(x), np.zeros_like(x)]).astype(np.float32)
    taken = imported(tmp_path, fields + 0.05 * added, COARSE)
    for stretch, found in zip(taken.stretches, states(taken), strict=True):
        np.testing.assert_allclose(found, fields[stretch.number, stretch.first : stretch.last + 1], atol=1e-5)
        assert float(space.divergence(space.to_spectral(torch.as_tensor(found).double())).abs().max()) < 1e-6
    assert any("the part with divergence was removed" in doubt for doubt in taken.doubts())


def test_confused_axes_or_components_are_refused(tmp_path: Path) -> None:
    fields = velocity(GRID_2D, trajectories=2)
    expected = r"expected an incompressible velocity, .* in the order of source\.dimensions"
    with pytest.raises(SourceError, match=expected):
        states(imported(tmp_path, np.ascontiguousarray(fields[:, :, ::-1])))
    cube = velocity(GRID_3D, trajectories=1)[0]
    write_cutout(tmp_path / "right.h5", cube)
    write_cutout(tmp_path / "wrong.h5", cube.transpose(0, 1, 4, 3, 2))
    sampling = flow({"files": "a"}).sampling.model_dump() | {"runs": 1}
    sampling["splits"]["test"] = {"stretches": 1, "length": INTERVAL}
    for name in ("right", "wrong"):
        source = {"files": str(tmp_path / f"{name}.h5"), "time_step": INTERVAL}
        taken = Import(build_flow(flow(source, dimension=3, sampling=sampling)), 0, device=torch.device("cpu"))
        if name == "right":
            np.testing.assert_array_equal(states(taken)[0], cube[:3])
        else:
            with pytest.raises(SourceError, match=expected):
                states(taken)


def test_a_state_that_is_not_finite_is_named(tmp_path: Path) -> None:
    fields = velocity(GRID_2D, trajectories=2)
    fields[1, 4, 0, 3, 3] = np.nan
    with pytest.raises(SourceError, match=r"a\.nc, trajectory 1, output 4: expected finite numbers, found NaN"):
        states(imported(tmp_path, fields))


def test_chunks_that_are_missing_or_damaged_are_noticed(tmp_path: Path) -> None:
    data = trajectory_dataset(
        velocity(GRID_2D, trajectories=2), grid=GRID_2D, interval=INTERVAL, turnover_time=1.0, attributes={}
    )
    chunks = {"velocity": {"chunks": (1, 1, 2, 24, 16), "_FillValue": 0.0}}
    data.to_zarr(tmp_path / "store", zarr_format=2, encoding=chunks)
    damaged = tmp_path / "store" / "velocity" / "1.4.0.0.0"
    flow_ = build_flow(flow({"files": str(tmp_path / "store")}))
    damaged.unlink()
    # xarray reads the fill value of a missing chunk as NaN; zeros come from stores without one.
    with pytest.raises(SourceError, match=r"trajectory 1, output 4: expected finite numbers"):
        states(Import(flow_, 0, device=torch.device("cpu")))
    damaged.write_bytes(b"rubbish")
    with pytest.raises(SourceError, match=r"store, trajectory 1: expected readable fields, found") as error:
        states(Import(flow_, 0, device=torch.device("cpu")))
    assert "\n" not in str(error.value)
    fields = velocity(GRID_2D, trajectories=2)
    fields[0, 2] = 0
    with pytest.raises(SourceError, match=r"trajectory 0, output 2: expected a velocity, found zeros"):
        states(imported(tmp_path, fields))


def test_a_force_or_units_which_are_not_those_of_the_data_are_doubted(tmp_path: Path) -> None:
    taken = imported(tmp_path, velocity(GRID_2D, trajectories=2))
    states(taken)
    assert any("dissipation and drag take" in doubt for doubt in taken.doubts())
    write_cutout(tmp_path / "cutout.h5", (cube := velocity(GRID_3D, trajectories=1)[0]))
    shells = SpectralSpace(GRID_3D).energy_spectrum(SpectralSpace(GRID_3D).to_spectral(torch.as_tensor(cube).double()))
    held = float(shells[:, 1].mean())
    sampling = flow({"files": "a"}).sampling.model_dump() | {"runs": 1}
    for energy, doubtful in ((held, False), (1.2 * held, True)):
        taken = Import(
            build_flow(
                flow(
                    {"files": str(tmp_path / "cutout.h5"), "time_step": INTERVAL},
                    dimension=3,
                    sampling=sampling,
                    forcing={"type": "held_shells", "energies": {1: energy}},
                )
            ),
            0,
            device=torch.device("cpu"),
        )
        states(taken)
        assert any("energy of shell 1" in doubt for doubt in taken.doubts()) == doubtful
