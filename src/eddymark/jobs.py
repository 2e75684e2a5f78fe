"""Runs one job of an experiment in a process of its own: locks, private folders, clean ends, publication."""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import fcntl
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

from eddymark.config.schema import Experiment
from eddymark.errors import EddymarkError
from eddymark.memory import peak_memory_bytes
from eddymark.plan import plan
from eddymark.records import provenance, publish, upstream_digests

STOP_WITH_PARENT = "EDDYMARK_STOP_WITH_PARENT"
"""Environment variable that makes a job end when the process that started it is gone."""

_TERMINATED = 128 + signal.SIGTERM
_LARGEST_INT = 2**31 - 1
_MALLOPT_TRIM_THRESHOLD, _MALLOPT_MMAP_THRESHOLD = -1, -3


@contextlib.contextmanager
def running(experiment: Experiment, folder: str, results: Path) -> Iterator[tuple[Path, Path]]:
    """Prepare a job's private folders, and publish its outputs when the stage has written them all.

    Yields the folder for its outputs and the folder that survives a kill.

    Arguments:
        experiment: the experiment.
        folder: the job's folder.
        results: root of the results.

    Raises:
        EddymarkError: if there is no such job, its inputs are missing, it is running already, or it fails.
    """
    jobs = plan(experiment)
    if folder not in jobs:
        siblings = [name for name in jobs if name.split("/")[:2] == folder.split("/")[:2]]
        options = ", ".join(siblings) or ", ".join(experiment.flows)
        raise EddymarkError(f"no job {folder} in experiment {experiment.name}; there are: {options}")
    job = jobs[folder]
    work = results / ".work" / f"{folder.replace('/', '-')}-{job.signature[:16]}"
    work.mkdir(parents=True, exist_ok=True)
    output = work / "output"
    _prepare_process(experiment.threads, job.stage)
    with _locked(work, folder), _failures(work, folder):
        upstream = upstream_digests(job, jobs, results)
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        started, clock = _now(), time.monotonic()
        private = work / "checkpoints"
        private.mkdir(exist_ok=True)
        yield output, private
        record = {
            "signature": job.signature,
            "job": folder,
            "upstream": upstream,
            "started": started,
            "finished": _now(),
            "seconds": round(time.monotonic() - clock, 2),
            "peak_memory_bytes": peak_memory_bytes(),
            **provenance(),
        }
        publish(output, results / folder, job.outputs, record)
        shutil.rmtree(work)


@contextlib.contextmanager
def _locked(work: Path, folder: str) -> Iterator[None]:
    """Hold the job's lock; the system releases it when the process ends, however it ends."""
    with (work / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EddymarkError(f"{folder} is running in another process") from None
        yield


@contextlib.contextmanager
def _failures(work: Path, folder: str) -> Iterator[None]:
    """Turn a bug into one line, and a traceback in the log (a file if standard error is a terminal)."""
    try:
        yield
    except EddymarkError:
        raise
    except Exception as error:
        where = "the traceback is above"
        if sys.stderr.isatty():
            (work / "traceback.log").write_text(traceback.format_exc())
            where = f"the traceback is in {work / 'traceback.log'}"
        else:
            traceback.print_exc()
        raise EddymarkError(f"{folder} failed: {type(error).__name__}: {error} ({where})") from None


def _prepare_process(threads: int, stage: str) -> None:
    """Set threads and memory allocation before any library starts, and how the process ends."""
    for library in ("OMP", "MKL", "OPENBLAS", "NUMEXPR"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    with contextlib.suppress(AttributeError, OSError):
        # glibc gives large arrays back to the system at once and faults in every page of the next one, which
        # is slower than most of what is done with them.
        c_library = ctypes.CDLL(None)
        c_library.mallopt(_MALLOPT_MMAP_THRESHOLD, _LARGEST_INT)
        c_library.mallopt(_MALLOPT_TRIM_THRESHOLD, _LARGEST_INT)
    signal.signal(signal.SIGTERM, partial(_terminate, stage))
    if os.environ.get(STOP_WITH_PARENT):
        threading.Thread(target=_watch_parent, args=(os.getppid(),), daemon=True).start()


def _terminate(stage: str, _signal: int, _frame: FrameType | None) -> NoReturn:
    again = "resumes the training after its last complete epoch"
    if stage != "train":
        again = "starts this job again and keeps the finished ones"
    unlock = "if snakemake itself was killed, run it with --unlock first"
    print(f"eddymark: terminated; running it again {again} ({unlock})", file=sys.stderr)
    sys.exit(_TERMINATED)


def _watch_parent(parent: int) -> None:
    """Terminate this process when its parent has gone, so that a killed workflow leaves no jobs behind."""
    while os.getppid() == parent:
        time.sleep(2)
    os.kill(os.getpid(), signal.SIGTERM)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
