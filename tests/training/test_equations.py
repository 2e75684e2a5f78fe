"""Training with the residual of the equations, with and without data beside it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from eddymark.config.equations import Equations as EquationsConfiguration
from eddymark.config.schema import Closure, Experiment
from eddymark.config.training import Objective
from eddymark.errors import EddymarkError
from eddymark.execution import split_files
from eddymark.flows.build import build_flow
from eddymark.solvers.time_integration import TimeIntegration
from eddymark.stepping.build import trainable_stepper
from eddymark.training.equations import Equations, build_equations
from eddymark.training.objective import unrolled_loss
from eddymark.training.windows import Windows

from .conftest import INTERVAL, SPACE, experiment, write_split
from .runs import assert_same_training, history, run, stop_in_step
from .test_objective import Linear

FLOW = build_flow(experiment().flows["flow"])
SOLVER = FLOW.solver(SPACE.grid, dtype=torch.float64)
VISCOSITY, WAVES, AMPLITUDE = 0.05, 2, 0.1


def equations(**options: Any) -> Equations:
    return build_equations(FLOW, EquationsConfiguration(**options), dtype=torch.float64, device="cpu")


def simulated(states: Tensor) -> Tensor:
    """Return the states an interval later as the flow's equations without a model have them."""
    integration = TimeIntegration("runge_kutta_4", 1.0)
    return SPACE.to_physical(integration.advance(SOLVER, SPACE.to_spectral(states), INTERVAL, steps=8))


def equilibrium(factor: float = 1.0) -> Tensor:
    """Return the laminar flow in which force and viscosity balance, times a factor, `(1, 2, 12, 12)`."""
    y = torch.as_tensor(SPACE.grid.coordinates()[1]).expand(12, 12)
    peak = factor * AMPLITUDE / (VISCOSITY * WAVES**2)
    return torch.stack([peak * torch.sin(WAVES * y), torch.zeros_like(y)]).unsqueeze(0)


def with_equations(chosen: dict[str, Any], *, model: dict[str, Any] | None = None, **schedule: Any) -> Experiment:
    """Return the experiment whose network is trained with equations and known physics, without any label."""
    data = experiment(**schedule).model_dump(mode="json")
    objective = {"curriculum": [{"start": 0, "unroll": 2}], "error_weight": 0.0, "equations": chosen}
    network = data["flows"]["flow"]["surrogates"]["network"]
    network |= {"known_physics": True, "objective": objective} | (model or {})
    return Experiment.model_validate(data)


@pytest.mark.parametrize("norm_order", [-1.0, 0.0, 1.0])
def test_residual_is_relative_and_per_interval(norm_order: float) -> None:
    """Twice the laminar flow, held for ever: what is missing is the viscous force on one of the two."""
    states = torch.stack([equilibrium(2.0)] * 3, dim=1)
    rate = VISCOSITY * WAVES**2
    made = {
        "differential": 0.5 * rate * INTERVAL,
        "integral": 0.5 * -math.expm1(-rate * INTERVAL),
    }
    for form, expected in made.items():
        relative = equations(form=form, norm_order=norm_order)(states)
        assert float(relative) == pytest.approx(expected, rel=1e-6)
        assert float(equations(form=form, norm_order=norm_order)(states / 2)) < 1e-9


def test_divergence_is_relative_to_the_gradient_of_the_first_state() -> None:
    x = torch.as_tensor(SPACE.grid.coordinates()[0]).reshape(-1, 1).expand(12, 12)
    compressed = torch.stack([torch.sin(3 * x), torch.zeros_like(x)]).unsqueeze(0)
    first = equilibrium()
    states = torch.stack([first, first + compressed, first], dim=1)
    without, weighed = (float(equations(divergence_weight=weight)(states)) for weight in (0.0, 0.5))
    # ⟨(∂u/∂x)²⟩ = 9/2 in one of two outputs; the gradient of the laminar flow is 2 · ½ cos 2y.
    assert weighed - without == pytest.approx(0.5 * math.sqrt(9 / 4 / (0.5 * (WAVES * 0.5) ** 2)))


