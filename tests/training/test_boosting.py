"""A second network fitted to what the first one leaves, through the whole training stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from eddymark.config.schema import Experiment
from eddymark.errors import EddymarkError
from eddymark.execution import split_files
from eddymark.operators.boosted import BoostedOperator
from eddymark.stepping.boosting import fit_residual_scale, take_over_boosted
from eddymark.stepping.build import trainable_stepper
from eddymark.stepping.hybrid import Hybrid
from eddymark.stepping.stepper import next_outputs
from eddymark.stepping.surrogate import Surrogate
from eddymark.stepping.trainable import parameter_count, root_mean_square
from eddymark.storage import save_weights
from eddymark.training.spectral_normalisation import bound_linear_maps
from eddymark.training.windows import Windows

from .conftest import SPACE, experiment
from .runs import assert_same_training, history, run, stop_in_step


def boosted(base: str, schedule: dict[str, Any] | None = None, **changes: Any) -> Experiment:
    """Return the experiment with a model `second` like another one, which it boosts."""
    data = experiment(**(schedule or {})).model_dump(mode="json")
    models = data["flows"]["flow"]["surrogates"]
    # The law of the test data has no symmetries but translations in x.
    models[base]["augmentation"] = {"shifts": True, "symmetries": False}
    models["second"] = models[base] | {"boosts": base} | changes
    return Experiment.model_validate(data)


def trained_first(setup: Experiment, results: Path, tmp_path: Path, model: str = "network") -> Path:
    """Train a model and put its weights where a job publishes them."""
    output = run(setup, results, tmp_path / model, model=model)
    folder = results / "flow" / "train" / model / "seed0"
    folder.parent.mkdir(parents=True, exist_ok=True)
    output.rename(folder)
    return folder


def windows(setup: Experiment, results: Path, length: int) -> torch.Tensor:
    files = split_files(setup.flows["flow"], "flow", "train", results)
    return Windows(files, dtype=torch.float32).spread(length, most=16)


def test_the_second_network_lowers_the_error_and_the_first_stays_as_it_is(results: Path, tmp_path: Path) -> None:
    # What is beyond the modes of the first one is left to the second.
    wider = {"type": "fno", "arguments": {"width": 6, "modes": 5, "layers": 2}}
    setup = boosted("network", {"steps": 90, "steps_per_epoch": 30, "average_decay": 0.9}, operator=wider)
    first = trained_first(setup, results, tmp_path)
    output = run(setup, results, tmp_path / "second", model="second")
    assert history(output)["validation_error"].min() < 0.9 * history(first)["validation_error"].min()
    before, after = load_file(first / "weights.safetensors"), load_file(output / "weights.safetensors")
    for name, value in before.items():
        kept = name.replace("operator.", "operator.first.", 1) if name.startswith("operator.") else name
        assert torch.equal(after[kept], value), name
    second = {name for name in after if name.startswith("operator.second.")}
    assert len(after) == len(before) + len(second) + 1


def test_a_killed_training_resumes_to_the_identical_result(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = boosted("network", {"spectral_normalisation": 2.0})
    trained_first(setup, results, tmp_path)
    with monkeypatch.context() as patch:
        stop_in_step(15, patch)
        with pytest.raises(EddymarkError):
            run(setup, results, tmp_path / "stopped", model="second")
    resumed = run(setup, results, tmp_path / "stopped", model="second")
    assert_same_training(resumed, run(setup, results, tmp_path / "undisturbed", model="second"))


@pytest.mark.parametrize("base", ["network", "foreign", "hybrid"])
def test_the_step_is_that_of_the_sum_and_its_scale_that_of_the_first_ones_error(
    base: str, results: Path, tmp_path: Path
) -> None:
    setup = boosted(base)
    alone = trainable_stepper(setup, "flow", base, 0, results=None)
    data = windows(setup, results, alone.history + 1)
    with torch.no_grad():
        alone.fit_scales(data)
        error = data[:, -1] - next_outputs(alone, data[:, :-1])[0]
    save_weights(tmp_path / "weights.safetensors", alone)
    stepper = trainable_stepper(setup, "flow", "second", 0, results=None)
    assert isinstance(stepper, Surrogate | Hybrid)
    assert isinstance(stepper.operator, BoostedOperator)
    take_over_boosted(stepper, tmp_path / "weights.safetensors")
    fit_residual_scale(stepper, data)
    scale = stepper.operator.residual_scale * stepper.output_scale
    torch.testing.assert_close(scale, root_mean_square(error))
    features: list[torch.Tensor] = []
    stepper.operator.second.register_forward_pre_hook(lambda _, given: features.append(given[0]))
    with torch.no_grad():
        made = stepper(data[:, :-1])
        given = features[0]
        seen = stepper.operator.first(given[:, :-2])
        # It sees what the first one sees and what that makes of it.
        torch.testing.assert_close(given[:, -2:], seen)
        added = scale * stepper.operator.second(given)
        if base != "network":  # which has no known physics
            added = SPACE.to_physical(SPACE.project(SPACE.to_spectral(added.double()))).float()
            added = added - added.mean(dim=(2, 3), keepdim=True)
        expected = next_outputs(alone, data[:, :-1])[0] + added
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-5)
    assert parameter_count(stepper) == parameter_count(alone) + parameter_count(stepper.operator.second)


def test_gradients_reach_the_second_network_alone_and_pass_through_the_first() -> None:
    class Doubling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.tensor(2.0))
            self.drop = nn.Dropout(0.9)

        def forward(self, field: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.drop(self.factor * field[:, :1])
            return result

    operator = BoostedOperator(Doubling(), nn.Conv2d(2, 1, 1)).train()
    field = torch.randn(2, 1, 4, 4, requires_grad=True)
    operator(field).sum().backward()
    trained = {name for name, parameter in operator.named_parameters() if parameter.grad is not None}
    assert trained == {"second.weight", "second.bias"}
    weight = operator.second.weight[0, :, 0, 0]
    # Without dropout: d/dv (2 v + w₁ v + 2 w₂ v).
    assert field.grad is not None
    torch.testing.assert_close(field.grad, (2 + weight[0] + 2 * weight[1]).expand_as(field))


def test_a_bound_on_linear_maps_leaves_the_first_network_alone() -> None:
    operator = BoostedOperator(nn.Conv2d(1, 1, 1, bias=False), nn.Conv2d(2, 1, 1, bias=False))
    nn.init.constant_(operator.first.weight, 9.0)  # type: ignore[arg-type]
    bound_linear_maps(operator, bound=0.5)
    with torch.no_grad():
        assert operator.first.weight.item() == 9.0  # type: ignore[operator, union-attr]
        assert operator.second.weight.norm().item() <= 0.5 + 1e-6  # type: ignore[operator, union-attr]


def test_what_boosts_may_be_boosted(results: Path, tmp_path: Path) -> None:
    data = boosted("network").model_dump(mode="json")
    models = data["flows"]["flow"]["surrogates"]
    models["third"] = models["network"] | {
        "boosts": "second",
        "operator": {"type": "convolutional", "arguments": {"width": 4, "layers": 2}},
    }
    setup = Experiment.model_validate(data)
    trained_first(setup, results, tmp_path)
    second = trained_first(setup, results, tmp_path, "second")
    third = run(setup, results, tmp_path / "third", model="third")
    weights = load_file(third / "weights.safetensors")
    for name, value in load_file(second / "weights.safetensors").items():
        kept = name.replace("operator.", "operator.first.", 1) if name.startswith("operator.") else name
        assert torch.equal(weights[kept], value), name
    error = history(third)["validation_error"].min()
    assert error < history(second)["validation_error"].min()


def test_weights_of_another_model_are_refused_in_one_line(results: Path, tmp_path: Path) -> None:
    setup = boosted("network")
    stepper = trainable_stepper(setup, "flow", "second", 0, results=None)
    save_weights(tmp_path / "weights.safetensors", trainable_stepper(setup, "flow", "hybrid", 0, results=None))
    with pytest.raises(EddymarkError, match="does not hold the weights of what is boosted"):
        take_over_boosted(stepper, tmp_path / "weights.safetensors")
