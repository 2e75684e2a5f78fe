"""Direct outputs, temporal bundles and parts of the known physics."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from eddymark.config.fields import KnownPart
from eddymark.grid import Grid
from eddymark.solvers.periodic import NavierStokes
from eddymark.statistics import cost
from eddymark.stepping.known_physics import KnownPhysics
from eddymark.stepping.rollout import rollout
from eddymark.stepping.surrogate import Surrogate

from .test_steppers import HELD, SINE, solver, states

NOTHING = torch.zeros((0, 12, 12), dtype=torch.float64)


class Counting(nn.Module):
    """Gives its index along the channels, and counts its calls."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels, self.calls, self.seen = channels, 0, 0

    def forward(self, features: Tensor) -> Tensor:
        self.calls += 1
        self.seen = features.shape[1]
        numbers = torch.arange(self.channels).to(features)
        return numbers.reshape(1, -1, *(1,) * (features.dim() - 2)).expand(len(features), -1, *features.shape[2:])


def test_a_bundle_gives_increments_that_follow_each_other_for_one_call() -> None:
    operator = Counting(6)
    model = Surrogate(operator, known_physics=None, static_fields=NOTHING, interval=0.1, history=2, outputs=3)
    past = torch.randn((2, 2, 2, 12, 12), dtype=torch.float64)
    made = model(past)
    assert made.shape == (2, 3, 2, 12, 12)
    steps = (made - torch.cat([past[:, 1:], made[:, :-1]], dim=1))[0, :, :, 0, 0]
    torch.testing.assert_close(steps, torch.arange(6).double().reshape(3, 2))
    assert (operator.calls, operator.seen) == (1, 4)


def test_a_rollout_calls_a_bundling_stepper_when_its_outputs_are_used_up() -> None:
    operator = Counting(6)
    model = Surrogate(operator, known_physics=None, static_fields=NOTHING, interval=0.1, history=1, outputs=3)
    initial = 50 + torch.zeros((2, 1, 2, 12, 12), dtype=torch.float64)
    velocity = rollout(model, initial, 7).velocity
    assert operator.calls == 3
    assert velocity[0, :, 0, 0, 0].tolist() == [50, 50, 52, 56, 56, 58, 62, 62]


def test_a_trajectory_that_fails_inside_a_bundle_is_left_out_and_the_others_go_on() -> None:
    class Failing:
        interval, history, outputs = 1.0, 1, 3

        def __call__(self, past: Tensor) -> Tensor:
            made = torch.stack([past[:, -1] + step for step in (1, 2, 3)], dim=1)
            if len(made) == 3:
                made[1, 1] = torch.nan
            return made

    initial = torch.arange(1.0, 4.0).reshape(3, 1, 1, 1, 1).expand(3, 1, 2, 4, 4)
    result = rollout(Failing(), initial, 5)
    assert [(failure.trajectory, failure.step) for failure in result.failures] == [(1, 2)]
    assert result.velocity[2, :, 0, 0, 0].tolist() == [3, 4, 5, 6, 7, 8]
    assert torch.isnan(result.velocity[1, 2:]).all()
    assert result.velocity[1, 1, 0, 0, 0] == 3


def test_the_cost_of_a_bundle_is_one_call_for_all_its_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    operators = {1: Counting(2), 4: Counting(8)}
    models = {
        f"{n}": Surrogate(one, known_physics=None, static_fields=NOTHING, interval=0.1, history=1, outputs=n)
        for n, one in operators.items()
    }
    # Time passes with calls only.
    monkeypatch.setattr(cost.time, "perf_counter", lambda: float(sum(one.calls for one in operators.values())))
    given = {name: torch.zeros((1, 3, 2, 12, 12), dtype=torch.float64) for name in models}
    timings = cost.time_steppers(models, given, turnover_time=0.8, repeats=5)
    assert timings["1"].median == 8
    assert timings["4"].median == 2