def test_loss_without_labels_uses_initial_states_only() -> None:
    objective = Objective(error_weight=0, equations=EquationsConfiguration(weight=0.3))
    stepper = Linear(0.9)
    window = torch.stack([equilibrium(), torch.full_like(equilibrium(), torch.nan)], dim=1)[:, [0, 1, 1, 1]]
    loss = unrolled_loss(stepper, window, objective=objective, space=SPACE, equations=equations(weight=0.3))
    made = torch.stack([0.9**n * equilibrium() for n in range(4)], dim=1)
    assert float(loss.detach()) == pytest.approx(0.3 * float(equations()(made)))
    loss.backward()
    assert stepper.coefficients.grad is not None
    # The laminar flow is steady: the right coefficient is 1.
    assert float(stepper.coefficients.grad) < 0


def test_weights_of_data_and_equations_add_up() -> None:
    stepper = Linear(0.5, 0.4)
    window = torch.stack([n * equilibrium() for n in (1.0, 1.1, 1.2, 1.1)], dim=1)
    data, both, alone = (
        float(unrolled_loss(stepper, window, objective=objective, space=SPACE, equations=asked).detach())
        for objective, asked in (
            (Objective(), None),
            (Objective(), equations(weight=0.2)),
            (Objective(error_weight=0), equations(weight=0.2)),
        )
    )
    assert both == pytest.approx(data + alone)
    assert 0 < alone < both


def test_equations_continue_a_window_from_its_last_but_one_state() -> None:
    torch.manual_seed(0)
    states = SPACE.to_physical(SPACE.project(SPACE.to_spectral(torch.randn(20, 3, 2, 12, 12, dtype=torch.float64))))
    asked = equations(closure=Closure(type="none"))
    continued = asked.continued(states)
    assert torch.equal(continued[:, :2], states[:, :2])
    torch.testing.assert_close(continued[:, 2], simulated(states[:, 1]), rtol=0, atol=2e-3)


@pytest.mark.parametrize("chosen", [{"order": 4}, {"form": "integral", "steps": 2, "norm_order": -1}], ids=str)
def test_a_network_learns_the_solution_from_its_initial_state(chosen: dict[str, Any]) -> None:
    torch.manual_seed(1)
    noise = torch.randn(1, 2, 12, 12, dtype=torch.float64)
    states = [SPACE.to_physical(SPACE.project(SPACE.to_spectral(noise)))]
    for _ in range(4):
        states.append(simulated(states[-1]))
    truth = torch.stack(states, dim=1)
    setup = with_equations(chosen).model_copy(update={"precision": "float64"})
    stepper = trainable_stepper(setup, "flow", "network", 0, results=None)
    asked = equations(**chosen)
    with torch.no_grad():
        stepper.fit_scales(asked.continued(truth[:, :2]))
    objective = Objective(error_weight=0, equations=asked.configuration)
    window = torch.cat([truth[:, :1], torch.full_like(truth[:, 1:], torch.nan)], dim=1)
    optimiser = torch.optim.Adam(stepper.parameters(), lr=2e-2)
    losses, errors = [], []
    for _ in range(100):
        optimiser.zero_grad()
        loss = unrolled_loss(stepper, window, objective=objective, space=SPACE, equations=asked)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        with torch.no_grad():
            errors.append(float((stepper(truth[:, :1]) - truth[:, 1]).square().mean().sqrt()))
    assert losses[-1] < 0.4 * losses[0]
    assert errors[-1] < 0.4 * errors[0]


def test_a_few_seconds_of_training_without_labels_lower_the_residual_and_the_error(tmp_path: Path) -> None:
    """The data are of the equations themselves, and the network is never shown what follows an initial state."""
    results = tmp_path / "results"
    write_split(results, "train", seed=1, law=simulated)
    write_split(results, "validation", seed=2, law=simulated)
    schedule = {"steps": 48, "steps_per_epoch": 12, "learning_rate": 1e-2, "select_by": "residual"}
    output = run(with_equations({"form": "integral", "steps": 4}, **schedule), results, tmp_path)
    rows = history(output)
    assert rows["residual"].iloc[-1] < 0.98 * rows["residual"].iloc[0]
    assert rows["validation_error"].iloc[-1] < 0.98 * rows["validation_error"].iloc[0]
    assert rows["residual_floor"].max() < 0.1 * rows["residual"].min()
    description = json.loads((output / "model.json").read_text())
    assert description["best_epoch"] == rows["residual"].argmin() + 1
    assert description["residual_floor"] == rows["residual_floor"].iloc[-1]


