"""A last layer fitted to the equations in every call."""

from __future__ import annotations

import math
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from eddymark.closures.base import NoClosure
from eddymark.config.refinement import Refinement as RefinementConfiguration
from eddymark.config.schema import Experiment, Forcing
from eddymark.grid import Grid
from eddymark.operators.build import build_operator
from eddymark.solvers.periodic import NavierStokes
from eddymark.stepping.build import trainable_stepper, untrained_stepper
from eddymark.stepping.known_physics import KnownPhysics
from eddymark.stepping.refinement import Refinement
from eddymark.stepping.rollout import rollout
from eddymark.stepping.surrogate import Surrogate
from tests.solvers.test_periodic import random_spectrum
from tests.training.conftest import experiment

INTERVAL = 0.05
POINTS = 12
SFNO = {"width": 4, "modes": 3, "time_modes": 1, "latent_frames": 3, "layers": 2}
FNO = {"width": 4, "modes": 3, "layers": 2}
SMALL = {"iterations": 12, "learning_rate": 0.1}


def equations(dimension: int = 2, **changes: Any) -> NavierStokes:
    return NavierStokes(Grid((POINTS,) * dimension, (2 * math.pi,) * dimension), **({"viscosity": 0.05} | changes))


def surrogate(
    operator: nn.Module,
    solver: NavierStokes,
    *,
    history: int = 1,
    outputs: int = 1,
    known_physics: bool = True,
    output: Literal["increment", "direct"] = "increment",
    **refinement: Any,
) -> Surrogate:
    """Return a surrogate with a refinement, in double precision."""
    physics = KnownPhysics(solver, INTERVAL) if known_physics else None
    static = torch.zeros((0, *solver.grid.points), dtype=torch.float64)
    settings: dict[str, Any] = {"interval": INTERVAL, "outputs": outputs, "output": output, "known_physics": physics}
    model = Surrogate(operator.double(), static_fields=static, history=history, **settings)
    configuration = RefinementConfiguration(**(SMALL | refinement))
    model.refinement = Refinement(solver, closure=NoClosure(), configuration=configuration, **settings)
    return model.eval()


def network(type: str, arguments: dict[str, Any], *, dimension: int = 2, times: tuple[int, int] = (1, 1)) -> nn.Module:
    torch.manual_seed(0)
    channels = {"in_channels": times[0] * dimension, "out_channels": times[1] * dimension}
    return build_operator(type, arguments, dimension=dimension, times=times, **channels)


def past_states(solver: NavierStokes, *, history: int = 1, batch: int = 2) -> Tensor:
    """Return a state that moves on by explicit steps, `(batch, history, d, *grid)`."""
    made = [solver.space.to_physical(0.3 * random_spectrum(solver, batch=batch))]
    for _ in range(history - 1):
        middle = made[-1] + INTERVAL / 2 * solver.tendency(made[-1])
        made.append(made[-1] + INTERVAL * solver.tendency(middle))
    return torch.stack(made, dim=1)


def space_time(solver: NavierStokes, **changes: Any) -> Surrogate:
    """Return a surrogate which makes three outputs of two states with one call."""
    times = (2, 3)
    operator = network("sfno", SFNO, dimension=solver.grid.dimension, times=times)
    model = surrogate(operator, solver, history=2, outputs=3, **changes)
    model.increment_scale.fill_(0.1)
    return model


def unrefined(model: Surrogate, past: Tensor) -> Tensor:
    refinement, model.refinement = model.refinement, None
    try:
        with torch.no_grad():
            return model(past)
    finally:
        model.refinement = refinement


def misfit(model: Surrogate, past: Tensor, made: Tensor) -> Tensor:
    assert model.refinement is not None
    made = made if model.outputs > 1 else made.unsqueeze(1)
    return model.refinement.misfit(torch.cat([past, made], dim=1))


@pytest.mark.parametrize(
    ("type", "dimension", "history", "outputs", "options"),
    [
        ("sfno", 2, 2, 3, {}),
        ("sfno", 2, 2, 3, {"order": 4, "output": "direct", "known_physics": False}),
        ("fno", 2, 1, 1, {"form": "integral"}),
        ("fno", 3, 2, 1, {}),
    ],
)
def test_the_residual_falls_for_every_trajectory(
    type: str, dimension: int, history: int, outputs: int, options: dict[str, Any]
) -> None:
    solver = equations(dimension)
    arguments = SFNO | {"add_last_state": "output" in options} if type == "sfno" else FNO
    operator = network(type, arguments, dimension=dimension, times=(history, outputs))
    model = surrogate(operator, solver, history=history, outputs=outputs, **options)
    # A direct output is as large as a state.
    model.increment_scale.fill_(0.3 if model.output == "increment" else 1)
    past = past_states(solver, history=history)
    before = unrefined(model, past)
    with torch.inference_mode():
        made = model(past)
    assert made.shape == before.shape
    assert bool((misfit(model, past, made) < 0.5 * misfit(model, past, before)).all())


