"""Stopping a run, starting it twice, and jobs that the system kills: it ends at once and as a whole, and says why."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.small_experiment import write_experiment

REPOSITORY = Path(__file__).parents[2]
FLOW = "flows/kolmogorov.yaml"

pytestmark = pytest.mark.workflow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository whose simulations take hours, in a folder with an odd name."""
    root = tmp_path / "results λ and more"
    root.mkdir()
    for name in ("Snakefile", "workflow"):
        source = REPOSITORY / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, root / name)
    write_experiment(root / "config", (FLOW, "sampling.spin_up", 1e6), (FLOW, "surrogates", {}))
    return root


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "1", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A shell that runs the tests in the background makes its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def members(session: int) -> dict[int, str]:
    """Return the processes of a session and their commands."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.getsid(int(entry.name)) == session:
                command = (entry / "cmdline").read_text().replace("\0", " ")
                if command:
                    found[int(entry.name)] = command
        except OSError:
            continue
    return found


def computing(session: int) -> int:
    """Wait until a job of a session computes and return its process."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        for process, command in members(session).items():
            maps = Path("/proc", str(process), "maps")
            if " -m eddymark.cli generate" in command and "libtorch" in maps.read_text():
                time.sleep(1)
                return process
        time.sleep(0.2)
    raise AssertionError(members(session))


@pytest.fixture
def run(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A run of the workflow that computes."""
    process = start(folder)
    try:
        computing(process.pid)
        yield process
    finally:
        for left in members(process.pid):
            os.kill(left, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_leaves_no_process_and_no_lock(
    run: subprocess.Popen[str], folder: Path, number: signal.Signals
) -> None:
    os.killpg(run.pid, number)
    output, _ = run.communicate(timeout=60)
    assert run.returncode != 0
    assert members(run.pid) == {}
    assert "Traceback" not in output
    assert not list(folder.glob(".snakemake/locks/*"))
    assert not list(folder.glob("results/kolmogorov/**/signature.json"))
    again = start(folder, "--dry-run", "--quiet", "all")
    output, _ = again.communicate(timeout=60)
    assert again.returncode == 0, output


def test_a_second_run_is_refused_and_a_killed_job_is_explained(run: subprocess.Popen[str], folder: Path) -> None:
    second = start(folder)
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    lines = [line for line in output.splitlines() if "eddymark" in line]
    assert lines == [
        "eddymark: another run is making results/kolmogorov/generate/0; wait for it, or stop it first; "
        "this run has changed nothing"
    ], output
    assert "Traceback" not in output
    looking = start(folder, "--dry-run", "--quiet", "all")
    output, _ = looking.communicate(timeout=60)
    assert looking.returncode == 0, output
    os.kill(computing(run.pid), signal.SIGKILL)
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "eddymark: a job was killed by the system (SIGKILL), most likely because memory ran out" in output, output
    assert "Traceback" not in output
    assert members(run.pid) == {}
