"""Training with float16 products inside the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from eddymark.config.schema import Experiment
from eddymark.errors import EddymarkError
from eddymark.training import gradient_scaling
from eddymark.training.gradient_scaling import GradientScaling

from .conftest import experiment
from .runs import assert_same_training, checkpoint, history, run, stop_in_step


def half(precision: str | None = "float16", **schedule: Any) -> Experiment:
    data = experiment(**schedule).model_dump(mode="json")
    data["flows"]["flow"]["surrogates"]["network"] |= {"autocast": precision, "objective": {}}
    return Experiment.model_validate(data)


def started_with(scale: float, patch: pytest.MonkeyPatch) -> list[float]:
    """Make the scale of the loss start with a value; return what it is after each step."""
    scales: list[float] = []

    class Scaler(torch.amp.GradScaler):
        def __init__(self, device: str) -> None:
            super().__init__(device, init_scale=scale)

        def update(self, new_scale: float | Tensor | None = None) -> None:
            super().update(new_scale)
            scales.append(self.get_scale())

    patch.setattr(gradient_scaling.torch.amp, "GradScaler", Scaler)
    return scales


def test_the_network_is_trained_as_in_full_precision_to_rounding(results: Path, tmp_path: Path) -> None:
    rows = history(run(half(), results, tmp_path / "half"))
    full = history(run(half(None), results, tmp_path / "full"))
    difference = (rows["training_loss"] / full["training_loss"] - 1).abs()
    assert 0 < difference.max() < 0.02


def test_steps_that_overflow_are_left_out_and_the_training_goes_on(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scales = started_with(2.0**40, monkeypatch)
    rows = history(run(half(steps=48), results, tmp_path))
    # Halved until gradients fit into the range of float16, and again where larger ones come later.
    assert scales[:6] == [2.0**exponent for exponent in range(39, 33, -1)]
    assert scales == sorted(scales, reverse=True)
    assert 1.0 < scales[-1] == scales[-6]
    assert rows["training_loss"].iloc[-1] < 0.9 * rows["training_loss"].iloc[0]


def test_a_killed_training_goes_on_with_its_scale(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        started_with(2.0**30, patch)
        stop_in_step(15, patch)
        with pytest.raises(EddymarkError, match="diverged in step 15: loss nan"):
            run(half(), results, tmp_path / "stopped")
    state = torch.load(checkpoint(tmp_path / "stopped"), weights_only=True)
    assert any(isinstance(value, dict) and "growth_factor" in value for value in state.values())
    resumed = run(half(), results, tmp_path / "stopped")
    started_with(2.0**30, monkeypatch)
    assert_same_training(resumed, run(half(), results, tmp_path / "undisturbed"))


def test_gradients_that_overflow_whatever_the_scale_end_the_training(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scale = GradientScaling.pre_backward

    def infinite(self: GradientScaling, tensor: Tensor, module: Any) -> Tensor:
        return scale(self, tensor, module) * 1e30

    monkeypatch.setattr(GradientScaling, "pre_backward", infinite)
    scales = started_with(4.0, monkeypatch)
    with pytest.raises(EddymarkError, match=r"diverged in step 3: loss [\d.]+, gradient norm (inf|nan)"):
        run(half(), results, tmp_path)
    assert scales == [2.0, 1.0]


def test_no_scaling_in_other_precisions(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scales = started_with(2.0, monkeypatch)
    weights = [load_file(run(half("bfloat16", steps=6), results, tmp_path) / "weights.safetensors")]
    assert not scales
    assert all(bool(value.isfinite().all()) for value in weights[0].values())
