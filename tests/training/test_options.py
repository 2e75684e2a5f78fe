"""All options for long rollouts together, with a history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from eddymark.config.schema import Experiment
from eddymark.errors import EddymarkError
from eddymark.execution import split_files
from eddymark.statistics.errors import relative_l2_error
from eddymark.stepping.build import fit_constraints, trainable_stepper
from eddymark.stepping.rollout import rollout
from eddymark.storage import load_weights
from eddymark.training.windows import Windows

from .conftest import experiment
from .runs import assert_same_training, history, run, stop_in_step

EVERYTHING: dict[str, Any] = {
    "autocast": "bfloat16",
    "history": 2,
    "bundle": 2,
    "known_physics": ["viscosity", "incompressibility", "momentum"],
    "error_variances": "components",
    "objective": {
        "curriculum": [{"start": 0, "unroll": 2}, {"start": 0.5, "unroll": 6}],
        "shell_energy_weight": 0.01,
        "sobolev_weight": 0.5,
        "band_weight": 0.5,
        "bands": [1, 2],
        "pushforward": True,
        "teacher_forcing": 0.2,
        "checkpointing": True,
        "dissipativity": {"weight": 0.1},
    },
    "augmentation": {"input_noise": 0.01},
    "constraints": [{"type": "shell_energy_cap", "training": True}],
}


def changed(model: dict[str, Any], **schedule: Any) -> Experiment:
    data = experiment(**schedule).model_dump(mode="json")
    data["flows"]["flow"]["surrogates"]["network"] |= model
    return Experiment.model_validate(data)


def test_all_options_together_train_and_resume_to_the_identical_result(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = changed(EVERYTHING, select_by="spectrum", selection_length=6.0, spectral_normalisation=2.0)
    with monkeypatch.context() as patch:
        stop_in_step(15, patch)
        with pytest.raises(EddymarkError):
            run(setup, results, tmp_path / "stopped")
    resumed = run(setup, results, tmp_path / "stopped")
    assert_same_training(resumed, run(setup, results, tmp_path / "undisturbed"))
    rows = history(resumed)
    assert rows["training_loss"].iloc[1] < rows["training_loss"].iloc[0]
    stepper = trainable_stepper(setup, "flow", "network", 0, results=None)
    load_weights(resumed / "weights.safetensors", stepper)
    files = split_files(setup.flows["flow"], "flow", "validation", results)
    truth = Windows(files, dtype=torch.float32).spread(7, most=16, stride=7)
    made = rollout(stepper.eval(), truth[:, :2], 5).velocity
    error = float(relative_l2_error(made[:, 1:], truth[:, 2:]).mean())
    best = rows["spectrum_error"].argmin()
    # Plain weights differ from bounded ones in the last bit, which eight bits of mantissa may round up or down.
    assert error == pytest.approx(rows["validation_error"][best], rel=1e-4)
    drift = made[:, -1].mean(dim=(2, 3)) - made[:, 0].mean(dim=(2, 3))
    assert drift.abs().max() < 1e-6


def test_a_constraint_acts_in_rollouts_only_unless_training_is_to_see_it(results: Path, tmp_path: Path) -> None:
    outputs = {}
    for name, more in (("none", None), ("rollouts", {}), ("training", {"training": True})):
        constraint = [] if more is None else [{"type": "shell_energy_cap", "factor": 1.0} | more]
        setup = changed({"constraints": constraint}, steps=6, steps_per_epoch=3)
        outputs[name] = run(setup, results, tmp_path / name)
    none, rollouts, training = (history(outputs[name]) for name in ("none", "rollouts", "training"))
    assert rollouts["training_loss"].tolist() == none["training_loss"].tolist()
    # Weights are selected by what is going to be run.
    assert rollouts["validation_error"].tolist() != none["validation_error"].tolist()
    assert training["training_loss"].tolist() != none["training_loss"].tolist()
    weights = {name: load_file(output / "weights.safetensors") for name, output in outputs.items()}
    assert weights["rollouts"].keys() - weights["none"].keys() == {"constraints.reference"}
    assert torch.equal(weights["rollouts"]["constraints.reference"], weights["training"]["constraints.reference"])
    stepper = trainable_stepper(setup, "flow", "network", 0, results=None)
    assert stepper.constraints is not None
    fit_constraints(stepper.constraints, setup, "flow", results=results)
    assert torch.equal(weights["rollouts"]["constraints.reference"], stepper.constraints.reference)
    assert float(stepper.constraints.reference.min()) > 0


@pytest.mark.parametrize(
    "option",
    [
        {"teacher_forcing": 0.2},
        {"pushforward": True},
        {"sobolev_weight": 0.5},
        {"band_weight": 0.5},
        {"dissipativity": {"weight": 10.0, "remaining_energy": 0.01}},
    ],
)
def test_each_option_of_the_objective_changes_the_weights(
    results: Path, tmp_path: Path, option: dict[str, Any]
) -> None:
    curriculum = {"curriculum": [{"start": 0, "unroll": 3}]}
    weights = []
    for name, objective in (("without", curriculum), ("with", curriculum | option)):
        setup = changed({"objective": objective}, steps=6)
        output = run(setup, results, tmp_path / name)
        weights.append(load_file(output / "weights.safetensors")["operator.lift.weight"])
    assert not torch.equal(*weights)


def test_a_hybrid_with_a_history_resumes_to_the_identical_result(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = experiment().model_dump(mode="json")
    data["flows"]["flow"]["surrogates"]["hybrid"]["history"] = 3
    setup = Experiment.model_validate(data)
    with monkeypatch.context() as patch:
        stop_in_step(15, patch)
        with pytest.raises(EddymarkError):
            run(setup, results, tmp_path / "stopped", model="hybrid")
    resumed = run(setup, results, tmp_path / "stopped", model="hybrid")
    assert_same_training(resumed, run(setup, results, tmp_path / "undisturbed", model="hybrid"))
    weights = load_file(resumed / "weights.safetensors")
    assert weights["history_scale"].shape == (2,)
    assert weights["operator.convolutions.0.weight"].shape[1] == 2 * 2 + 2 * 2 + 1
