"""The state of every job from the files alone."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eddymark.cli import main
from eddymark.progress import Progress, kept_in
from eddymark.status import Status, show, statuses
from eddymark.work import CHECKPOINTS, FAILURE, LOCK, PROGRESS, work_folder
from tests.results_tree import Tree, planned_tree
from tests.small_experiment import write_experiment

GENERATE, TRAIN, VALIDATE = "kolmogorov/generate/0", "kolmogorov/train/fno/seed0", "kolmogorov/validate/fno-seed0"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return planned_tree(tmp_path_factory.mktemp("status"))


@pytest.fixture
def tree(finished: Tree, tmp_path: Path) -> Tree:
    shutil.copytree(finished[1], tmp_path / "results")
    return dict(finished[0]), tmp_path / "results"


def states(tree: Tree) -> dict[str, tuple[str, str]]:
    return {one.folder: (one.state, one.details) for one in statuses(*tree)}


def begin(folder: str, tree: Tree) -> Path:
    """Return the work folder of a job whose process has ended."""
    jobs, results = tree
    work = work_folder(jobs[folder], results)
    (work / CHECKPOINTS).mkdir(parents=True)
    (work / LOCK).touch()
    return work


def test_finished_jobs_are_done(tree: Tree) -> None:
    assert set(states(tree).values()) == {("done", "in 0:01:23")}


def test_nothing_is_written(tree: Tree) -> None:
    jobs, results = tree
    jobs[TRAIN] = dataclasses.replace(jobs[TRAIN], signature="new")
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    statuses(jobs, results)
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before


def test_before_anything_ran_jobs_wait_for_others(tree: Tree, tmp_path: Path) -> None:
    found = states((tree[0], tmp_path / "nothing"))
    assert found[GENERATE] == ("waiting", "nothing is missing")
    assert found[TRAIN] == ("waiting", "needs kolmogorov/generate/0 and 1 more")
    assert {state for state, _ in found.values()} == {"waiting"}


def test_stale_jobs_say_why(tree: Tree) -> None:
    jobs, results = tree
    jobs[GENERATE] = dataclasses.replace(jobs[GENERATE], fragment={"viscosity": 2}, signature="new")
    jobs[VALIDATE] = dataclasses.replace(jobs[VALIDATE], sources="new", signature="new")
    (results / "kolmogorov/validate/no_model/scores.csv").unlink()
    found = states(tree)
    assert found[GENERATE] == ("stale", "its configuration changed")
    assert found[TRAIN] == ("stale", "kolmogorov/generate/0 has to run first")
    assert found[VALIDATE] == ("stale", "its sources changed")
    assert found["kolmogorov/validate/no_model"] == ("stale", "scores.csv is missing")
    assert found["kolmogorov/generate/1"][0] == "done"


def test_a_locked_job_runs_whatever_its_record_says_and_shows_how_far_it_is(tree: Tree) -> None:
    work = begin(TRAIN, tree)
    with (work / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.utime(work / LOCK, (time.time() - 30, time.time() - 30))
        assert states(tree)[TRAIN] == ("running", "for 30 s")
        with kept_in(work / PROGRESS), Progress("training", 200, shown=False) as progress:
            progress.update(20)
            assert states(tree)[TRAIN][1].startswith("10 % of training, for 30 s, ends in 0 s at ")
            progress._started -= 40
            progress._last_file -= 40
            progress.update(100, "loss 0.1")
        state, details = states(tree)[TRAIN]
    assert state == "running"
    # Of the steps 19 were done before, and 81 took 40 s.
    assert re.fullmatch(r"50 % of training, for 3\d s, ends in (49|5\d) s at \d\d:\d\d \(loss 0.1\)", details)
    assert states(tree)[TRAIN][0] == "done"


def test_the_progress_of_an_earlier_attempt_is_not_shown_as_the_present_one(tree: Tree) -> None:
    work = begin(TRAIN, tree)
    with kept_in(work / PROGRESS):
        Progress("training", 200, shown=False).update(20)
    with (work / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.utime(work / LOCK, (time.time() + 5, time.time() + 5))
        assert "%" not in states(tree)[TRAIN][1]


def test_a_job_without_its_process_is_interrupted_and_says_whether_it_resumes(tree: Tree) -> None:
    shutil.rmtree(tree[1] / TRAIN)
    work = begin(TRAIN, tree)
    assert states(tree)[TRAIN] == ("interrupted", "starts again from its beginning")
    (work / CHECKPOINTS / "last.ckpt").touch()
    with kept_in(work / PROGRESS):
        Progress("training", 200, shown=False).update(20)
    assert states(tree)[TRAIN] == ("interrupted", "at 10 % of training; resumes from its last checkpoint")


def test_a_failed_job_says_how_it_failed_and_where_its_log_is(tree: Tree) -> None:
    shutil.rmtree(tree[1] / TRAIN)
    work = begin(TRAIN, tree)
    (work / FAILURE).write_text("training diverged in step 7")
    assert states(tree)[TRAIN] == ("failed", "training diverged in step 7")
    log = tree[1] / ".work" / "logs" / f"{TRAIN}.log"
    log.parent.mkdir(parents=True)
    log.touch()
    assert states(tree)[TRAIN] == ("failed", f"training diverged in step 7 (log: {log})")


def test_plain_lines_without_a_terminal(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    show([Status("a/b", "done", "in 3 s"), Status("c [x]", "failed", "bad [value]")])
    assert capsys.readouterr().out.splitlines() == [
        "a/b: done, in 3 s",
        "c [x]: failed, bad [value]",
        "1 done, 1 failed of 2 jobs",
    ]


def test_the_command_needs_no_heavy_library(tree: Tree, tmp_path: Path) -> None:
    write_experiment(tmp_path / "config")
    script = """
import sys
from eddymark.cli import main
try:
    main(["status"])
except SystemExit as stopped:
    assert not stopped.code
names = {"torch", "numba", "numpy", "xarray", "pandas", "matplotlib", "pytorch_lightning", "snakemake"}
heavy = names & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "23 done of 23 jobs"


def test_verify_and_status_name_a_job_that_does_not_exist(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_experiment(tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["verify", "kolmogorov/train/nothing/seed0"])
    assert stopped.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("eddymark: no job kolmogorov/train/nothing/seed0 in the experiment; there are: kolmogorov/t")
