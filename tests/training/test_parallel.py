"""Training in several processes through the real command: the numbers are those of one process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from eddymark.config.schema import Experiment
from eddymark.config.training import Parallel
from eddymark.errors import EddymarkError
from eddymark.plan import plan
from eddymark.ranks import Rank, this_rank
from eddymark.records import RECORD, record_text
from eddymark.stages import train as stage
from eddymark.training.windows import Draw

from .conftest import experiment


def spread(setup: Experiment, **parallel: Any) -> Experiment:
    """Return the experiment with all models trained on several devices."""
    data = setup.model_dump()
    for surrogate in data["flows"]["flow"]["surrogates"].values():
        surrogate["parallel"] = parallel
    return Experiment.model_validate(data)


def command(setup: Experiment, results: Path) -> list[str]:
    """Return the command that trains the network, and make the data look like those of the experiment."""
    for folder, job in plan(setup).items():
        if job.stage == "generate":
            (results / folder / RECORD).write_text(record_text({"signature": job.signature, "outputs": {}}))
    described = results / "experiment.json"
    described.write_text(setup.model_dump_json())
    options = ["--experiment", str(described), "--results", str(results)]
    return [sys.executable, "-m", "eddymark.cli", "train", "flow", "network", "0", *options]


def outputs(folder: Path) -> tuple[pd.DataFrame, dict[str, torch.Tensor]]:
    history = pd.read_csv(folder / "history.csv")
    return history, load_file(folder / "weights.safetensors")


def children(process: int) -> list[int]:
    files = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for file in files for child in file.read_text().split()]


def wait_until(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_give_the_numbers_of_one_even_if_killed_in_between(
    results: Path, tmp_path: Path, strategy: str
) -> None:
    setup = experiment(steps_per_epoch=2)
    alone = tmp_path / "alone"
    alone.mkdir()
    stage.run(setup, "flow", "network", 0, results=results, output=alone, work=tmp_path / "work")

    started = command(spread(setup, strategy=strategy, devices=2), results)
    killed = subprocess.Popen(started, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: list(results.glob(".work/*/checkpoints/step-*.ckpt")) or killed.poll() is not None)
    others = children(killed.pid)
    assert len(others) == 1
    killed.kill()
    killed.wait()
    wait_until(lambda: not any(Path(f"/proc/{process}").exists() for process in others), 30)
    again = subprocess.run(started, capture_output=True, text=True, timeout=240)
    assert again.returncode == 0, again.stderr
    # One process speaks, and it goes on where the killed one was.
    epochs = [int(line.split()[1]) for line in again.stderr.splitlines()]
    assert epochs == list(range(epochs[0], 13))
    assert epochs[0] > 1

    history, weights = outputs(results / "flow" / "train" / "network" / "seed0")
    expected, wanted = outputs(alone)
    pd.testing.assert_frame_equal(history, expected, rtol=1e-5)
    for name, value in wanted.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-5, atol=1e-5 * float(value.abs().max()), msg=name)


def test_the_parts_of_a_batch_are_disjoint_and_complete() -> None:
    draw = Draw(epoch=3, outputs=2, windows=(5, 9, 1, 7), positions=(0, 1, 2, 3))
    parts = [draw.part(index, 2) for index in range(2)]
    assert [part.windows for part in parts] == [(5, 1), (9, 7)]
    assert [part.positions for part in parts] == [(0, 2), (1, 3)]
    assert {(part.epoch, part.outputs) for part in parts} == {(3, 2)}
    assert draw.part(0, 1) == draw


def test_a_training_on_several_nodes_has_to_be_started_by_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    parallel = Parallel(devices=2, nodes=2)
    with pytest.raises(EddymarkError, match=r"needs 4 processes started by Slurm, not 1: .* --profile profiles/slurm"):
        this_rank(parallel)
    for name, value in {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "1"}.items():
        monkeypatch.setenv(name, value)
    assert this_rank(parallel) == Rank(index=3, local=1, count=4)
    # A training on one node is alone even inside a larger allocation.
    assert this_rank(Parallel()) == Rank()


def test_how_a_model_is_trained_concerns_nothing_but_this_model() -> None:
    setup = experiment()
    data = setup.model_dump()
    data["flows"]["flow"]["surrogates"]["network"]["parallel"] = {"devices": 2}
    before, after = plan(setup), plan(Experiment.model_validate(data))
    changed = {folder for folder in before if before[folder].signature != after[folder].signature}
    assert changed == {"flow/train/network/seed0", "flow/validate/network-seed0", "report"}
