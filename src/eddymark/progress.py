"""Progress of long work: a bar in a terminal, sparse lines in a log file, and a small file for `eddymark status`."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

SECONDS_BETWEEN_LINES = 15.0
SECONDS_BETWEEN_FILES = 3.0

_file: Path | None = None
"""Where the running job leaves its progress; a job has a process of its own."""


@dataclass(frozen=True)
class Reading:
    """How far a piece of work was at some moment.

    Arguments:
        description: what is being done.
        done, total: number of units.
        updated: the moment, seconds since 1970.
        end: when the work will end at its present rate, seconds since 1970.
        facts: a few facts worth watching.
    """

    description: str
    done: int
    total: int
    updated: float
    end: float
    facts: str = ""


@contextlib.contextmanager
def kept_in(path: Path) -> Iterator[None]:
    """Leave the progress of all work inside the context in a file."""
    global _file
    _file = path
    try:
        yield
    finally:
        _file = None


def read_progress(path: Path) -> Reading | None:
    """Return what is in such a file, None if there is none or it cannot be read."""
    try:
        return Reading(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


class Progress:
    """Shows how far a piece of work is and when it will end.

    Arguments:
        description: what is being done.
        total: number of units.
        shown: whether to show it here, too, or only in the file.
    """

    def __init__(self, description: str, total: int, *, shown: bool = True) -> None:
        self.description = description
        self.total = total
        self.shown = shown
        self._started = self._last_line = time.monotonic()
        self._last_file = -float("inf")
        self._before: int | None = None
        self._bar: Bar | None = None

    def __enter__(self) -> Progress:
        if self.shown and sys.stderr.isatty():
            self._show_bar()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _show_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[facts]}"),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task(self.description, total=self.total, facts="")
        self._bar.start()

    def update(self, done: int, facts: str = "") -> None:
        """Report `done` of `total` units, with a few facts worth watching; the first report is of the first unit."""
        if self._before is None:
            # What was done when a killed work is resumed took none of the time.
            self._before = done - 1
        now = time.monotonic()
        if now - self._last_file >= SECONDS_BETWEEN_FILES or done >= self.total:
            self._write(done, facts)
        if self._bar is not None:
            self._bar.update(self._task, completed=done, facts=facts)
            return
        if not self.shown or (done < self.total and now - self._last_line < SECONDS_BETWEEN_LINES):
            return
        self._last_line = now
        end = time.strftime("%H:%M:%S", time.localtime(self._end(done)))
        print(
            f"{self.description}: {done}/{self.total} ({100 * done / self.total:.0f} %), {now - self._started:.0f} s, "
            f"ends {end}" + (f", {facts}" if facts else ""),
            file=sys.stderr,
            flush=True,
        )

    def _end(self, done: int) -> float:
        """Return when the work will end at its present rate, seconds since 1970."""
        per_unit = (time.monotonic() - self._started) / max(done - (self._before or 0), 1)
        return time.time() + per_unit * (self.total - done)

    def _write(self, done: int, facts: str) -> None:
        if _file is None:
            return
        self._last_file = time.monotonic()
        reading = Reading(self.description, done, self.total, time.time(), self._end(done), facts)
        partial = _file.with_name(f"{_file.name}.partial")
        # Not synchronised: it need not survive a power failure. A full disk must not stop the work.
        with contextlib.suppress(OSError):
            partial.write_text(json.dumps(asdict(reading)), encoding="utf-8")
            os.replace(partial, _file)
