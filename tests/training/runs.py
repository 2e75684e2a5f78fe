"""Run the training stage on small data, stop it, and look at what it leaves."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from eddymark.config.schema import Experiment
from eddymark.execution import split_files
from eddymark.stages import train
from eddymark.training import module
from eddymark.training.checkpoint import PATTERN
from eddymark.training.windows import Windows

from .conftest import experiment


def run(setup: Experiment, results: Path, folder: Path, *, model: str = "network", seed: int = 0) -> Path:
    """Run the stage and return its output folder."""
    output = folder / "output"
    output.mkdir(parents=True, exist_ok=True)
    train.run(setup, "flow", model, seed, results=results, output=output, work=folder / "work")
    return output


def checkpoint(folder: Path) -> Path:
    """Return the only checkpoint of a run."""
    (path,) = (folder / "work").glob(PATTERN)
    return path


def history(output: Path) -> pd.DataFrame:
    return pd.read_csv(output / "history.csv")


def validation_windows(results: Path) -> Tensor:
    """Return the initial states and truths of the validation: one turnover time, five steps."""
    files = split_files(experiment().flows["flow"], "flow", "validation", results)
    return Windows(files, dtype=torch.float32).spread(6, most=16, stride=6)


def assert_same_training(first: Path, second: Path) -> None:
    one, two = load_file(first / "weights.safetensors"), load_file(second / "weights.safetensors")
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.equal(value, two[name]), name
    for name in ("history.csv", "model.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def stop_in_step(step: int, patch: pytest.MonkeyPatch) -> None:
    """Make the loss of a step NaN."""
    calls = itertools.count(1)
    original = module.stage_loss

    def fail(*arguments: Any, **keywords: Any) -> Tensor:
        loss: Tensor = original(*arguments, **keywords)
        return loss * torch.nan if next(calls) == step else loss

    patch.setattr(module, "stage_loss", fail)
