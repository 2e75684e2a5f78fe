"""The training of a subgrid-scale model that is a network, and what is made of its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from eddymark.closures.base import NoClosure
from eddymark.closures.learned import LearnedClosure
from eddymark.config.schema import Experiment
from eddymark.errors import EddymarkError
from eddymark.stages import train
from eddymark.statistics.errors import relative_l2_error
from eddymark.stepping.build import build_stepper, load_closure, untrained_simulation
from eddymark.stepping.large_eddy_simulation import LargeEddySimulation
from eddymark.stepping.rollout import rollout

from .conftest import experiment, write_split
from .runs import assert_same_training, history, run, stop_in_step, validation_windows
from .test_train import viscous


def setup(arguments: dict[str, Any], *, objective: dict[str, Any] | None = None, **schedule: Any) -> Experiment:
    """Return the experiment whose hybrid has a closure of pointwise convolutions in place of a correction."""
    data = experiment(**schedule).model_dump(mode="json")
    hybrid = data["flows"]["flow"]["surrogates"]["hybrid"]
    hybrid["solver"]["closure"] = {"type": "learned", "arguments": arguments}
    hybrid["operator"]["arguments"] |= {"kernel_size": 1}
    hybrid["objective"] |= objective or {}
    return Experiment.model_validate(data)


def test_it_learns_the_viscosity_that_its_solver_lacks(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "validation")):
        write_split(tmp_path, split, seed=seed, law=viscous)
    chosen = setup({"limiter": "pointwise"}, steps=120, steps_per_epoch=60, learning_rate=0.02, average_decay=0.9)
    output = tmp_path / "flow" / "train" / "hybrid" / "seed0"
    output.mkdir(parents=True)
    train.run(chosen, "flow", "hybrid", 0, results=tmp_path, output=output, work=tmp_path / "work")

    truth = validation_windows(tmp_path)
    # What its time step is measured with, before there are weights.
    alone = untrained_simulation(chosen, "flow", "hybrid", courant_number=2.0)
    assert isinstance(alone.closure, NoClosure)
    stepper = build_stepper(chosen, "flow", "hybrid-seed0", results=tmp_path)
    assert isinstance(stepper, LargeEddySimulation)
    assert stepper.solver_code == "torch"
    made = {name: rollout(one, truth[:, :1], 5).velocity[:, 1:] for name, one in (("no", alone), ("learned", stepper))}
    errors = {name: float(relative_l2_error(velocity, truth[:, 1:]).mean()) for name, velocity in made.items()}
    assert errors["learned"] == pytest.approx(history(output)["validation_error"].min(), rel=1e-4)
    assert errors["learned"] < 0.3 * errors["no"]
    # Nothing but the force of the flow changes the mean flow, and its mean is zero.
    assert (made["learned"] - truth[:, :1]).mean(dim=(-2, -1)).abs().max() < 1e-6

    loaded = load_closure(chosen, "flow", "hybrid-seed0", results=tmp_path)
    assert isinstance(loaded, LearnedClosure)
    assert isinstance(stepper.closure, LearnedClosure)
    assert float(loaded.stress_scale) == float(stepper.closure.stress_scale) != 1
    for first, second in zip(loaded.parameters(), stepper.parameters(), strict=True):
        assert torch.equal(first, second)


def test_it_resumes_to_the_identical_result_with_all_options(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = setup(
        {"input": "velocity", "limiter": "volume"},
        objective={"checkpointing": True, "pushforward": True, "shell_energy_weight": 0.1},
        spectral_normalisation=1.0,
    )
    with monkeypatch.context() as patch:
        stop_in_step(15, patch)
        with pytest.raises(EddymarkError):
            run(chosen, results, tmp_path / "stopped", model="hybrid")
    resumed = run(chosen, results, tmp_path / "stopped", model="hybrid")
    assert_same_training(resumed, run(chosen, results, tmp_path / "undisturbed", model="hybrid"))
