"""A constant of the closure that is learned from the residual on a known trajectory."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from eddymark.closures.build import build_closure
from eddymark.closures.learned_constant import LearnedConstant
from eddymark.config.equations import Equations as EquationsConfiguration
from eddymark.config.names import LEARNED_CONSTANTS
from eddymark.config.schema import Closure
from eddymark.errors import EddymarkError
from eddymark.filters import filter_width
from eddymark.grid import Grid
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.time_integration import TimeIntegration
from eddymark.training.equations import Equations, build_equations
from tests.closures.fields import make
from tests.solvers.test_periodic import random_spectrum

from .conftest import INTERVAL, SPACE, write_split
from .runs import assert_same_training, history, run, stop_in_step
from .test_equations import FLOW, SOLVER, with_equations

TRUTH = 0.17
BOX = 2 * math.pi
CLASSICAL = TimeIntegration("runge_kutta_4", 1.0)


def chosen(start: float, **learned: Any) -> dict[str, Any]:
    """Return equations with Smagorinsky's model, whose constant is learned from a value on."""
    closure = {"type": "smagorinsky", "arguments": {"smagorinsky_constant": start}}
    return {"closure": closure, "learned_constant": learned}


def modelled(states: Tensor) -> Tensor:
    """Return the states an interval later as an LES with Smagorinsky's model has them."""
    closure = build_closure(
        Closure(type="smagorinsky", arguments={"smagorinsky_constant": TRUTH}),
        space=SPACE,
        filter_width=filter_width(SPACE.grid),
        viscosity=SOLVER.viscosity,
    )
    spectrum = CLASSICAL.advance(SOLVER, SPACE.to_spectral(states), INTERVAL, steps=8, closure=closure)
    return SPACE.to_physical(spectrum)


@pytest.mark.parametrize("options", [{"form": "integral", "steps": 1}, {"order": 4}, {"norm_order": -1.0}], ids=str)
def test_the_constant_of_a_smagorinsky_truth_is_found_within_five_per_cent(options: dict[str, Any]) -> None:
    """A trajectory in three dimensions, whose outputs are close enough for differences in time."""
    interval = 0.02
    solver = NavierStokes(Grid((12, 12, 12), (BOX,) * 3), viscosity=0.01)
    space = solver.space
    truth = make("smagorinsky", space, {"smagorinsky_constant": TRUTH})
    spectrum = random_spectrum(solver, batch=1)
    spectrum = spectrum * (3 / space.mode_energy(spectrum).sum()).sqrt()
    states = [spectrum]
    with torch.no_grad():
        for _ in range(6):
            states.append(CLASSICAL.advance(solver, states[-1], interval, steps=2, closure=truth))
    known = space.to_physical(torch.cat(states))
    configuration = EquationsConfiguration.model_validate(chosen(0.05) | options)
    closure = LearnedConstant(
        make("smagorinsky", space, {"smagorinsky_constant": 0.05}), "smagorinsky_constant", dtype=torch.float64
    )
    equations = Equations(solver, closure=closure, interval=interval, configuration=configuration, known=known)
    assert equations.constant is not None
    optimiser = torch.optim.Adam([equations.constant], lr=0.02)
    for _ in range(60):
        optimiser.zero_grad()
        equations.loss_of_constant(6).backward()
        optimiser.step()
        optimiser.param_groups[0]["lr"] *= 0.94
    assert float(equations.constant.detach()) == pytest.approx(TRUTH, rel=0.05)


def test_the_constant_learns_from_the_known_trajectory_and_from_nothing_else() -> None:
    torch.manual_seed(0)
    known = SPACE.to_physical(SPACE.project(SPACE.to_spectral(torch.randn(4, 2, 12, 12, dtype=torch.float64))))
    configuration = EquationsConfiguration.model_validate(chosen(0.2))
    equations = build_equations(FLOW, configuration, dtype=torch.float64, device="cpu", known=known)
    constant = equations.constant
    assert constant is not None
    made = known[None].clone().requires_grad_()
    equations.loss(made).backward()
    assert constant.grad is None
    assert made.grad is not None
    before = made.grad.clone()
    equations.loss_of_constant(4).backward()
    assert constant.grad is not None
    assert float(constant.grad) != 0
    assert torch.equal(made.grad, before)
    # With another constant, the equations of the model are others.
    with torch.no_grad():
        first = equations(known[None])
        constant.fill_(0.5)
        assert not torch.allclose(equations(known[None]), first)


@pytest.mark.parametrize("name", LEARNED_CONSTANTS)
def test_every_constant_on_offer_has_a_gradient_and_changes_nothing_by_being_a_parameter(name: str) -> None:
    dimension = 2 if name == "leith" else 3
    solver = NavierStokes(Grid((12,) * dimension, (BOX,) * dimension), viscosity=0.01)
    learned = LearnedConstant(make(name, solver.space), LEARNED_CONSTANTS[name], dtype=torch.float64)
    velocity = solver.space.to_physical(random_spectrum(solver))
    tendency = solver.tendency(velocity, learned)
    torch.testing.assert_close(tendency, solver.tendency(velocity, make(name, solver.space)), rtol=1e-12, atol=1e-12)
    (slope,) = torch.autograd.grad(tendency.square().sum(), learned.value)
    assert abs(float(slope)) > 0
    assert [parameter for parameter, _ in learned.named_parameters()] == [f"closure.{LEARNED_CONSTANTS[name]}"]


def test_a_training_finds_the_constant_of_its_data_and_stores_its_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    write_split(results, "train", seed=1, law=modelled)
    write_split(results, "validation", seed=2, law=modelled)
    asked = chosen(0.12, learning_rate=0.02, trajectory=3) | {"form": "integral", "steps": 4}
    setup = with_equations(asked, steps=24, steps_per_epoch=6)
    with monkeypatch.context() as patch:
        stop_in_step(15, patch)
        with pytest.raises(EddymarkError):
            run(setup, results, tmp_path / "stopped")
    resumed, undisturbed = (run(setup, results, tmp_path / name) for name in ("stopped", "undisturbed"))
    assert_same_training(resumed, undisturbed)
    rows = history(undisturbed)
    assert rows["closure_constant"].iloc[-1] == pytest.approx(TRUTH, rel=0.05)
    assert abs(rows["closure_constant"].iloc[0] - TRUTH) > abs(rows["closure_constant"].iloc[-1] - TRUTH)
    # The closer the equations are to those of the data, the lower is the floor.
    assert rows["residual_floor"].iloc[-1] < 0.5 * rows["residual_floor"].iloc[0]
    description = json.loads((undisturbed / "model.json").read_text())
    assert description["closure_constant"] == {"smagorinsky_constant": rows["closure_constant"].iloc[-1]}
