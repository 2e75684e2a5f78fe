"""The command line: quick to start, clear when it fails, and it publishes only what is complete."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

import pytest

from eddymark import jobs
from eddymark.cli import main
from eddymark.errors import EddymarkError
from eddymark.jobs import STOP_WITH_PARENT, _terminate
from eddymark.plan import OUTPUTS
from eddymark.records import read_record, write_measured
from eddymark.work import LOCK
from tests.small_experiment import write_experiment

GENERATE = ["generate", "kolmogorov", "0"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_experiment(tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    for library in ("OMP", "MKL", "OPENBLAS", "NUMEXPR"):
        monkeypatch.setenv(f"{library}_NUM_THREADS", "1")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield tmp_path  # type: ignore[misc]
    for number, handler in handlers.items():
        signal.signal(number, handler)


def exit_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    return int(stopped.value.code or 0)


def replace_driver(monkeypatch: pytest.MonkeyPatch, run: Any, stage: str = "generate") -> None:
    driver = types.ModuleType(f"eddymark.stages.{stage}")
    driver.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, driver.__name__, driver)
    monkeypatch.setattr(f"eddymark.stages.{stage}", driver, raising=False)


def write_outputs(*_: Any, output: Path, **__: Any) -> None:
    for name in OUTPUTS["generate"]:
        (output / name).write_text(name)


def test_help_and_plan_load_no_heavy_library(folder: Path) -> None:
    script = """
import sys
from eddymark.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stopped:
    assert not stopped.code
heavy = {"torch", "numba", "numpy", "xarray", "matplotlib", "pytorch_lightning", "snakemake"} & set(sys.modules)
assert not heavy, heavy
"""
    for arguments in (["--help"], ["plan"]):
        subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True)


def test_check_sums_up_what_would_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("check") == 0
    assert capsys.readouterr().out.splitlines() == [
        "kolmogorov: 22 jobs, trajectories: 4 train, 2 validation, 4 test",
        "ok: experiment small, 1 flows, 23 jobs",
    ]


def test_a_stage_publishes_its_outputs_with_a_record(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_driver(monkeypatch, write_outputs)
    assert exit_code(*GENERATE) == 0
    record = json.loads((folder / "results/kolmogorov/generate/0/signature.json").read_text())
    assert set(record["outputs"]) == set(OUTPUTS["generate"])
    assert record["upstream"] == {}
    assert record["peak_memory_bytes"] > 1e6
    assert [path.name for path in (folder / "results/.work").iterdir()] == ["sources.json"]


def test_plan_tells_what_is_up_to_date(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace_driver(monkeypatch, write_outputs)
    exit_code(*GENERATE)
    assert exit_code("plan") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if "up to date" in line] == ["kolmogorov/generate/0"]
    assert lines[-1] == "22 of 23 jobs to run"


def test_an_expected_failure_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise EddymarkError("energy grew without bound at t = 3.1")

    replace_driver(monkeypatch, fail)
    assert exit_code(*GENERATE) == 1
    assert capsys.readouterr().err == "eddymark: energy grew without bound at t = 3.1\n"
    assert not (folder / "results/kolmogorov").exists()


def test_a_bug_leaves_a_traceback_in_the_log_and_one_line_at_the_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("no points")

    replace_driver(monkeypatch, fail)
    assert exit_code(*GENERATE) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1].startswith("eddymark: kolmogorov/generate/0 failed: ZeroDivisionError: no points")


def test_a_job_whose_inputs_are_missing_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("train", "kolmogorov", "fno", "0") == 1
    expected = "results/kolmogorov/generate/0 does not exist, but kolmogorov/train/fno/seed0 needs it: run it first"
    assert capsys.readouterr().err == f"eddymark: {expected}\n"


@pytest.mark.parametrize("options", [[], ["--configfile", "config/config.yaml", "--results", "other results"]])
def test_a_job_refuses_a_damaged_input_and_the_command_which_it_names_remakes_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    train = ["train", "kolmogorov", "fno", "0", *options]
    replace_driver(monkeypatch, write_outputs)
    replace_driver(monkeypatch, lambda *_, **__: pytest.fail("it ran with a damaged input"), "train")
    for shard in ("0", "1"):
        assert exit_code("generate", "kolmogorov", shard, *options) == 0
    results = Path(options[-1] if options else "results")
    damaged = results / "kolmogorov/generate/1/validation.zarr.zip"
    damaged.write_bytes(b"validation.zarr.zIp")
    assert exit_code(*train) == 1
    line = capsys.readouterr().err
    problem = "is damaged: it is not what its job wrote, but kolmogorov/train/fno/seed0 needs it"
    command = shlex.join(["eddymark", "generate", "kolmogorov", "1", *options])
    assert line == f"eddymark: {damaged} {problem}; remake it: {command}\n"

    assert exit_code(*shlex.split(command)[1:]) == 0
    ran = []
    replace_driver(monkeypatch, lambda *_, **__: ran.append("train"), "train")
    exit_code(*train)
    assert ran


def test_an_unknown_job_is_answered_with_those_there_are(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("generate", "kolmogorov", "7") == 1
    assert "there are: kolmogorov/generate/0, kolmogorov/generate/1" in capsys.readouterr().err


def test_a_job_does_not_run_twice_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_again(*_: Any, output: Path, **__: Any) -> None:
        assert exit_code(*GENERATE) == 1
        write_outputs(output=output)

    monkeypatch.setattr(jobs, "_SECONDS_FOR_THE_LOCK", 0)
    replace_driver(monkeypatch, run_again)
    assert exit_code(*GENERATE) == 0
    assert capsys.readouterr().err == "eddymark: kolmogorov/generate/0 is running in another process\n"


def test_a_lock_whose_folder_its_holder_removes_is_taken_anew(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    with (work / LOCK).open("w") as finishing:
        fcntl.flock(finishing, fcntl.LOCK_EX)
        released = threading.Timer(0.3, lambda: (shutil.rmtree(work), finishing.close()))
        released.start()
        with jobs._locked(work, "kolmogorov/generate/0"):
            assert (work / LOCK).exists()
            with (work / LOCK).open() as another, pytest.raises(BlockingIOError):
                fcntl.flock(another, fcntl.LOCK_EX | fcntl.LOCK_NB)
        released.join()


SLOW = """
import sys, time, types
driver = types.ModuleType("eddymark.stages.generate")
def run(*_, work, **__):
    (work / "checkpoint").write_text("half")
    time.sleep(60)
