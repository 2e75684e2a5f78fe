"""Training curves for TensorBoard: they outlive the job, and show one training without gaps."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from eddymark.errors import EddymarkError

from .conftest import experiment
from .runs import run, stop_in_step


def validation_curve(results: Path) -> list[tuple[int, float]]:
    """Return step and validation error of every point that TensorBoard shows."""
    events = EventAccumulator(str(results / ".work" / "tensorboard" / "flow" / "network" / "seed0"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars("validation_error")]


def expected(output: Path) -> list[tuple[int, float]]:
    rows = pd.read_csv(output / "history.csv")
    return [(int(s), pytest.approx(e)) for s, e in zip(rows["step"], rows["validation_error"], strict=True)]


def test_the_curves_of_a_resumed_training_go_on_and_outlive_its_work_folder(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_in_step(14, patch)
        with pytest.raises(EddymarkError):
            run(experiment(), results, tmp_path)
    output = run(experiment(), results, tmp_path)
    shutil.rmtree(tmp_path / "work")
    assert validation_curve(results) == expected(output)
    assert [step for step, _ in validation_curve(results)] == [6, 12, 18, 24]


def test_a_new_training_replaces_the_curves_of_the_one_before(results: Path, tmp_path: Path) -> None:
    run(experiment(), results, tmp_path / "before")
    output = run(experiment(steps=12), results, tmp_path / "after")
    assert validation_curve(results) == expected(output)
    assert sorted(path.name for path in output.iterdir()) == [
        "history.csv",
        "measured.json",
        "model.json",
        "weights.safetensors",
    ]
