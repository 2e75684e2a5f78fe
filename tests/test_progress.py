"""Progress: rare lines, a small file that is never half-written, and no harm to the work."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from eddymark.progress import SECONDS_BETWEEN_FILES, Progress, kept_in, read_progress


def test_the_file_says_how_far_the_work_is_and_when_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    with kept_in(path), Progress("DNS", 100, shown=False) as progress:
        progress.update(51)
        first = read_progress(path)
        assert first is not None
        assert (first.description, first.done, first.total) == ("DNS", 51, 100)
        progress._started -= 20
        progress._last_file -= SECONDS_BETWEEN_FILES
        progress.update(60, "energy 0.5")
        second = read_progress(path)
    assert second is not None
    assert (second.done, second.facts) == (60, "energy 0.5")
    # Ten units took 20 s; the 50 of the earlier process do not count.
    assert second.end == pytest.approx(time.time() + 80, abs=2)


def test_the_file_is_written_rarely_but_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    monkeypatch.setattr(os, "replace", lambda source, target: written.append(target))
    path = tmp_path / "progress.json"
    with kept_in(path):
        progress = Progress("training", 10_000, shown=False)
        for step in range(10_000):
            progress.update(step + 1)
    assert written == [path, path]


def test_without_a_job_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with kept_in(tmp_path / "progress.json"):
        pass
    Progress("rollout", 10, shown=False).update(10)
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_does_not_stop_the_work(tmp_path: Path) -> None:
    with kept_in(tmp_path / "missing" / "progress.json"):
        Progress("rollout", 10, shown=False).update(10)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"done": 1}', '{"description": "", "unknown": 1}'])
def test_a_file_that_makes_no_sense_is_no_progress(tmp_path: Path, content: str) -> None:
    (tmp_path / "progress.json").write_text(content)
    assert read_progress(tmp_path / "progress.json") is None


def test_the_log_gets_a_line_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("rollout", 4) as progress:
        for step in range(4):
            progress.update(step + 1, f"step {step}")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("rollout: 4/4 (100 %), 0 s, ends ")
    assert line.endswith(", step 3")