@pytest.mark.parametrize("parts", [(), ("incompressibility",), ("forcing", "momentum", "incompressibility")])
def test_a_direct_output_is_the_operators_with_the_constraints(parts: Sequence[KnownPart]) -> None:
    equations = solver(HELD)
    space = equations.space
    torch.manual_seed(0)
    field = torch.randn((3, 3, 12, 12, 12), dtype=torch.float64)

    class Fixed(nn.Module):
        def forward(self, features: Tensor) -> Tensor:
            return field

    physics = KnownPhysics(equations, 0.1, parts) if parts else None
    nothing = torch.zeros((0, 12, 12, 12), dtype=torch.float64)
    model = Surrogate(Fixed(), known_physics=physics, static_fields=nothing, interval=0.1, history=1, output="direct")
    past = states(equations) + 0.3
    windows = past.expand(3, 2, 3, 12, 12, 12)
    model.fit_scales(windows)
    assert float(model.increment_scale) == pytest.approx(float(windows.square().mean().sqrt()))
    made = model(past)
    if not parts:
        torch.testing.assert_close(made, model.increment_scale * field)
        return
    spectrum = space.to_spectral(made)
    assert space.divergence(spectrum).abs().max() < 1e-11
    held = torch.allclose(space.energy_spectrum(spectrum)[0, 1:3], torch.tensor([1.2, 0.4], dtype=torch.float64))
    assert held == ("forcing" in parts)
    mean = made.mean(dim=(2, 3, 4))
    assert torch.allclose(mean, past[:, 0].mean(dim=(2, 3, 4)), atol=1e-12) == ("momentum" in parts)


@pytest.mark.parametrize("output", ["increment", "direct"])
def test_a_rollout_is_the_calls_one_after_the_other(output: str) -> None:
    equations = solver(HELD)
    torch.manual_seed(0)
    operator = nn.Conv3d(3, 3, 3, padding=1, padding_mode="circular").double()
    model = Surrogate(
        operator,
        known_physics=KnownPhysics(equations, 0.1, ("incompressibility",)),
        static_fields=torch.zeros((0, 12, 12, 12), dtype=torch.float64),
        interval=0.1,
        history=1,
        output=output,
    ).requires_grad_(False)
    made = [states(equations)]
    for _ in range(3):
        made.append(model(made[-1]).unsqueeze(1))
    torch.testing.assert_close(rollout(model, made[0], 3).velocity, torch.cat(made, dim=1))
    assert model.output == output


def test_each_part_of_the_known_physics_does_its_part_alone() -> None:
    grid = Grid((12, 12), (2 * math.pi,) * 2)
    equations = NavierStokes(grid, viscosity=0.05, linear_drag=0.3, forcing=SINE)
    space = equations.space
    torch.manual_seed(0)
    velocity = space.to_physical(space.project(space.to_spectral(torch.randn((1, 2, 12, 12), dtype=torch.float64))))
    zero = torch.zeros_like(velocity)
    before = space.to_spectral(velocity)
    rate = 0.05 * space.wavenumber_squared + 0.3

    def after(*parts: KnownPart, increment: Tensor = zero) -> Tensor:
        return space.to_spectral(KnownPhysics(equations, 0.7, parts)(velocity, increment))

    torch.testing.assert_close(after("viscosity"), torch.exp(-0.7 * rate) * before)
    torch.testing.assert_close(after("forcing"), before + 0.7 * equations.forcing.steady)
    compressive = torch.randn_like(velocity)
    free = after("forcing", increment=compressive)
    assert space.divergence(free).abs().max() > 0.01
    assert space.divergence(after("incompressibility", increment=compressive)).abs().max() < 1e-12
    moved = after("momentum", increment=compressive)
    torch.testing.assert_close(moved[..., 0, 0], math.exp(-0.3 * 0.7) * before[..., 0, 0])
    others = before + space.to_spectral(compressive)
    torch.testing.assert_close(moved[..., 1:], others[..., 1:])


def test_only_known_forcing_rescales_shells() -> None:
    equations = solver(HELD)
    assert KnownPhysics(equations, 0.1).constrains
    assert not KnownPhysics(equations, 0.1, ("viscosity", "incompressibility")).constrains
