"""Digests of external data: a source that changes reruns its flow, a file of weights the models which begin with it."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from eddymark.config.source import Source
from eddymark.config.source_files import source_files
from eddymark.errors import EddymarkError

WHOLE_BYTES = 2**24
"""Files up to this size (16 MiB) count by their content. Reading larger ones each time the jobs are planned would take
too long: they count by size, time of the last change and both ends, where HDF5 and zip keep what describes them."""
_END_BYTES = 2**20


def source_digests(source: Source) -> list[list[str]]:
    """Return a digest of each file or store of a source, entry by entry, independent of where they lie.

    Raises:
        EddymarkError: if an entry matches no file, or one cannot be read.
    """
    groups = source_files(source)
    missing = next((entry for entry, files in zip(source.files, groups, strict=True) if not files), None)
    if missing is not None:
        raise EddymarkError(f"source.files: expected paths or patterns of existing files, found {missing!r}")
    try:
        return [[_digest(path) for path in files] for files in groups]
    except OSError as error:
        raise EddymarkError(f"{error.filename}: cannot be read ({error.strerror})") from error


def weights_digest(path: Path) -> str:
    """Return a digest of a file of weights, independent of where it lies.

    Raises:
        EddymarkError: if it cannot be read.
    """
    try:
        return _digest(path)
    except OSError as error:
        raise EddymarkError(f"{path}: cannot be read ({error.strerror})") from error


def _digest(path: Path) -> str:
    """Return the digest of a file, or of all files in a folder with their names."""
    if not path.is_dir():
        return _file_digest(path, path.stat().st_size, path.stat().st_mtime_ns)
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        state = file.stat()
        digest.update(f"{file.relative_to(path).as_posix()} ".encode())
        digest.update(_file_digest(file, state.st_size, state.st_mtime_ns).encode())
    return digest.hexdigest()


@cache
def _file_digest(path: Path, size: int, modified: int) -> str:
    """Return the digest of a file, read again in this process only if its size or time have changed."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if size <= WHOLE_BYTES:
            digest.update(file.read())
        else:
            digest.update(f"{size} {modified} ".encode())
            digest.update(file.read(_END_BYTES))
            file.seek(size - _END_BYTES)
            digest.update(file.read(_END_BYTES))
    return digest.hexdigest()
