"""What the machine refuses is one line; nothing half-written is published, and a rerun finishes."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from torch.utils.tensorboard import SummaryWriter

from eddymark.cli import main
from eddymark.errors import EddymarkError
from eddymark.execution import select_device
from eddymark.failures import explain, killed_hint, require_writable
from eddymark.growing_store import GrowingStore
from eddymark.mapped import mapped_tensor
from eddymark.plan import OUTPUTS
from eddymark.records import RECORD, write_atomically
from eddymark.storage import save_weights, write_trajectories
from tests.test_storage import dataset
from tests.training.conftest import experiment

# TensorBoard writes in a thread of its own, which ends with the error that the next call to it reports.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

REPOSITORY = Path(__file__).parents[1]
MEGABYTE = 2**20


def mount(folder: Path, options: str) -> None:
    """Mount a small file system in memory, or skip the test where that is not allowed."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        result = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("needs mount")
    if result.returncode:
        pytest.skip(f"needs to mount a file system: {result.stderr.strip()}")


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    folder = tmp_path / "small disk λ"
    mount(folder, "size=4m")
    yield folder
    unmount(folder)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "read-only"
    mount(folder, "size=64k,ro")
    yield folder
    unmount(folder)


def fill(disk: Path, *, leaving: int) -> Path:
    """Write a file which leaves so many bytes free."""
    filler = disk / "filler"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    filler.write_bytes(b"\0" * (free - leaving))
    return filler


def curves(folder: Path) -> None:
    writer = SummaryWriter(str(folder), max_queue=1)
    for step in range(20_000):
        writer.add_scalar("loss", step, step)
    writer.close()


def grow(folder: Path) -> None:
    fields = dataset(trajectories=40)
    store = GrowingStore(folder / "store", fields)
    store.start()
    for trajectory in range(40):
        for output, field in enumerate(fields["velocity"].to_numpy()[trajectory]):
            store.write(trajectory, output, field)


