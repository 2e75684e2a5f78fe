"""Training on all pairs of states of a window with the lead time given to the operator."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from eddymark.config.schema import Experiment, Forcing
from eddymark.config.training import Objective
from eddymark.errors import EddymarkError
from eddymark.execution import split_files
from eddymark.operators import OPERATORS
from eddymark.operators.build import OperatorError, build_operator, require_lead_time
from eddymark.solvers.periodic import NavierStokes
from eddymark.statistics.errors import relative_l2_error
from eddymark.stepping.build import trainable_stepper
from eddymark.stepping.known_physics import KnownPhysics
from eddymark.stepping.stepper import next_outputs
from eddymark.stepping.surrogate import Surrogate
from eddymark.storage import load_weights
from eddymark.training.losses import relative_error
from eddymark.training.objective import all_to_all_loss
from eddymark.training.windows import Windows
from tests.operators.cases import CASES

from .conftest import INTERVAL, SPACE, experiment
from .runs import assert_same_training, history, run, stop_in_step

SCOT = {
    "type": "scot",
    "arguments": {
        "width": 8,
        "heads": 2,
        "levels": 2,
        "layers": 1,
        "patch_size": 2,
        "window_size": 3,
        "skip_blocks": 1,
        "kernel_size": 3,
    },
}


class Told(nn.Module):
    """Gives the last state times a weight and the lead time, and remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
        self.lead_times: list[Tensor] = []

    def forward(self, field: Tensor, lead_time: Tensor) -> Tensor:
        self.lead_times.append(lead_time)
        return self.weight * lead_time[:, None, None, None] * field[:, -2:]


def surrogate(operator: nn.Module, lead_times: int, **options: Any) -> Surrogate:
    return Surrogate(
        operator,
        static_fields=torch.zeros(0, *SPACE.grid.points, dtype=torch.float64),
        interval=INTERVAL,
        lead_times=lead_times,
        **({"known_physics": None, "history": 1} | options),
    )


def states(*shape: int) -> Tensor:
    torch.manual_seed(0)
    noise = torch.randn(*shape, 2, *SPACE.grid.points, dtype=torch.float64)
    return SPACE.to_physical(SPACE.project(SPACE.to_spectral(noise)))


def all_to_all(longest: int, **changes: Any) -> Experiment:
    """Return the experiment with scOT, trained on all pairs and unrolled at the end."""
    data = experiment(steps=60, steps_per_epoch=20, average_decay=0.9).model_dump(mode="json")
    curriculum = [{"start": 0, "all_to_all": longest}, {"start": 0.7, "unroll": 2}]
    data["flows"]["flow"]["surrogates"]["network"] |= {
        "operator": SCOT,
        "known_physics": ["viscosity", "incompressibility"],
        "objective": {"curriculum": curriculum},
        "augmentation": {"shifts": True, "symmetries": False},
    } | changes
    return Experiment.model_validate(data)


@pytest.mark.parametrize("past_outputs", [1, 2])
def test_the_loss_is_the_mean_over_all_pairs_of_a_state_and_a_later_one(past_outputs: int) -> None:
    stepper = surrogate(Told(), 3, history=past_outputs)
    window = states(2, past_outputs + 3)
    stepper.fit_scales(window)
    pairs = []
    for first, later in itertools.combinations(range(past_outputs - 1, past_outputs + 3), 2):
        made = stepper(window[:, first - past_outputs + 1 : first + 1], later - first)
        pairs.append(relative_error(made, window[:, later]))
    assert len(pairs) == 6
    loss = all_to_all_loss(stepper, window, objective=Objective(), space=None)
    torch.testing.assert_close(loss, torch.stack(pairs).mean())
    gradient = torch.autograd.grad(loss, stepper.operator.weight)
    again = all_to_all_loss(stepper, window, objective=Objective(checkpointing=True), space=None)
    torch.testing.assert_close(torch.autograd.grad(again, stepper.operator.weight), gradient)