@pytest.mark.parametrize("form", ["differential", "integral"])
def test_the_gradient_is_that_of_finite_differences(form: str) -> None:
    solver = equations()
    model, past = space_time(solver, form=form), past_states(solver, history=2)
    assert model.refinement is not None
    refinement = model.refinement
    torch.manual_seed(1)
    point, direction = 0.1 * torch.randn((2, 2, 6, POINTS, POINTS), dtype=torch.float64)

    def at(learned: Tensor) -> Tensor:
        return refinement.misfit(torch.cat([past, refinement.states(past[:, -1], learned)], dim=1)).sum()

    learned = point.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(at(learned), learned)
    step = 1e-5
    expected = (at(point + step * direction) - at(point - step * direction)) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(float(expected), rel=1e-7)


class Exact(nn.Module):
    """Gives a multiple of the state; its last layer is the multiplication."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor, dtype=torch.float64))

    def with_features(self, field: Tensor) -> tuple[Tensor, Tensor]:
        return self.factor * field, field

    def forward(self, field: Tensor) -> Tensor:
        return self.with_features(field)[0]


def shear(solver: NavierStokes) -> Tensor:
    """Return u = (sin 2y, 0): a solution without a nonlinear term, `(1, 1, 2, *grid)`."""
    y = torch.as_tensor(solver.grid.coordinates()[1])
    profile = torch.sin(2 * y).expand(POINTS, POINTS)
    return torch.stack([profile, torch.zeros_like(profile)])[None, None]


def test_an_exact_solution_stays_where_it_is() -> None:
    decaying = equations()
    factor = math.exp(-0.05 * 4 * INTERVAL) - 1
    settings: dict[str, Any] = {"known_physics": False, "form": "integral"}
    model = surrogate(Exact(factor), decaying, **settings)
    torch.testing.assert_close(model(shear(decaying)), (1 + factor) * shear(decaying)[:, 0], rtol=0, atol=1e-13)
    # Another one does not.
    wrong = surrogate(Exact(2 * factor), decaying, iterations=60, **settings)(shear(decaying))
    error = (wrong - (1 + factor) * shear(decaying)[:, 0]).norm()
    assert float(error) < 0.05 * float((factor * shear(decaying)).norm())


def test_a_steady_solution_stays_where_it_is() -> None:
    forced = equations(forcing=Forcing(type="sinusoidal", wavenumber=2, amplitude=0.05 * 4))
    past = shear(forced).expand(1, 2, 2, POINTS, POINTS)
    model = surrogate(Exact(1.0), forced, history=2, output="direct", known_physics=False)
    model.operator = Repeating(model.operator)
    torch.testing.assert_close(model(past), past[:, -1], rtol=0, atol=1e-13)


class Repeating(nn.Module):
    """Shows an operator the last of two states."""

    def __init__(self, operator: nn.Module) -> None:
        super().__init__()
        self.operator = operator

    def with_features(self, field: Tensor) -> tuple[Tensor, Tensor]:
        assert isinstance(self.operator, Exact)
        return self.operator.with_features(field[:, 2:])


def test_the_integral_form_finds_what_the_solver_makes() -> None:
    solver = equations()
    model = surrogate(network("fno", FNO), solver, form="integral", iterations=60, learning_rate=0.3)
    model.increment_scale.fill_(0.3)
    past = past_states(solver)
    rate = past[:, 0] + INTERVAL / 2 * solver.tendency(past[:, 0])
    truth = past[:, 0] + INTERVAL * solver.tendency(rate)
    before, after = ((made - truth).norm() / truth.norm() for made in (unrefined(model, past), model(past)))
    assert float(after) < 0.2 * float(before)


def test_a_call_gives_the_same_bytes_again_and_has_no_gradient() -> None:
    solver = equations()
    model, past = space_time(solver), past_states(solver, history=2)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    first = model(past)
    with torch.inference_mode():
        assert torch.equal(model(past), first)
    with torch.no_grad():
        assert torch.equal(rollout(model, past, 3).velocity[:, 1:], first)
    assert not first.requires_grad
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert all(value.grad is None for value in model.parameters())


def test_trajectories_of_a_batch_are_refined_each_by_itself() -> None:
    solver = equations()
    model, past = space_time(solver), past_states(solver, history=2, batch=3)
    together = model(past)
    torch.testing.assert_close(model(past[1:2]), together[1:2], rtol=0, atol=1e-9)
    past[0, -1, 0, 0, 0] = math.nan
    torch.testing.assert_close(model(past)[1:], together[1:], rtol=0, atol=1e-9)


def test_what_the_network_makes_in_single_precision_is_refined_in_double_precision() -> None:
    solver = equations()
    model, past = space_time(solver), past_states(solver, history=2)
    expected = model(past)
    made = model.float()(past.float())
    assert made.dtype == torch.float32
    single = unrefined(model, past.float()).double()
    assert float((made - expected).abs().max()) < 0.01 * float((single - expected).abs().max())


def test_a_model_is_refined_where_it_is_timed_and_validated_but_not_in_training() -> None:
    document = experiment().model_dump(mode="json")
    model = document["flows"]["flow"]["surrogates"]["network"]
    model["refinement"] = {"form": "integral", "iterations": 2}
    changed = Experiment.model_validate(document)
    plain, refined = (untrained_stepper(one, "flow", "network-seed0", results=None) for one in (experiment(), changed))
    trained = trainable_stepper(changed, "flow", "network", 0, results=None).eval()
    torch.manual_seed(0)
    past = torch.randn((1, 1, 2, POINTS, POINTS))
    with torch.inference_mode():
        assert torch.equal(trained(past), plain(past))
        assert not torch.equal(refined(past), plain(past))
