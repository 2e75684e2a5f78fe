"""The folder of a job that is under way: what survives a kill, and what others may see of it."""

from __future__ import annotations

import fcntl
from pathlib import Path

from eddymark.plan import Job

LOCK = "lock"
"""Held by the process that runs the job; written when it starts."""

PROGRESS = "progress.json"
"""How far the job is (`eddymark.progress`)."""

FAILURE = "failure"
"""The line with which the last attempt failed."""

CHECKPOINTS = "checkpoints"
"""Folder of that from which the job resumes."""


def work_folder(job: Job, results: Path) -> Path:
    """Return the folder in which a job works; one with another signature works elsewhere."""
    return results / ".work" / f"{job.folder.replace('/', '-')}-{job.signature[:16]}"


def is_running(folder: Path) -> bool:
    """Return whether a process holds the lock of a work folder; process numbers say nothing about other machines."""
    try:
        with (folder / LOCK).open() as file:
            # Shared: those who only look do not disturb each other. Released with the file, after microseconds.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
