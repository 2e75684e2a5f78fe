"""Rollouts, LES, surrogates, hybrids and controls."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from eddymark.checkpoints import Checkpoints
from eddymark.closures.base import NoClosure
from eddymark.config.schema import Forcing
from eddymark.grid import Grid
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.time_integration import TimeIntegration
from eddymark.stepping.controls import ConstrainedNoise, MatchedNoise, Persistence
from eddymark.stepping.hybrid import Hybrid
from eddymark.stepping.known_physics import KnownPhysics
from eddymark.stepping.large_eddy_simulation import LargeEddySimulation
from eddymark.stepping.rollout import rollout
from eddymark.stepping.stepper import Stepper
from eddymark.stepping.surrogate import Surrogate
from tests.solvers.test_periodic import BOX, random_spectrum
from tests.stopping import StoppedError, stop_after_checkpoint

HELD = Forcing(type="held_shells", energies={1: 1.2, 2: 0.4})
SINE = Forcing(type="sinusoidal", wavenumber=2, amplitude=0.5)
INTEGRATION = TimeIntegration("runge_kutta_4", 2.0)


def solver(forcing: Forcing, *, dimension: int = 3, viscosity: float = 0.05) -> NavierStokes:
    return NavierStokes(Grid((12,) * dimension, (BOX,) * dimension), viscosity=viscosity, forcing=forcing)


def states(equations: NavierStokes, *, batch: int = 3) -> Tensor:
    spectrum = equations.forcing.constrain(random_spectrum(equations, batch=batch) * 0.3)
    return equations.space.to_physical(spectrum).unsqueeze(1)


def simulation(equations: NavierStokes, interval: float = 0.1) -> LargeEddySimulation:
    return LargeEddySimulation(equations, closure=NoClosure(), integration=INTEGRATION, interval=interval)


class Zero(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.seen: list[tuple[int, ...]] = []

    def forward(self, features: Tensor) -> Tensor:
        self.seen.append(tuple(features.shape))
        return torch.zeros_like(features[:, : self.channels])


def test_rollout_stores_the_initial_state_first_and_feeds_outputs_back() -> None:
    class Doubling:
        interval, history = 1.0, 2

        def __call__(self, past: Tensor) -> Tensor:
            return past[:, -1] + past[:, -2]

    initial = torch.ones((2, 2, 2, 4, 4))
    velocity = rollout(Doubling(), initial, 4).velocity
    assert velocity.shape == (2, 5, 2, 4, 4)
    assert velocity[0, :, 0, 0, 0].tolist() == [1, 2, 3, 5, 8]


def test_rollout_records_failures_and_leaves_the_others_alone() -> None:
    class Fragile:
        interval, history = 1.0, 1

        def __call__(self, past: Tensor) -> Tensor:
            output = past[:, -1].clone()
            first = output[:, 0, 0, 0]
            output[first == 2] *= 4.0
            output[first == 3] = torch.nan
            return output

    initial = torch.ones((3, 1, 2, 4, 4)) * torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1, 1, 1)
    result = rollout(Fragile(), initial, 5)
    assert torch.equal(result.velocity[0], initial[0].expand(6, 2, 4, 4))
    assert torch.isfinite(result.velocity[1]).all()  # grew by 4, then stayed: 8 is not 2
    assert [(f.trajectory, f.step, f.cause) for f in result.failures] == [(2, 1, "not finite")]
    assert torch.isnan(result.velocity[2, 1:]).all()


def test_rollout_takes_a_hundredfold_energy_for_lost() -> None:
    class Growing:
        interval, history = 1.0, 1

        def __call__(self, past: Tensor) -> Tensor:
            return 3 * past[:, -1]

    result = rollout(Growing(), torch.ones((1, 1, 2, 4, 4)), 10)
    assert [(f.step, f.cause) for f in result.failures] == [(3, "energy grew a hundredfold")]
    assert torch.isfinite(result.velocity[0, :3]).all()
    assert torch.isnan(result.velocity[0, 3:]).all()


@pytest.mark.parametrize("kind", ["les", "surrogate with a history", "matched noise", "constrained noise"])
def test_a_killed_rollout_goes_on_from_its_checkpoint_to_the_same_bytes(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    equations = solver(HELD)
    initial = states(equations, batch=4)
    if kind == "surrogate with a history":
        initial = torch.cat([initial, initial.flip(0)], dim=1)
    physics = KnownPhysics(equations, 0.1)

    def stepper() -> Stepper:
        random = np.random.default_rng(5)
        if kind == "les":
            return simulation(equations)
        if kind == "matched noise":
            spectrum = equations.space.energy_spectrum(equations.space.to_spectral(initial[:, -1])).mean(dim=0)
            return MatchedNoise(spectra=spectrum[None], space=equations.space, interval=0.1, random=random)
        if kind == "constrained noise":
            return ConstrainedNoise(physics, amplitudes=[0.1], interval=0.1, random=random)
        network = nn.Conv3d(6, 3, 3, padding=1, dtype=torch.float64)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.copy_(torch.as_tensor(random.standard_normal(tuple(parameter.shape))) / 90)
        nothing = torch.zeros((0, 12, 12, 12), dtype=torch.float64)
        return Surrogate(network, known_physics=None, static_fields=nothing, interval=0.1, history=2)

    class Failing:
        """Loses the second trajectory at the fourth output and one more at the seventh."""

        interval = 0.1

        def __init__(self, honest: Stepper, done: int = 0) -> None:
            self.honest, self.done, self.history = honest, done, honest.history
            self.random = getattr(honest, "random", None)

        def __call__(self, past: Tensor) -> Tensor:
            self.done += 1
            output = self.honest(past)
            if self.done in (4, 7):
                output[1] = torch.nan
            return output

    undisturbed = rollout(Failing(stepper()), initial, 10)
    assert [(failure.trajectory, failure.step) for failure in undisturbed.failures] == [(1, 4), (2, 7)]
    done = 0
    for number in (2, 2, 1, 3):
        with monkeypatch.context() as patch:
            stop_after_checkpoint(number, patch)
            with pytest.raises(StoppedError):
                rollout(Failing(stepper(), done), initial, 10, checkpoints=Checkpoints(tmp_path, {}))
        done += number
    steps: list[int] = []
    resumed = rollout(
        Failing(stepper(), done),
        initial,
        10,
        progress=steps.append,
        checkpoints=Checkpoints(tmp_path, {}),
        file=tmp_path / "rollout",
    )
    assert (tmp_path / "rollout").read_bytes() == resumed.velocity.numpy().tobytes()
    assert steps == [9, 10]
    assert resumed.failures == undisturbed.failures
    assert resumed.velocity.numpy().tobytes() == undisturbed.velocity.numpy().tobytes()


def test_a_rollout_keeps_a_part_of_each_output_and_goes_on_from_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    equations = solver(HELD)
    initial = states(equations)

    def corner(velocity: Tensor) -> Tensor:
        return velocity[..., :4, :4, :4]

    whole = rollout(simulation(equations), initial, 6).velocity
    assert torch.equal(rollout(simulation(equations), initial, 6, keep=corner).velocity, corner(whole))
    stop_after_checkpoint(3, monkeypatch)
    with pytest.raises(StoppedError):
        rollout(simulation(equations), initial, 6, keep=corner, checkpoints=Checkpoints(tmp_path, {}))
    monkeypatch.undo()
    resumed = rollout(simulation(equations), initial, 6, keep=corner, checkpoints=Checkpoints(tmp_path, {}))
    assert torch.equal(resumed.velocity, corner(whole))


def test_every_kind_is_a_stepper() -> None:
    equations = solver(HELD)
    les = simulation(equations)
    physics = KnownPhysics(equations, 0.1)
    random = np.random.default_rng(0)
    spectrum = torch.rand(20, dtype=torch.float64)
    static = torch.zeros((0, 12, 12, 12), dtype=torch.float64)
    steppers: list[Stepper] = [
        les,
        Surrogate(Zero(3), known_physics=physics, static_fields=static, interval=0.1, history=1),
        Hybrid(les, operator=Zero(3), static_fields=static),
        Persistence(0.1),
        MatchedNoise(spectra=spectrum[None], space=equations.space, interval=0.1, random=random),
        ConstrainedNoise(physics, amplitudes=[0.1], interval=0.1, random=random),
    ]
    initial = states(equations)
    for stepper in steppers:
        assert isinstance(stepper, Stepper)
        output = rollout(stepper, initial, 2).velocity
        assert output.shape == (3, 3, 3, 12, 12, 12)
        assert torch.isfinite(output).all()


def test_les_is_the_solver_and_lands_on_the_output_time() -> None:
    equations = solver(SINE, dimension=2)
    initial = states(equations)
    spectrum = equations.space.to_spectral(initial[:, 0])
    expected = INTEGRATION.advance(equations, spectrum, 0.1, steps=400)
    assert torch.allclose(simulation(equations)(initial), equations.space.to_physical(expected), atol=1e-4)


def test_known_physics_is_exact_where_nothing_is_left_to_learn() -> None:
    """A shear flow u(y) under a sinusoidal force has no nonlinear term: a zero network must be exact."""
    equations = solver(SINE, dimension=2)
    y = torch.as_tensor(equations.grid.coordinates()[1]).expand(12, 12)
    velocity = torch.stack([torch.sin(3 * y) + 0.2, torch.zeros_like(y)]).unsqueeze(0)
    physics = KnownPhysics(equations, 0.7)
    rate = 0.05 * 4
    forced = 0.5 * torch.sin(2 * y) * (1 - math.exp(-rate * 0.7)) / rate
    expected = torch.stack([torch.sin(3 * y) * math.exp(-0.05 * 9 * 0.7) + 0.2 + forced, torch.zeros_like(y)])
    assert torch.allclose(physics(velocity, torch.zeros_like(velocity))[0], expected, atol=1e-13)


def test_known_physics_makes_any_increment_solenoidal_and_restores_held_shells() -> None:
    equations = solver(HELD)
    space = equations.space
    output = KnownPhysics(equations, 0.1)(states(equations)[:, 0], torch.randn((3, 3, 12, 12, 12), dtype=torch.float64))
    spectrum = space.to_spectral(output)
    assert space.divergence(spectrum).abs().max() < 1e-12
    assert torch.allclose(space.energy_spectrum(spectrum)[:, 1:3], torch.tensor([1.2, 0.4], dtype=torch.float64))


def test_surrogate_scales_come_from_the_windows_and_are_stored() -> None:
    equations = solver(SINE, dimension=2)
    static = torch.ones((1, 12, 12), dtype=torch.float64)
    operator = Zero(2)
    model = Surrogate(operator, known_physics=None, static_fields=static, interval=0.1, history=2)
    windows = torch.randn((5, 3, 2, 12, 12), dtype=torch.float64)
    model.fit_scales(windows)
    assert float(model.state_scale) == pytest.approx(float(windows.square().mean().sqrt()))
    increments = windows[:, -1] - windows[:, -2]
    assert float(model.increment_scale) == pytest.approx(float(increments.square().mean().sqrt()))
    assert {"state_scale", "increment_scale"} <= set(model.state_dict())
    assert torch.equal(model(windows[:, :2]), windows[:, 1])
    assert operator.seen == [(5, 5, 12, 12)]  # two past outputs of two components and one static field
    assert equations is not None


def test_hybrid_without_correction_is_its_les() -> None:
    equations = solver(SINE, dimension=2)
    les = simulation(equations)
    hybrid = Hybrid(les, operator=Zero(2), static_fields=torch.zeros((0, 12, 12), dtype=torch.float64))
    initial = states(equations)
    assert torch.allclose(hybrid(initial), les(initial), atol=1e-14)


def test_gradients_pass_through_the_solver() -> None:
    equations = solver(HELD)
    hybrid = Hybrid(
        simulation(equations),
        operator=nn.Conv3d(6, 3, 1).double(),
        static_fields=torch.zeros((0, 12, 12, 12), dtype=torch.float64),
    )
    past = states(equations)
    for _ in range(2):
        past = hybrid(past).unsqueeze(1)
    past.square().sum().backward()
    for parameter in hybrid.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().max() > 0


def test_matched_noise_has_the_spectrum_and_no_memory() -> None:
    equations = solver(HELD)
    space = equations.space
    spectrum = torch.linspace(0, 1, int(space.shells.max()) + 1, dtype=torch.float64)
    control = MatchedNoise(spectra=spectrum[None], space=space, interval=0.1, random=np.random.default_rng(0))
    initial = states(equations)
    first, second = control(initial), control(initial)
    assert torch.allclose(space.energy_spectrum(space.to_spectral(first)), spectrum.expand(3, -1), atol=1e-12)
    correlation = (first * second).sum() / (first.square().sum() * second.square().sum()).sqrt()
    assert abs(float(correlation)) < 0.1
    assert space.divergence(space.to_spectral(first)).abs().max() < 1e-12


def test_constrained_noise_is_as_strong_as_the_increments_it_replaces() -> None:
    """With nothing else in the step, its outputs change by exactly the stated rms."""
    equations = solver(Forcing(), dimension=2, viscosity=1e-12)
    # What is exact of the mean flow takes away the noise's part in it.
    physics = KnownPhysics(equations, 0.1, ("viscosity", "forcing", "incompressibility"))
    control = ConstrainedNoise(physics, amplitudes=[0.3], interval=0.1, random=np.random.default_rng(0))
    initial = states(equations)
    change = control(initial) - initial[:, 0]
    assert float(change.square().mean().sqrt()) == pytest.approx(0.3, rel=1e-6)


def test_a_les_gives_up_a_state_that_needs_absurdly_many_steps_and_keeps_the_others() -> None:
    equations = solver(Forcing(), dimension=2)
    les = simulation(equations, interval=1.0)
    result = rollout(les, torch.cat([states(equations), 1e4 * states(equations)])[[0, 3]], 1)
    assert [failure.trajectory for failure in result.failures] == [1]
    assert torch.equal(result.velocity[0], rollout(les, states(equations)[:1], 1).velocity[0])
