"""Finds out what a file is and opens it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from eddymark.config.source import Source
from eddymark.external.johns_hopkins import cutout_store, is_cutout
from eddymark.external.labelled import open_labelled
from eddymark.external.store import SourceError, Store
from eddymark.external.the_well import is_well, well_store

_SIGNATURES = {b"\x89HDF\r\n\x1a\n": "HDF5", b"PK\x03\x04": "Zarr", b"CDF\x01": "NetCDF 3", b"CDF\x02": "NetCDF 3"}
_ZARR_FILES = (".zgroup", ".zmetadata", "zarr.json")


@contextmanager
def open_store(path: Path, source: Source, dimension: int) -> Iterator[Store]:
    """Open a file or folder by its content, not by its name.

    Arguments:
        path: a Zarr store (folder or zip), NetCDF, HDF5, The Well's HDF5, or a JHTDB cutout.
        source: names of variables and axes.
        dimension: number of space dimensions.

    Raises:
        SourceError: if it is none of these or does not hold a velocity field of the expected kind.
    """
    kind = _kind(path)
    if kind != "HDF5":
        with open_labelled(path, kind, source, dimension) as store:
            yield store
        return
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise SourceError(f"{path}", "a readable HDF5 file", " ".join(f"{error}".split())) from error
    with file:
        if is_well(file):
            yield well_store(file, path, source, dimension)
            return
        if is_cutout(file):
            yield cutout_store(file, path, dimension)
            return
    with open_labelled(path, kind, source, dimension) as store:
        yield store


def _kind(path: Path) -> str:
    expected = "a Zarr store, NetCDF or HDF5"
    if path.is_dir():
        if any((path / name).exists() for name in _ZARR_FILES):
            return "Zarr"
        raise SourceError(f"{path}", expected, "a folder without Zarr metadata")
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise SourceError(f"{path}", expected, error.strerror or "no such file") from error
    kind = next((kind for signature, kind in _SIGNATURES.items() if start.startswith(signature)), None)
    if kind is None:
        raise SourceError(f"{path}", expected, f"a file that begins with {start!r}")
    return kind