def test_the_operator_is_told_the_lead_time_in_units_of_the_longest() -> None:
    operator = Told()
    stepper = surrogate(operator, 4)
    for lead_time in (1, 3, 4):
        stepper(states(2, 1), lead_time)
    assert [one.tolist() for one in operator.lead_times] == [[0.25] * 2, [0.75] * 2, [1.0] * 2]
    next_outputs(stepper, states(2, 1))
    assert operator.lead_times[-1].tolist() == [0.25] * 2


def test_what_is_known_is_exact_over_every_lead_time() -> None:
    force = Forcing(type="sinusoidal", wavenumber=2, amplitude=0.1)
    solver = NavierStokes(SPACE.grid, viscosity=0.05, linear_drag=0.1, forcing=force)
    operator = Told()
    nn.init.zeros_(operator.weight)
    stepper = surrogate(operator, 3, known_physics=KnownPhysics(solver, INTERVAL))
    start = states(2, 1)
    with torch.no_grad():
        at_once, state = stepper(start, 3), start
        for _ in range(3):
            state = stepper(state)[:, None]
    torch.testing.assert_close(at_once, state[:, 0])
    assert float((at_once - start[:, 0]).norm() / start.norm()) > 0.01


def test_each_lead_time_has_the_scale_of_its_change() -> None:
    stepper = surrogate(Told(), 3)
    window = states(5, 4)
    stepper.fit_scales(window)
    for lead_time in (1, 2, 3):
        change = (window[:, lead_time] - window[:, 0]).square().mean().sqrt()
        torch.testing.assert_close(stepper.increment_scale[lead_time - 1], change)
    assert "increment_scale" in stepper.state_dict()


def test_a_training_learns_all_lead_times_and_resumes_to_the_identical_result(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = all_to_all(3)
    with monkeypatch.context() as patch:
        stop_in_step(43, patch)
        with pytest.raises(EddymarkError, match="in step 43"):
            run(setup, results, tmp_path / "stopped")
    resumed = run(setup, results, tmp_path / "stopped")
    assert_same_training(resumed, run(setup, results, tmp_path / "undisturbed"))
    assert history(resumed)["unroll"].tolist() == [1, 1, 2]
    stepper = trainable_stepper(setup, "flow", "network", 0, results=None)
    assert isinstance(stepper, Surrogate)
    load_weights(resumed / "weights.safetensors", stepper)
    files = split_files(setup.flows["flow"], "flow", "validation", results)
    window = Windows(files, dtype=torch.float32).spread(4, most=16)
    with torch.no_grad():
        for lead_time in (1, 2, 3):
            made = stepper.eval()(window[:, :1], lead_time)
            error, unchanged = (
                float(relative_l2_error(one[:, None], window[:, lead_time : lead_time + 1]).mean())
                for one in (made, window[:, 0])
            )
            assert error < 0.75 * unchanged, lead_time


def test_the_lead_time_is_learned_from(results: Path, tmp_path: Path) -> None:
    setup = all_to_all(2, objective={"curriculum": [{"start": 0, "all_to_all": 2}]})
    weights = load_file(run(setup, results, tmp_path) / "weights.safetensors")
    start = trainable_stepper(setup, "flow", "network", 0, results=None).state_dict()
    names = [name for name in start if name.endswith(("norm.scale.weight", "norm.shift.weight"))]
    assert names
    assert all(not torch.equal(weights[name], start[name]) for name in names)


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_without_a_lead_time_is_refused_in_one_line(name: str) -> None:
    operator = build_operator(name, CASES[name].arguments, in_channels=3, out_channels=2, dimension=2)
    if name == "scot":
        require_lead_time(name, operator)
        return
    with pytest.raises(OperatorError) as caught:
        require_lead_time(name, operator)
    assert str(caught.value) == (
        f"operator {name}: type: expected an operator which takes a lead time, such as scot (its curriculum has "
        f"all_to_all), found '{name}'"
    )


def test_an_operator_of_another_package_may_take_a_lead_time() -> None:
    path = f"{__name__}.{ForeignTold.__name__}"
    operator = build_operator(path, {}, in_channels=2, out_channels=2, dimension=2)
    require_lead_time(path, operator)
    field = torch.ones(1, 2, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(operator(field, torch.full((1,), 0.5, dtype=torch.float64)), 0.25 * field)


class ForeignTold(Told):
    """The same as a class of another package."""
