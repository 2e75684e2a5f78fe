"""What is kept about source files saves work and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from eddymark import fingerprint
from eddymark.config import load_experiment
from eddymark.plan import plan
from eddymark.source_cache import FILE, kept_fingerprints
from tests.small_experiment import write_experiment


@pytest.fixture
def forget(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what makes this process know as little about sources as a new one."""

    def start_anew() -> None:
        monkeypatch.setattr(fingerprint, "_KNOWN", {})
        monkeypatch.setattr(fingerprint, "_READ", {})
        fingerprint._read.cache_clear()

    start_anew()
    return start_anew


def signatures(folder: Path) -> dict[str, str]:
    """Return the signatures of the jobs of an experiment, planned with what is kept in a folder."""
    experiment = load_experiment([write_experiment(folder / "config")])
    with kept_fingerprints(folder / "results"):
        return {folder: job.signature for folder, job in plan(experiment).items()}


def test_the_next_process_parses_no_source(
    tmp_path: Path, forget: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signatures(tmp_path)
    forget()
    monkeypatch.delattr(fingerprint.ast, "parse")
    assert signatures(tmp_path) == before


@pytest.mark.parametrize("kind", ["another digest", "cut off", "not what is expected", "no text"])
def test_what_is_damaged_is_made_again(tmp_path: Path, forget: Callable[[], None], kind: str) -> None:
    before = signatures(tmp_path)
    path = tmp_path / "results" / FILE
    good = path.read_text()
    if kind == "another digest":
        digest = next(iter(json.loads(good)["modules"].values()))[0]
        path.write_text(good.replace(digest, digest[::-1]))
    else:
        path.write_bytes({"cut off": good[:1000].encode(), "not what is expected": b"[1]", "no text": b"\xff"}[kind])
    forget()
    assert signatures(tmp_path) == before
    assert path.read_text() == good


def test_nothing_is_kept_where_nothing_can_be_written(tmp_path: Path, forget: Callable[[], None]) -> None:
    (tmp_path / "results").write_text("a file")
    assert signatures(tmp_path)
