"""The whole training stage on small data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from eddymark.config.schema import Experiment, Flow
from eddymark.errors import EddymarkError
from eddymark.execution import split_files
from eddymark.flows.build import build_flow
from eddymark.progress import kept_in, read_progress
from eddymark.statistics.errors import relative_l2_error
from eddymark.stepping.build import build_simulation, trainable_stepper
from eddymark.stepping.rollout import rollout
from eddymark.storage import load_weights
from eddymark.training import windows
from eddymark.training.module import Training
from eddymark.training.windows import Windows

from .conftest import experiment, write_split
from .runs import assert_same_training, history, run, stop_in_step, validation_windows


def without_symmetries(setup: Experiment) -> Experiment:
    """The law of the test data is not that of the flow: it has no symmetries but translations in x."""
    data = setup.model_dump()
    data["flows"]["flow"]["surrogates"]["network"]["augmentation"] = {"shifts": True, "symmetries": False}
    return Experiment.model_validate(data)


def test_training_learns_a_linear_law(results: Path, tmp_path: Path) -> None:
    setup = without_symmetries(experiment(steps=240, steps_per_epoch=60, average_decay=0.9))
    rows = history(run(setup, results, tmp_path))
    truth = validation_windows(results)
    persistence = relative_l2_error(truth[:, :1].expand_as(truth[:, 1:]), truth[:, 1:]).mean()
    assert rows["validation_error"].iloc[-1] < 0.2 * float(persistence)
    # The loss of three unrolled steps at the end is even below that of one step at the start.
    assert rows["training_loss"].iloc[-1] < 0.4 * rows["training_loss"].iloc[0]


def viscous(states: Tensor) -> Tensor:
    """The flow's equations with twice its viscosity over one interval."""
    data = experiment().flows["flow"].model_dump()
    data["viscosity"] *= 2
    flow = build_flow(Flow.model_validate(data))
    simulation = build_simulation(
        flow,
        flow.configuration.large_eddy_simulations["no_model"],
        courant_number=2.0,
        dtype=torch.float64,
        device=torch.device("cpu"),
    )
    with torch.no_grad():
        return simulation(states[:, None])


def test_closure_constants_are_recovered_through_the_solver(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "validation")):
        write_split(tmp_path, split, seed=seed, law=viscous)
    setup = experiment(steps=120, steps_per_epoch=60, learning_rate=0.05, average_decay=0.9)
    output = run(setup, tmp_path, tmp_path, model="closure")
    # The data hold twice the viscosity: the closure must add once more in every shell that the forcing leaves to decay.
    ratio = load_file(output / "weights.safetensors")["closure.ratio"]
    np.testing.assert_allclose(ratio[1:5], 1.0, atol=0.02)
    assert history(output)["validation_error"].iloc[-1] < 1e-3


def test_a_hybrid_learns_what_its_solver_lacks(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "validation")):
        write_split(tmp_path, split, seed=seed, law=viscous)
    setup = experiment(steps=120, steps_per_epoch=60, learning_rate=0.01, average_decay=0.9)
    output = run(setup, tmp_path, tmp_path, model="hybrid")
    stepper = trainable_stepper(setup, "flow", "hybrid", 0, results=None)
    truth = validation_windows(tmp_path)
    alone = rollout(stepper.simulation, truth[:, :1], 5).velocity  # type: ignore[arg-type]
    error = relative_l2_error(alone[:, 1:], truth[:, 1:]).mean()
    assert history(output)["validation_error"].iloc[-1] < 0.3 * float(error)


