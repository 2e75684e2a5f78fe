"""Trainings that stop before their end, and their checkpoints."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from eddymark.errors import EddymarkError

from .conftest import experiment
from .runs import assert_same_training, checkpoint, run, stop_in_step


def test_divergence_is_reported_and_the_last_good_checkpoint_resumes(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_in_step(15, patch)
        with pytest.raises(
            EddymarkError, match=r"training diverged in step 15: loss nan.*; its batch .*work/diverged.safetensors"
        ):
            run(experiment(), results, tmp_path / "stopped")
    # What it diverged with: batch 3 of the third epoch, three unrolled outputs after one.
    batch = load_file(tmp_path / "stopped" / "work" / "diverged.safetensors")["window"]
    assert batch.shape == (4, 4, 2, 12, 12)
    assert torch.isfinite(batch).all()
    # Only tensors and plain types: nothing is unpickled.
    state = torch.load(checkpoint(tmp_path / "stopped"), weights_only=True)
    assert state["global_step"] == 12
    assert len(state["training"]["history"]) == 2
    resumed = run(experiment(), results, tmp_path / "stopped")
    assert_same_training(resumed, run(experiment(), results, tmp_path / "undisturbed"))


def test_a_killed_training_resumes_to_the_identical_result(results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    program = (
        "import sys; from pathlib import Path; from tests.training.conftest import experiment; "
        "from tests.training.runs import run; run(experiment(), Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), str(root / "src")])}
    command = [sys.executable, "-c", program, str(results), str(folder)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line.startswith("epoch 3"):
                break
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert [line[:7] for line in lines] == ["epoch 1", "epoch 2", "epoch 3"]
    assert not (folder / "output" / "weights.safetensors").exists()
    assert checkpoint(folder).exists()
    resumed = run(experiment(), results, folder)
    assert_same_training(resumed, run(experiment(), results, tmp_path / "undisturbed"))
    # Everything is done now: running again only writes the same files once more.
    before = (resumed / "history.csv").read_text()
    run(experiment(), results, folder)
    assert (resumed / "history.csv").read_text() == before


class Payload:
    """Unpickling it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "executed")


def test_a_checkpoint_that_is_damaged_or_not_its_own_is_not_used(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        stop_in_step(8, patch)
        with pytest.raises(EddymarkError):
            run(experiment(steps=12), results, tmp_path / "stopped")
    good = checkpoint(tmp_path / "stopped")
    content = good.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    executed, malicious = tmp_path / "executed", tmp_path / "malicious"
    torch.save({"state_dict": {}, "training": Payload(executed)}, malicious)

    def resume(content: bytes, name: str, seed: int) -> tuple[Path, list[str]]:
        path = tmp_path / "with-damage" / "work" / name
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        capsys.readouterr()
        output = run(experiment(steps=12), results, path.parent.parent, seed=seed)
        lines = capsys.readouterr().err.replace(f"the checkpoint {path} is not used ", "").splitlines()
        assert lines[1].startswith("epoch 1 ")
        return output, lines

    for damaged in (b"", content[:middle], content[:-1], flipped):
        output, lines = resume(damaged, good.name, 0)
        assert lines[0] == "(it is damaged)"
    assert_same_training(output, run(experiment(steps=12), results, tmp_path / "undisturbed"))
    forged = f"step-00000012-{hashlib.sha256(malicious.read_bytes()).hexdigest()}.ckpt"
    assert resume(malicious.read_bytes(), forged, 0)[1][0] == "(it is not a checkpoint)"
    assert resume(content, good.name, 1)[1][0] == "(it belongs to another training)"
    assert not executed.exists()