def test_without_labels_no_scale_is_fitted_to_what_follows(tmp_path: Path) -> None:
    """In these data all signs change; the increments by which the network is scaled are those of the equations."""
    results = tmp_path / "results"
    write_split(results, "train", seed=1, law=torch.neg)
    write_split(results, "validation", seed=2, law=torch.neg)
    scales = {}
    for name, weight in (("labels", 1.0), ("equations", 0.0)):
        setup = with_equations({}, steps=2, steps_per_epoch=2, warm_up_steps=1)
        surrogate = setup.flows["flow"].surrogates["network"]
        objective = surrogate.objective.model_copy(update={"error_weight": weight})
        network = surrogate.model_copy(update={"objective": objective})
        flow = setup.flows["flow"].model_copy(update={"surrogates": {"network": network}})
        output = run(setup.model_copy(update={"flows": {"flow": flow}}), results, tmp_path / name)
        scales[name] = json.loads((output / "model.json").read_text())["normaliser"]["increment_scale"]
    files = split_files(experiment().flows["flow"], "flow", "train", results)
    states = Windows(files, dtype=torch.float64).spread(1, most=100)[:, 0]
    spectrum = SPACE.to_spectral(states)
    decay = torch.exp(SOLVER.linear_rate() * INTERVAL)
    forced = SOLVER.forcing.steady * torch.where(decay == 1, INTERVAL, (1 - decay) / -SOLVER.linear_rate())
    free = SPACE.to_physical(decay * spectrum + forced)
    assert scales["equations"] == pytest.approx(float((simulated(states) - free).square().mean().sqrt()), rel=0.02)
    assert scales["labels"] == pytest.approx(float((-states - free).square().mean().sqrt()), rel=0.02)
    assert scales["labels"] > 5 * scales["equations"]


def test_stops_and_resumes_to_the_identical_result(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closure = {"type": "smagorinsky", "arguments": {"smagorinsky_constant": 0.2}}
    chosen = {"norm_order": -1.0, "closure": closure, "weight": 0.5}
    model = {
        "history": 2,
        "bundle": 2,
        "objective": {
            "curriculum": [{"start": 0, "unroll": 2}, {"start": 0.5, "unroll": 4}],
            "equations": chosen,
            "checkpointing": True,
        },
    }
    setup = with_equations(chosen, model=model)
    with monkeypatch.context() as patch:
        stop_in_step(15, patch)
        with pytest.raises(EddymarkError):
            run(setup, results, tmp_path / "stopped")
    resumed = run(setup, results, tmp_path / "stopped")
    undisturbed = run(setup, results, tmp_path / "undisturbed")
    assert_same_training(resumed, undisturbed)
    assert history(resumed)["training_loss"].iloc[1] < history(resumed)["training_loss"].iloc[0]
    assert history(resumed)["residual_floor"].nunique() == 1
    # Without the equations, the same training has other weights and a history without their columns.
    model["objective"].pop("equations")  # type: ignore[attr-defined]
    plain = run(with_equations(chosen, model=model), results, tmp_path / "plain")
    assert "residual" not in history(plain)
    weights = [load_file(output / "weights.safetensors")["operator.lift.weight"] for output in (resumed, plain)]
    assert not torch.equal(*weights)


def test_too_few_solver_steps_are_refused_before_the_first_one_of_training(tmp_path: Path) -> None:
    results = tmp_path / "results"

    def exploding(states: Tensor) -> Tensor:
        return states if float(states.abs().max()) > 100 else 1e4 * states

    write_split(results, "train", seed=1, law=exploding)
    write_split(results, "validation", seed=2, law=exploding)
    setup = with_equations({"form": "integral", "steps": 1}, validation_length=0.6)
    with pytest.raises(EddymarkError, match="1 solver steps are too few for an output interval"):
        run(setup, results, tmp_path)
    assert not (tmp_path / "output" / "history.csv").exists()
