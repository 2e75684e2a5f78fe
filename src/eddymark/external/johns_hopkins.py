"""Cutouts of the Johns Hopkins Turbulence Databases (JHTDB).

A cutout is an HDF5 file with one array `Velocity_0001`, `Velocity_0002`, … for each time, of shape `(z, y, x, 3)` with
the components u, v, w, and the coordinates `xcoor`, `ycoor`, `zcoor`. It does not say at which times.

Source: Li et al. (2008), J. Turbul. 9, N31 (the database); the layout is that of its cutout service and of giverny.
"""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np

from eddymark.external.store import Array, SourceError, Store, fields, numbers

_VELOCITY = re.compile(r"velocity_(\d+)", re.IGNORECASE)
_DIMENSIONS = ("z", "y", "x", "component")


def is_cutout(file: h5py.File) -> bool:
    """Return whether a file has the layout of a cutout."""
    return any(_VELOCITY.fullmatch(name) for name in file)


def cutout_store(file: h5py.File, path: Path, dimension: int) -> Store:
    """Return what a cutout holds: one trajectory, its outputs in the order of their numbers.

    Raises:
        SourceError: if the numbers are not evenly spaced or the shapes do not fit.
    """
    if dimension != 3:
        raise SourceError(f"{path}", f"fields in {dimension} dimensions", "a JHTDB cutout, which has 3")
    numbered = {int(match[1]): name for name in file if (match := _VELOCITY.fullmatch(name))}
    steps = sorted(numbered)
    if len(set(np.diff(steps))) > 1:
        raise SourceError(f"{path}", "evenly spaced times", ", ".join(numbered[step] for step in steps))
    single = [fields([file[numbered[step]]], _DIMENSIONS, f"{path}, {numbered[step]}", 3) for step in steps]
    shapes = {points for _, _, points, _ in single}
    if len(shapes) > 1:
        raise SourceError(f"{path}", "fields of equal shape", f"{sorted(shapes)}")

    def read(trajectory: int, outputs: slice) -> Array:
        return np.concatenate([one(trajectory, slice(None)) for _, _, _, one in single[outputs]])

    return Store(
        path=path,
        layout="JHTDB cutout",
        trajectories=1,
        outputs=len(steps),
        points=single[0][2],
        coordinates=tuple(
            numbers(file[name][:], f"{path}, {name}") if name in file else None for name in ("xcoor", "ycoor", "zcoor")
        ),
        time=None,
        runs=None,
        dtype=file[numbered[steps[0]]].dtype,
        read=read,
    )
