"""Which weights of a training are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from eddymark.statistics.errors import relative_l2_error
from eddymark.stepping.build import trainable_stepper
from eddymark.stepping.rollout import rollout
from eddymark.storage import load_weights
from eddymark.training import module
from eddymark.training.module import Training

from .conftest import SPACE, experiment
from .runs import history, run, validation_windows


def test_stored_weights_are_the_best_average_and_give_its_validation_error(results: Path, tmp_path: Path) -> None:
    setup = experiment()
    output = run(setup, results, tmp_path)
    stepper = trainable_stepper(setup, "flow", "network", 0, results=None)
    load_weights(output / "weights.safetensors", stepper)
    truth = validation_windows(results)
    predicted = rollout(stepper.eval(), truth[:, :1], 5).velocity
    error = float(relative_l2_error(predicted[:, 1:], truth[:, 1:]).mean())
    assert error == pytest.approx(history(output)["validation_error"].min(), rel=1e-5)
    description = json.loads((output / "model.json").read_text())
    assert description["best_validation_error"] == history(output)["validation_error"].min()
    assert description["best_epoch"] == history(output)["validation_error"].argmin() + 1
    assert description["parameters"] == sum(p.numel() * (1 + p.is_complex()) for p in stepper.parameters())


def test_best_epoch_is_remembered_when_later_ones_improve_on_worse_ones(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = iter([3.0, 1.0, 2.0, 1.5])
    averages: list[Tensor] = []
    original = Training.on_validation_epoch_end

    def pretend(self: Training) -> None:
        self._validation_errors = [torch.tensor([next(errors)])]
        averages.append(self.average.operator.lift.weight.clone())  # type: ignore[operator, union-attr]
        original(self)

    monkeypatch.setattr(Training, "on_validation_epoch_end", pretend)
    output = run(experiment(), results, tmp_path)
    assert json.loads((output / "model.json").read_text())["best_epoch"] == 2
    stored = load_file(output / "weights.safetensors")["operator.lift.weight"]
    assert torch.equal(stored, averages[1])
    assert not torch.equal(stored, averages[3])


def test_weights_can_be_selected_by_the_spectrum_of_long_rollouts(results: Path, tmp_path: Path) -> None:
    setup = experiment(select_by="spectrum", selection_length=8.0, steps=36)
    output = run(setup, results, tmp_path)
    rows = history(output)
    assert rows.columns[-1] == "spectrum_error"
    description = json.loads((output / "model.json").read_text())
    assert description["best_epoch"] == rows["spectrum_error"].argmin() + 1
    assert description["best_validation_error"] == rows["validation_error"][rows["spectrum_error"].argmin()]
    stepper = trainable_stepper(setup, "flow", "network", 0, results=None)
    load_weights(output / "weights.safetensors", stepper)
    truth = validation_windows(results)
    # Twice as long as any validation trajectory.
    made = rollout(stepper.eval(), truth[:, :1], 40).velocity[:, 1:]
    spectra = [SPACE.energy_spectrum(SPACE.to_spectral(states.double()))[..., 1:4] for states in (made, truth[:, 1:])]
    mean, expected = (spectrum.mean(dim=(0, 1)) for spectrum in spectra)
    error = float((mean / expected).log10().square().mean().sqrt())
    assert error == pytest.approx(rows["spectrum_error"].min(), rel=1e-4)
    # The law of the data decays: what is best after one turnover time need not be after eight.
    assert run(experiment(steps=36), results, tmp_path / "by-error").exists()
    assert "spectrum_error" not in history(tmp_path / "by-error" / "output")


def test_outputs_that_are_missing_count_as_a_spectrum_given_up_for_lost(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = module.rollout

    def fail(*arguments: Any, keep: Any = None, **keywords: Any) -> Any:
        made = original(*arguments, keep=keep, **keywords)
        if keep is not None:
            made.velocity[:, 1:] = torch.nan
        return made

    monkeypatch.setattr(module, "rollout", fail)
    rows = history(run(experiment(select_by="spectrum", steps=6), results, tmp_path))
    assert rows["spectrum_error"].tolist() == pytest.approx([2.0])
