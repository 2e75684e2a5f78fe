"""A killed run must not stop the next one, and a running one must."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from eddymark.locks import release_stale_locks

HOLD = """
import sys, time
from pathlib import Path
from eddymark.locks import release_stale_locks
held = release_stale_locks(Path(sys.argv[1]))
lock = Path(sys.argv[1], "locks", "0.output.lock")
lock.parent.mkdir(exist_ok=True)
lock.write_text("results")
print("running", flush=True)
time.sleep(60)
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    """Start a process that locks a folder as a run does."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    return process


def locks(folder: Path) -> list[Path]:
    return list(folder.glob("locks/*.lock"))


def test_the_lock_of_a_killed_run_is_removed_and_that_of_a_running_one_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / ".snakemake"
    first = hold(folder)
    # Looking at a running workflow, as a dry run does, takes nothing from it; not even after several.
    for _ in range(2):
        with_running = release_stale_locks(folder)
        assert with_running is not None
        with_running.close()
    assert len(locks(folder)) == 1
    assert capsys.readouterr().err == ""
    first.kill()
    first.communicate()
    assert len(locks(folder)) == 1
    held = release_stale_locks(folder)
    assert locks(folder) == []
    assert capsys.readouterr().err == "eddymark: the last run was killed; its lock is removed\n"
    assert held is not None
    held.close()


def test_a_lock_that_may_be_another_machines_is_left(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "0.input.lock").write_text("results")
    (tmp_path / "running").write_text(f"not-{platform.node()}")
    for _ in range(2):
        held = release_stale_locks(tmp_path)
        assert held is not None
        held.close()
        assert len(locks(tmp_path)) == 1
    (tmp_path / "locks" / "0.input.lock").unlink()
    held = release_stale_locks(tmp_path)
    assert held is not None
    held.close()
    assert (tmp_path / "running").read_text() == platform.node()


def test_a_folder_that_cannot_be_made_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert release_stale_locks(tmp_path / "file" / ".snakemake") is None
