"""Progress of long work: a bar in a terminal, sparse lines in a log file."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Shows how far a piece of work is and when it will end.

    Arguments:
        description: what is being done.
        total: number of units.
    """

    def __init__(self, description: str, total: int) -> None:
        self.description = description
        self.total = total
        self._started = self._last = time.monotonic()
        self._before: int | None = None
        self._bar: Bar | None = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
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
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, facts: str = "") -> None:
        """Report `done` of `total` units, with a few facts worth watching; the first report is of the first unit."""
        if self._before is None:
            # What was done when a killed work is resumed took none of the time.
            self._before = done - 1
        if self._bar is not None:
            self._bar.update(self._task, completed=done, facts=facts)
            return
        now = time.monotonic()
        if done < self.total and now - self._last < SECONDS_BETWEEN_LINES:
            return
        self._last = now
        elapsed = now - self._started
        remaining = elapsed / max(done - self._before, 1) * (self.total - done)
        end = time.strftime("%H:%M:%S", time.localtime(time.time() + remaining))
        print(
            f"{self.description}: {done}/{self.total} ({100 * done / self.total:.0f} %), {elapsed:.0f} s, ends {end}"
            + (f", {facts}" if facts else ""),
            file=sys.stderr,
            flush=True,
        )
