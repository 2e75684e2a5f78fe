"""The benchmarks' command line."""

from __future__ import annotations

import sys

import pytest

from benchmarks.run import chosen


def test_an_unknown_benchmark_is_one_line_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", "scalling"])
    with pytest.raises(SystemExit) as stopped:
        chosen()
    assert stopped.value.code == 2
    usage, line = capsys.readouterr().err.splitlines()
    assert usage == "usage: run.py [-h] [name ...]"
    assert line.startswith("run.py: error: expected a benchmark (channel, closures, fno, ")
    assert line.endswith("found 'scalling'; did you mean scaling?")


def test_names_choose_and_none_means_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", "fno"])
    assert chosen() == ["fno"]
    monkeypatch.setattr(sys, "argv", ["run.py"])
    assert {"fno", "solver", "scaling"} <= set(chosen())
    assert "peers" not in chosen()
