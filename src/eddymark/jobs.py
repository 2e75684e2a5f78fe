"""Runs one job of an experiment in a process of its own: locks, private folders, clean ends, publication."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import datetime
import fcntl
import gc
import json
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

from eddymark.config.schema import Experiment
from eddymark.errors import EddymarkError
from eddymark.failures import explain, require_writable
from eddymark.memory import peak_memory_bytes
from eddymark.plan import find_job, plan
from eddymark.progress import kept_in
from eddymark.ranks import this_rank
from eddymark.records import provenance, publish, read_measured, upstream_digests, write_atomically
from eddymark.source_cache import kept_fingerprints
from eddymark.work import CHECKPOINTS, FAILURE, LOCK, PROGRESS, work_folder

STOP_WITH_PARENT = "EDDYMARK_STOP_WITH_PARENT"
"""Environment variable that makes a job end when the process that started it is gone."""

_GO_ON = {
    "generate": "goes on from its last checkpoint",
    "train": "goes on after its last complete epoch",
    "validate": "goes on from its last checkpoint",
}
_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_FOR_A_CLEAN_END = 5
_SECONDS_FOR_THE_LOCK = 15
"""How long a job waits for its predecessor to end, which notices with a delay that its workflow was killed."""

_LARGEST_INT = 2**31 - 1
_MALLOPT_TRIM_THRESHOLD, _MALLOPT_MMAP_THRESHOLD = -1, -3


@contextlib.contextmanager
def running(
    experiment: Experiment, folder: str, results: Path, options: Sequence[str] = ()
) -> Iterator[tuple[Path, Path]]:
    """Prepare a job's private folders, and publish its outputs when the stage has written them all.

    Yields the folder for its outputs and the folder that survives a kill.

    Arguments:
        experiment: the experiment.
        folder: the job's folder.
        results: root of the results.
        options: what a command that runs another job of this experiment needs beside that job's arguments.

    Raises:
        EddymarkError: if there is no such job, its inputs are missing, it is running already, or it fails.
    """
    with kept_fingerprints(results):
        jobs = plan(experiment)
    job = find_job(jobs, folder)
    require_writable(results)
    work = work_folder(job, results)
    work.mkdir(parents=True, exist_ok=True)
    output = work / "output"
    private = work / CHECKPOINTS
    _prepare_process(experiment.threads, job.stage)
    if job.stage == "train" and this_rank(experiment.flows[job.flow].surrogates[job.name].parallel).index > 0:
        # Whoever waits for the others in a library gets no signals, and there is nothing to lose.
        _watch_parent(lambda: os._exit(128 + signal.SIGTERM))
        yield output, private
        return
    with _locked(work, folder), _failures(work, folder, results):
        upstream = upstream_digests(job, jobs, results, options)
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        started, clock = _now(), time.monotonic()
        private = _checkpoints(work, upstream)
        with kept_in(work / PROGRESS):
            yield output, private
        measured = read_measured(output)
        seconds = measured.pop("seconds_before", 0.0) + time.monotonic() - clock
        record = {
            "signature": job.signature,
            **job.own,
            "job": folder,
            "upstream": upstream,
            "started": started,
            "finished": _now(),
            "seconds": round(seconds, 2),
            "measured": measured,
            "peak_memory_bytes": peak_memory_bytes(),
            **provenance(),
        }
        publish(output, results / folder, job.outputs, record)
        shutil.rmtree(work)


def _checkpoints(work: Path, upstream: dict[str, dict[str, str]]) -> Path:
    """Return the folder of a job's checkpoints, empty unless they come from the same inputs."""
    private, inputs = work / CHECKPOINTS, work / "inputs.json"
    text = json.dumps(upstream, sort_keys=True)
    if not inputs.exists() or inputs.read_text(encoding="utf-8") != text:
        if private.exists() and any(private.iterdir()):
            print("the checkpoint was made from other inputs: starting again", file=sys.stderr)
        shutil.rmtree(private, ignore_errors=True)
        write_atomically(inputs, text)
    private.mkdir(exist_ok=True)
    return private


@contextlib.contextmanager
def _locked(work: Path, folder: str) -> Iterator[None]:
    """Hold the job's lock; the system releases it when the process ends, however it ends."""
    end = time.monotonic() + _SECONDS_FOR_THE_LOCK
    while (file := _acquire(work)) is None:
        if time.monotonic() > end:
            raise EddymarkError(f"{folder} is running in another process")
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    with file:
        yield


def _acquire(work: Path) -> IO[str] | None:
    """Return the job's lock file, locked and in its place; None if another process has it.

    A predecessor that is just finishing removes the folder with the lock in it: until this process holds the lock,
    both may be gone at any moment.

    Raises:
        EddymarkError: if the file system has no locks.
    """
    path = work / LOCK
    work.mkdir(parents=True, exist_ok=True)
    try:
        file = path.open("w")
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as error:
        raise EddymarkError(f"{path}: {error.strerror}; results have to be on a file system with locks") from None
    file.close()
    return None


@contextlib.contextmanager
def _failures(work: Path, folder: str, results: Path) -> Iterator[None]:
    """Turn failures into one line; a bug leaves a traceback in the log (a file if standard error is a terminal)."""
    (work / FAILURE).unlink(missing_ok=True)
    try:
        yield
    except EddymarkError as error:
        _keep(work, error)
        raise
    except Exception as error:
        if (line := explain(error, results)) is not None:
            # On a full disk, the log needs the space of what is half-written.
            shutil.rmtree(work / "output", ignore_errors=True)
            raise EddymarkError(f"{folder}: {line}") from None
        where = "the traceback is above"
        if sys.stderr.isatty():
            (work / "traceback.log").write_text(traceback.format_exc())
            where = f"the traceback is in {work / 'traceback.log'}"
        else:
            traceback.print_exc()
        failure = EddymarkError(f"{folder} failed: {type(error).__name__}: {error} ({where})")
        _keep(work, failure)
        raise failure from None


def _keep(work: Path, failure: EddymarkError) -> None:
    """Leave a failure's line for `eddymark status`; a full disk must not hide the failure itself."""
    with contextlib.suppress(OSError):
        (work / FAILURE).write_text(str(failure), encoding="utf-8")


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
    # When all is written, taking apart what large libraries have built takes as long as half of their imports.
    atexit.register(gc.freeze)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, partial(_terminate, stage))
    if os.environ.get(STOP_WITH_PARENT):
        _watch_parent(lambda: os.kill(os.getpid(), signal.SIGTERM))


def _terminate(stage: str, number: int, _frame: FrameType | None) -> NoReturn:
    """End the process; its checkpoint, if it has one, is on the disk already."""
    word = "interrupted" if number == signal.SIGINT else "terminated"
    again = _GO_ON.get(stage, "starts this job again")
    print(f"eddymark: {word}; the same command {again} and keeps the finished jobs", file=sys.stderr)
    sys.exit(128 + number)


def _watch_parent(end: Callable[[], object]) -> None:
    """End this process when its parent has gone, so that a killed workflow leaves no jobs behind."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        end()
        # A long call into a library would answer much later.
        time.sleep(_SECONDS_FOR_A_CLEAN_END)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