driver.run = run
import eddymark.stages
sys.modules[driver.__name__] = eddymark.stages.generate = driver
from eddymark.cli import main
main(["generate", "kolmogorov", "0"])
"""


def checkpoint(folder: Path) -> Path:
    """Wait for the slow job's checkpoint."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        for path in (folder / "results").glob(".work/*/checkpoints/checkpoint"):
            return path
        time.sleep(0.05)
    raise AssertionError("the job did not start")


@pytest.mark.parametrize(("number", "word"), [(signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupted")])
def test_a_stopped_job_says_how_to_go_on(folder: Path, number: signal.Signals, word: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", SLOW], stderr=subprocess.PIPE, text=True)
    kept = checkpoint(folder)
    process.send_signal(number)
    _, message = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    again = "the same command goes on from its last checkpoint and keeps the finished jobs"
    assert message == f"eddymark: {word}; {again}\n"
    assert kept.exists()


@pytest.mark.parametrize(
    ("stage", "promise"),
    [
        ("train", "goes on after its last complete epoch"),
        ("validate", "goes on from its last checkpoint"),
        ("cost", "starts this job again"),
        ("report", "starts this job again"),
    ],
)
def test_a_stopped_job_promises_only_what_its_stage_does(
    stage: str, promise: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        _terminate(stage, signal.SIGTERM, None)
    assert capsys.readouterr().err == f"eddymark: terminated; the same command {promise} and keeps the finished jobs\n"


TRAIN = ["train", "kolmogorov", "fno", "0"]


def test_checkpoints_made_from_other_inputs_are_thrown_away(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[set[str]] = []

    def stop(*_: Any, work: Path, **__: Any) -> None:
        seen.append({path.name for path in work.iterdir()})
        (work / "checkpoint").write_text("half")
        raise EddymarkError("stopped")

    replace_driver(monkeypatch, stop, "train")
    for shard in "01":
        monkeypatch.setattr(jobs, "upstream_digests", lambda *_, digest=shard: {"generate/0": {"train": digest}})
        for _ in range(2):
            assert exit_code(*TRAIN) == 1
    assert seen == [set(), {"checkpoint"}] * 2
    errors = capsys.readouterr().err.splitlines()
    assert errors.count("the checkpoint was made from other inputs: starting again") == 1


def test_time_spent_before_a_kill_counts_and_measurements_are_in_the_record(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resumed(*_: Any, output: Path, **__: Any) -> None:
        write_outputs(output=output)
        write_measured(output, seconds_before=1000.0, peak_memory_bytes=3.0)

    replace_driver(monkeypatch, resumed)
    assert exit_code(*GENERATE) == 0
    record = read_record(folder / "results" / "kolmogorov" / "generate" / "0")
    assert 1000 <= record["seconds"] < 1060
    assert record["measured"] == {"peak_memory_bytes": 3.0}
    assert "measured.json" not in record["outputs"]


def test_a_job_ends_when_the_workflow_that_started_it_is_killed(folder: Path) -> None:
    starter = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    environment = os.environ | {STOP_WITH_PARENT: "1"}
    log = folder / "log"
    with log.open("w") as file:
        parent = subprocess.Popen([sys.executable, "-c", starter, SLOW], env=environment, stderr=file)
        checkpoint(folder)
        parent.kill()
        parent.wait(timeout=20)
    end = time.monotonic() + 20
    while "terminated" not in log.read_text():
        assert time.monotonic() < end
        time.sleep(0.1)