def test_an_operator_of_another_package_trains_and_resumes(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("neuralop")
    setup = experiment(steps=12)
    undisturbed = run(setup, results, tmp_path / "undisturbed", model="foreign")
    state = load_file(undisturbed / "weights.safetensors")
    assert any(value.is_complex() for value in state.values())
    load_weights(undisturbed / "weights.safetensors", trainable_stepper(setup, "flow", "foreign", 0, results=None))
    with monkeypatch.context() as patch:
        stop_in_step(8, patch)
        with pytest.raises(EddymarkError):
            run(setup, results, tmp_path / "stopped", model="foreign")
    assert_same_training(run(setup, results, tmp_path / "stopped", model="foreign"), undisturbed)


def test_history_shows_schedule_and_curriculum(results: Path, tmp_path: Path) -> None:
    rows = history(run(experiment(steps=22, steps_per_epoch=4), results, tmp_path))
    assert rows.columns.tolist() == [
        "epoch",
        "step",
        "unroll",
        "learning_rate",
        "training_loss",
        "validation_error",
    ]
    assert rows["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert rows["step"].tolist() == [4, 8, 12, 16, 20, 22]
    assert rows["unroll"].tolist() == [1, 1, 3, 3, 3, 3]
    # Warm-up over 4 steps to 5e-3, then half a cosine over the other 18.
    cosine = [2.5e-3 * (1 + np.cos(np.pi * (step - 1 - 4) / 18)) for step in rows["step"][1:]]
    np.testing.assert_allclose(rows["learning_rate"], [5e-3 * 4 / 5, *cosine])


def test_the_optimiser_uses_the_learning_rate_of_the_history(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[float] = []
    original = Training.on_train_batch_end

    def record(self: Training, *arguments: Any) -> None:
        original(self, *arguments)
        assert self.trainer is not None
        used.append(self.trainer.optimizers[0].param_groups[0]["lr"])

    monkeypatch.setattr(Training, "on_train_batch_end", record)
    rows = history(run(experiment(), results, tmp_path))
    assert len(used) == 24
    assert len(set(used)) > 20
    # After a step, Lightning has already moved on to the rate of the next.
    recorded = rows["learning_rate"].tolist()
    assert [used[step - 2] for step in rows["step"]] == pytest.approx(recorded)


def test_average_follows_its_formula(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Tensor, Tensor]] = []
    original = Training.on_train_batch_end

    def record(self: Training, *arguments: Any) -> None:
        if not seen:
            seen.append((Tensor(), self.average.operator.lift.weight.clone()))  # type: ignore[operator, union-attr]
        original(self, *arguments)
        weights = (m.operator.lift.weight.detach().clone() for m in (self.stepper, self.average))  # type: ignore[operator, union-attr]
        seen.append(tuple(weights))  # type: ignore[arg-type]

    monkeypatch.setattr(Training, "on_train_batch_end", record)
    run(experiment(average_decay=0.5), results, tmp_path)
    expected = seen[0][1]
    for step, (current, average) in enumerate(seen[1:], start=1):
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * current
        torch.testing.assert_close(average, expected)
    assert not torch.equal(seen[-1][0], seen[-1][1])


def test_validation_and_test_data_leave_training_untouched(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    original = windows.open_trajectories

    def record(path: Path) -> Any:
        opened.append(path.name)
        return original(path)

    monkeypatch.setattr(windows, "open_trajectories", record)
    # No test data exist here at all; then the validation data are replaced and test data appear.
    first = run(experiment(), results, tmp_path / "first")
    assert set(opened) == {"train.zarr.zip", "validation.zarr.zip"}
    write_split(results, "validation", seed=3)
    write_split(results, "test", seed=4)
    opened.clear()
    second = run(experiment(), results, tmp_path / "second")
    assert "test.zarr.zip" not in opened
    normalisers = [json.loads((output / "model.json").read_text())["normaliser"] for output in (first, second)]
    assert normalisers[0] == normalisers[1]
    assert normalisers[0]["state_scale"] not in (0.0, 1.0)
    assert history(first)["training_loss"].tolist() == history(second)["training_loss"].tolist()
    assert (history(first)["validation_error"] != history(second)["validation_error"]).all()


def test_normaliser_is_fitted_to_the_training_data(results: Path, tmp_path: Path) -> None:
    output = run(experiment(), results, tmp_path)
    files = split_files(experiment().flows["flow"], "flow", "train", results)
    pairs = Windows(files, dtype=torch.float64).spread(2, most=256)
    fitted = json.loads((output / "model.json").read_text())["normaliser"]
    assert fitted["state_scale"] == pytest.approx(float(pairs.square().mean().sqrt()), rel=1e-5)
    increment = (pairs[:, 1] - pairs[:, 0]).square().mean().sqrt()
    assert fitted["increment_scale"] == pytest.approx(float(increment), rel=1e-5)


def test_seeds_give_different_weights_and_equal_seeds_equal_ones(results: Path, tmp_path: Path) -> None:
    first = run(experiment(), results, tmp_path / "first")
    second = run(experiment(), results, tmp_path / "second")
    assert_same_training(first, second)
    other = run(experiment(), results, tmp_path / "other", seed=1)
    weights = [load_file(folder / "weights.safetensors")["operator.lift.weight"] for folder in (first, other)]
    assert not torch.equal(*weights)


def test_a_job_logs_one_line_per_epoch_and_nothing_else(
    results: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(experiment(), results, tmp_path)
    captured = capfd.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 4
    pattern = r"epoch 2  step 12/24  unroll 1  loss [\d.]+  validation [\d.]+  [\d.]+ it/s  \d+:\d\d:\d\d left"
    assert re.fullmatch(pattern, lines[1])


def test_a_training_leaves_its_progress_in_the_file_of_the_job(results: Path, tmp_path: Path) -> None:
    with kept_in(tmp_path / "progress.json"):
        run(experiment(), results, tmp_path)
    reading = read_progress(tmp_path / "progress.json")
    assert reading is not None
    assert (reading.description, reading.done, reading.total) == ("training", 24, 24)


def test_validation_trajectories_without_a_single_step_are_refused(results: Path, tmp_path: Path) -> None:
    write_split(results, "validation", seed=2, outputs=1)
    with pytest.raises(EddymarkError, match=r"validation trajectories have 1 outputs; .* need 2"):
        run(experiment(), results, tmp_path)
