"""Snakemake's locks: what a killed run left behind must not stop the next one; what a running one makes is its own."""

from __future__ import annotations

import contextlib
import fcntl
import platform
import sys
from pathlib import Path
from typing import IO


def release_stale_locks(folder: Path) -> IO[str] | None:
    """Remove Snakemake's locks if no run that could hold them is alive, and mark this run as alive.

    Every run of the workflow shares a lock of the operating system, which ends with the process however it ends.
    Whoever gets it alone knows that nobody else is running. Such locks need not work between machines: what may be
    another machine's lock is left to Snakemake, which explains what to do.

    Arguments:
        folder: Snakemake's folder, `.snakemake`.

    Returns:
        The open file that keeps this run alive; None if the folder cannot be written.
    """
    host = platform.node()
    with contextlib.suppress(OSError):
        folder.mkdir(exist_ok=True)
        file = (folder / "running").open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(file, fcntl.LOCK_SH)
            return file
        file.seek(0)
        locks = [path for path in folder.glob("locks/*.lock") if path.is_file()]
        if locks and file.read() == host:
            print("eddymark: the last run was killed; its lock is removed", file=sys.stderr)
            for path in locks:
                path.unlink()
            locks = []
        if not locks:
            file.truncate(0)
            file.write(host)
            file.flush()
        fcntl.flock(file, fcntl.LOCK_SH)
        return file
    return None


def locked_outputs(folder: Path) -> set[str]:
    """Return the files that runs with a lock are going to make.

    Arguments:
        folder: Snakemake's folder, `.snakemake`.
    """
    files: set[str] = set()
    for path in folder.glob("locks/*.output.lock"):
        # A run that ends at this moment removes its lock.
        with contextlib.suppress(OSError):
            files.update(path.read_text(encoding="utf-8").splitlines())
    return files