TABLE = pd.DataFrame(np.random.default_rng(0).standard_normal((20_000, 4)))
WRITERS: dict[str, Callable[[Path], object]] = {
    "trajectories": lambda disk: write_trajectories(disk / "a.zarr.zip", dataset(trajectories=40)),
    "weights": lambda disk: save_weights(disk / "weights.safetensors", torch.nn.Linear(600, 600)),
    "netCDF": lambda disk: xr.Dataset({"a": ("x", np.arange(2e5))}).to_netcdf(disk / "a.nc", engine="h5netcdf"),
    "table": lambda disk: TABLE.to_csv(disk / "a.csv"),
    "record": lambda disk: write_atomically(disk / "a.json", "x" * MEGABYTE),
    "checkpoint": lambda disk: torch.save({"a": torch.zeros(300_000)}, disk / "last.ckpt"),
    "curves": curves,
    "rollout": lambda disk: mapped_tensor(disk / "rollout", (300_000,), torch.float32),
    "samples": grow,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_is_recognised_whatever_the_library_makes_of_it(small_disk: Path, kind: str) -> None:
    fill(small_disk, leaving=MEGABYTE // 4)
    with pytest.raises(Exception) as caught:  # noqa: PT011
        WRITERS[kind](small_disk)
    assert explain(caught.value, small_disk) == f"no space left on {small_disk}; free some and run again"


def eddymark(disk: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a stage with its results and its log on a disk."""
    resolved = disk / "experiment.json"
    if not resolved.exists():
        resolved.write_text(experiment().model_dump_json())
    options = ["--experiment", str(resolved), "--results", str(disk / "results")]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "eddymark.cli", *arguments, *options]
    with (disk / "log").open("w") as log:
        log.write(" " * 4096 + "\n")
        log.flush()
        status = subprocess.run(command, stdout=log, stderr=log, env=environment, timeout=300).returncode
    return subprocess.CompletedProcess(command, status, (disk / "log").read_text().strip())


def test_a_job_on_a_full_disk_publishes_nothing_and_its_rerun_finishes(small_disk: Path) -> None:
    results = small_disk / "results"
    message = f"no space left on {results}; free some and run again"
    earlier: dict[Path, bytes] = {}
    for arguments, folder, leaving in (
        (("generate", "flow", "0"), "flow/generate/0", 60_000),
        (("generate", "flow", "1"), "flow/generate/1", 0),
        (("train", "flow", "network", "0"), "flow/train/network/seed0", 20_000),
    ):
        filler = fill(small_disk, leaving=leaving)
        failed = eddymark(small_disk, *arguments)
        assert failed.returncode == 1
        assert failed.stdout.splitlines()[-1].strip() in (f"eddymark: {folder}: {message}", f"eddymark: {message}")
        assert "Traceback" not in failed.stdout
        assert not (results / folder / RECORD).exists()
        assert not any((results / folder / name).exists() for name in OUTPUTS[folder.split("/")[1]])
        assert {path: path.read_bytes() for path in earlier} == earlier
        filler.unlink()
        finished = eddymark(small_disk, *arguments)
        assert finished.returncode == 0, finished.stdout
        assert (results / folder / RECORD).exists()
        earlier |= {path: path.read_bytes() for path in (results / folder).iterdir()}


def last_line(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the only line that a failing command writes."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_results_that_cannot_be_written_are_refused_before_any_work(
    read_only: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resolved = tmp_path / "experiment.json"
    resolved.write_text(experiment().model_dump_json())
    job = ["generate", "flow", "0", "--experiment", str(resolved), "--results"]
    assert last_line(capsys, *job, str(read_only)) == (
        f"eddymark: {read_only}/.work: read-only file system; make it writable or choose another folder with "
        "--config results=FOLDER"
    )
    for results in (resolved, resolved / "below"):
        assert last_line(capsys, *job, str(results)) == (
            f"eddymark: {results} is not a folder; choose another one with --config results=FOLDER"
        )


def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "a.csv"))
    assert explain(error, tmp_path) == (
        f"{tmp_path}/a.csv: permission denied; make it writable or choose another folder with --config results=FOLDER"
    )
    if os.geteuid() != 0:
        tmp_path.chmod(0o500)
        with pytest.raises(EddymarkError, match="permission denied; make it writable"):
            require_writable(tmp_path)


def test_too_little_memory_is_one_line(tmp_path: Path) -> None:
    for allocate in (lambda: torch.empty(2**60), lambda: np.zeros(2**55), lambda: bytearray(2**62)):
        with pytest.raises((RuntimeError, MemoryError)) as caught:
            allocate()
        line = explain(caught.value, tmp_path)
        assert line is not None
        assert line.startswith("not enough memory (")
        assert "\n" not in line


def test_other_failures_are_not_explained_away(tmp_path: Path) -> None:
    for error in (ZeroDivisionError("x"), RuntimeError("shape mismatch"), FileNotFoundError(errno.ENOENT, "x")):
        assert explain(error, tmp_path) is None


def test_a_killed_job_is_recognised_in_the_log_of_snakemake() -> None:
    assert killed_hint("(command exited with non-zero exit code)") is None
    hint = killed_hint("Command 'exec python' died with <Signals.SIGKILL: 9>.")
    assert hint is not None
    assert "memory ran out: run again with fewer --cores" in hint


@pytest.mark.parametrize("python", ["./old", "./missing"])
def test_make_refuses_an_old_python_with_one_line(tmp_path: Path, python: str) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, tmp_path)
    # An interpreter that answers as Python 3.9 does when it is asked for its version.
    (tmp_path / "old").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "old").chmod(0o755)
    result = subprocess.run(["make", "report", f"PYTHON={python}"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode != 0
    assert "Python 3.11 or newer is needed; choose one with PYTHON=..." in result.stderr.splitlines()
    assert not (tmp_path / ".venv").exists()


def test_cuda_without_cuda_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(EddymarkError, match=r"device: cuda, but torch .* finds none"):
        select_device(experiment().model_copy(update={"device": "cuda"}))
