"""The network of a model in another precision, or compiled."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from eddymark.config.schema import Experiment
from eddymark.stepping.build import trainable_stepper
from eddymark.stepping.hybrid import Hybrid
from eddymark.stepping.surrogate import Surrogate
from tests.training.conftest import POINTS, SPACE, experiment


def build(model: str, **options: Any) -> Surrogate | Hybrid:
    data = experiment().model_dump(mode="json")
    section = data["flows"]["flow"]["surrogates"][model]
    if section["kind"] == "surrogate":
        section["known_physics"] = True
    section |= options
    stepper = trainable_stepper(Experiment.model_validate(data), "flow", model, 0, results=None)
    assert isinstance(stepper, Surrogate | Hybrid)
    return stepper


def past() -> Tensor:
    torch.manual_seed(0)
    noise = torch.randn(2, 1, 2, POINTS, POINTS)
    return SPACE.to_physical(SPACE.project(SPACE.to_spectral(noise.double()))).float()


@pytest.mark.parametrize("model", ["network", "hybrid"])
def test_autocast_is_around_the_network_alone(model: str) -> None:
    exact, rounded = build(model), build(model, autocast="bfloat16")
    initial = past()
    with torch.no_grad():
        first, second = exact(initial), rounded(initial)
    assert second.dtype == torch.float32
    difference = float((first - second).norm() / (first - initial[:, 0]).norm())
    # Eight bits of mantissa in the network, none of which reach what is known: outputs stay solenoidal to rounding.
    assert 1e-6 < difference < 3e-2
    assert SPACE.divergence(SPACE.to_spectral(second.double())).abs().max() < 1e-5
    rounded(initial).square().sum().backward()
    for name, parameter in rounded.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.dtype == torch.float32
        assert torch.isfinite(parameter.grad).all()


def test_a_network_is_compiled_if_asked_for_and_keeps_the_names_of_its_weights() -> None:
    plain, compiled = build("network"), build("network", compile=True)
    assert plain.operator._compiled_call_impl is None
    assert compiled.operator._compiled_call_impl is not None
    assert copy.deepcopy(compiled).state_dict().keys() == plain.state_dict().keys()
