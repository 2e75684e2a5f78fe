"""How far an experiment is, from its files alone."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from eddymark.plan import Job
from eddymark.progress import Reading, read_progress
from eddymark.records import NOT_RUN, read_record, stale_reasons
from eddymark.work import CHECKPOINTS, FAILURE, LOCK, PROGRESS, is_running, work_folder

State = Literal["done", "running", "interrupted", "failed", "stale", "waiting"]

STYLES: dict[State, str] = {
    "done": "green",
    "running": "bold cyan",
    "interrupted": "yellow",
    "failed": "bold red",
    "stale": "yellow",
    "waiting": "dim",
}


@dataclass(frozen=True)
class Status:
    """The state of one job, and more about it in words."""

    folder: str
    state: State
    details: str


def statuses(jobs: Mapping[str, Job], results: Path) -> list[Status]:
    """Return the state of every job.

    running: a process holds the job's lock. failed: its last attempt ended with an error. interrupted: it was begun,
    and its process ended without saying anything. stale: its results are not those of the present configuration and
    sources. waiting: it has not run.

    Arguments:
        jobs: all jobs by folder, upstream jobs first.
        results: root of the results.
    """
    reasons = stale_reasons(jobs, results)
    return [Status(job.folder, *_state(job, results, reasons)) for job in jobs.values()]


def _state(job: Job, results: Path, reasons: Mapping[str, str]) -> tuple[State, str]:
    work = work_folder(job, results)
    if is_running(work):
        return "running", _running(work)
    reason = reasons.get(job.folder)
    if reason is None:
        return "done", f"in {_duration(read_record(results / job.folder)['seconds'])}"
    if (work / FAILURE).exists():
        log = results / ".work" / "logs" / f"{job.folder}.log"
        failure = (work / FAILURE).read_text(encoding="utf-8").strip()
        return "failed", f"{failure} (log: {log})" if log.exists() else failure
    if (work / LOCK).exists():
        return "interrupted", _interrupted(work)
    if reason != NOT_RUN:
        return "stale", reason
    missing = [folder for folder in job.upstream if folder in reasons]
    if not missing:
        return "waiting", "nothing is missing"
    others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return "waiting", f"needs {missing[0]}{others}"


def _running(work: Path) -> str:
    # The process wrote the lock when it started.
    now, started = time.time(), (work / LOCK).stat().st_mtime
    details = f"for {_duration(now - started)}"
    progress = read_progress(work / PROGRESS)
    if progress is None or progress.updated < started:
        return details
    details = f"{_percentage(progress)}, {details}"
    if progress.done < progress.total:
        end = time.strftime(
            "%H:%M" if progress.end - now < 86400 / 2 else "%Y-%m-%d %H:%M", time.localtime(progress.end)
        )
        details += f", ends in {_duration(max(0.0, progress.end - now))} at {end}"
    return details + (f" ({progress.facts})" if progress.facts else "")


def _interrupted(work: Path) -> str:
    progress = read_progress(work / PROGRESS)
    where = "" if progress is None else f"at {_percentage(progress)}; "
    folder = work / CHECKPOINTS
    # The folders in it are what a DNS writes from the beginning on.
    has_checkpoint = folder.is_dir() and any(path.is_file() for path in folder.iterdir())
    return where + ("resumes from its last checkpoint" if has_checkpoint else "starts again from its beginning")


def _percentage(progress: Reading) -> str:
    return f"{100 * progress.done / max(progress.total, 1):.0f} % of {progress.description}"


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds))) if seconds >= 60 else f"{seconds:.0f} s"


def show(states: Sequence[Status]) -> None:
    """Print a table in a terminal, plain lines elsewhere, and how many jobs there are in each state."""
    console = Console()
    if console.is_terminal:
        whole = (Column("job", no_wrap=True), Column("state", no_wrap=True))
        table = Table(*whole, "", box=None, header_style="bold")
        for one in states:
            table.add_row(Text(one.folder), Text(one.state, STYLES[one.state]), Text(one.details))
        console.print(table)
    else:
        for one in states:
            print(f"{one.folder}: {one.state}, {one.details}")
    counts = Counter(one.state for one in states)
    print(", ".join(f"{counts[state]} {state}" for state in STYLES if counts[state]) + f" of {len(states)} jobs")
