"""Constraints from reference data: exact per shell, nothing but amplitudes, recorded, the same after reloading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from eddymark.checkpoints import SECONDS, Checkpoints
from eddymark.config.constraints import DEFAULT_FACTOR
from eddymark.config.schema import Forcing as ForcingConfiguration
from eddymark.solvers.periodic import NavierStokes
from eddymark.stepping.constraints import Constraints
from eddymark.stepping.known_physics import KnownPhysics
from eddymark.stepping.rollout import rollout
from eddymark.stepping.surrogate import Surrogate
from eddymark.stepping.trainable import TrainableStepper
from tests.stepping.constraining import CAP, FIX, constraints, energies, noise, space_on

GRIDS = [(12, 12), (10, 12, 8)]


@pytest.mark.parametrize("points", GRIDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_cap_is_exact_in_every_shell_and_keeps_the_phases(points: tuple[int, ...], dtype: torch.dtype) -> None:
    space = space_on(points, dtype)
    velocity = noise(space)
    before = energies(space, velocity)
    # Some shells are above the cap and some below it, in each sample others.
    reference = before.mean(dim=0) * torch.linspace(0.4, 1.6, before.shape[1], dtype=dtype)
    made = constraints(space, {**CAP, "factor": 0.8}, reference=reference)(velocity)
    assert made.dtype == dtype
    limit = 0.8 * reference
    expected = torch.minimum(before, limit)
    expected[:, 0] = before[:, 0]
    capped = before[:, 1:] > limit[1:]
    assert capped.any()
    assert not capped.all()
    tolerance = 2e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(energies(space, made), expected, rtol=tolerance, atol=tolerance * float(before.max()))
    # A real positive factor between what was and what is: neither phases nor directions have changed.
    old, new = space.to_spectral(velocity), space.to_spectral(made)
    factor = torch.sqrt(expected / before.clamp_min(1e-300 if dtype == torch.float64 else 1e-30))[:, space.shells]
    torch.testing.assert_close(new, factor.unsqueeze(1) * old, rtol=tolerance, atol=tolerance)
    divergence = space.to_physical(space.divergence(new)).abs().max()
    assert divergence < (1e-5 if dtype == torch.float32 else 1e-13)


def test_shell_energies_are_set_and_shells_without_energy_are_left_alone() -> None:
    space = space_on((12, 12))
    velocity = noise(space)
    spectrum = space.to_spectral(velocity)
    velocity = space.to_physical(spectrum * (space.shells != 3))
    reference = torch.linspace(1, 2, int(space.shells.max()) + 1, dtype=torch.float64)
    made = energies(space, constraints(space, FIX, reference=reference)(velocity))
    others = [shell for shell in range(1, len(reference)) if shell != 3]
    torch.testing.assert_close(made[:, others], reference[others].expand(3, -1))
    assert float(made[:, 3].max()) < 1e-25
    torch.testing.assert_close(made[:, 0], energies(space, velocity)[:, 0])


def test_held_and_other_shells_are_left_alone_and_constraints_act_in_turn() -> None:
    space = space_on((12, 12))
    velocity = noise(space)
    before = energies(space, velocity)
    reference = torch.full_like(before[0], 1e-3)
    made = constraints(space, CAP, {**FIX, "shells": [4]}, reference=2 * reference, held=(1, 2))
    after = energies(space, made(velocity))
    torch.testing.assert_close(after[:, [0, 1, 2]], before[:, [0, 1, 2]])
    torch.testing.assert_close(after[:, 3:], (2 * reference[3:]).expand(3, -1))
    only = constraints(space, {**CAP, "shells": [3]}, reference=reference)
    after = energies(space, only(velocity))
    torch.testing.assert_close(after[:, 3], reference[3].expand(3))
    torch.testing.assert_close(after[:, 4:], before[:, 4:])


def test_a_cap_that_does_not_act_changes_no_bit_of_a_state_beside_one_on_which_it_does() -> None:
    space = space_on((12, 12), torch.float32)
    velocity = noise(space, batch=2)
    velocity[1] *= 10
    cap = constraints(space, CAP, reference=2 * energies(space, velocity)[0])
    made = cap(velocity)
    assert torch.equal(made[0], velocity[0])
    assert not torch.equal(made[1], velocity[1])
    # A network alone may make modes beyond the 2/3 rule: they are part of its states.
    whole = space_on((12, 12), torch.float32, dealiased=False)
    rough = torch.randn((1, 2, 12, 12))
    idle = constraints(whole, CAP, reference=2 * energies(whole, rough)[0])
    assert torch.equal(idle(rough), rough)


def test_what_is_not_meant_for_training_acts_in_evaluation_only() -> None:
    space = space_on((12, 12))
    velocity = noise(space)
    reference = 0.1 * energies(space, velocity)[0]
    made = constraints(space, CAP, reference=reference).train()
    assert made(velocity) is velocity
    assert not torch.equal(made.eval()(velocity), velocity)
    both = constraints(space, {**CAP, "training": True}, reference=reference)
    assert torch.equal(both.train()(velocity), both.eval()(velocity))


@pytest.mark.parametrize("section", [CAP, FIX], ids=["cap", "fixed"])
@pytest.mark.parametrize("amplitude", [0.0, 1e-30, 1e-6, 1.0, 1e6])
def test_the_gradient_is_finite_at_any_amplitude(section: dict[str, Any], amplitude: float) -> None:
    space = space_on((12, 12), torch.float32)
    velocity = (amplitude * noise(space)).requires_grad_()
    reference = energies(space, noise(space, seed=2)).mean(dim=0)
    reference[4] = 0  # a shell which the data do not have
    made = constraints(space, section, reference=reference)(velocity)
    made.square().sum().backward()
    assert velocity.grad is not None
    assert torch.isfinite(made).all()
    assert torch.isfinite(velocity.grad).all()
    if amplitude == 0:
        assert not made.any()


def test_the_gradient_is_that_of_the_capped_field() -> None:
    space = space_on((8, 8))
    velocity = noise(space, batch=2).requires_grad_()
    reference = energies(space, velocity.detach()).mean(dim=0) * torch.tensor([1, 0.5, 2, 0.5], dtype=torch.float64)
    cap = constraints(space, CAP, reference=reference)
    assert torch.autograd.gradcheck(cap, (velocity,))


class Growing(TrainableStepper):
    """Multiplies every state by a factor; then its constraints act on it, on each of its outputs by itself."""

    def __init__(self, made: Constraints, factor: float, outputs: int = 1) -> None:
        super().__init__(interval=0.1, history=1, outputs=outputs, constraints=made)
        self.factor = factor

    def forward(self, past: Tensor) -> Tensor:
        states = [past[:, -1]]
        for _ in range(self.outputs):
            states.append(self.constrained(self.factor * states[-1]))
        return states[1] if self.outputs == 1 else torch.stack(states[1:], dim=1)


@pytest.mark.parametrize("outputs", [1, 2])
def test_the_activity_in_a_rollout_is_what_the_constraint_did(outputs: int) -> None:
    space = space_on((12, 12))
    velocity = noise(space, batch=2)
    velocity[1] *= 0.5
    energy = energies(space, velocity)
    # Energies double with every output. Shells of the first state reach the cap with the third output, those of the
    # other one, which have about a fourth of the energy, with the fifth or so; then half is removed each time.
    reference = 4.001 * energy[0]
    reference[-1] = 1e9  # never reached
    stepper = Growing(constraints(space, CAP, reference=reference), 2**0.5, outputs).eval()
    made = rollout(stepper, velocity.unsqueeze(1), 6)
    assert made.activity is not None
    assert made.activity.shape == (2, 6, 1, 2)
    assert stepper.constraints is not None
    assert stepper.constraints.activity is None
    limit, shells = reference[1:], len(reference) - 1
    for sample in range(2):
        present, rest = energy[sample, 1:].clone(), energy[sample, 0]
        for step in range(6):
            grown, rest = 2 * present, 2 * rest
            present = torch.minimum(grown, limit)
            share, removed = made.activity[sample, step, 0].tolist()
            assert share == pytest.approx(float((grown > limit).sum()) / shells)
            assert removed == pytest.approx(float((grown - present).sum() / (grown.sum() + rest)), abs=1e-12)
    assert made.activity[0, 0, 0, 0] == 0
    assert made.activity[0, -1, 0, 0] == pytest.approx((shells - 1) / shells)
    # A stepper without constraints has no activity.
    assert rollout(TrainableIdentity(interval=0.1, history=1), velocity.unsqueeze(1), 2).activity is None


class TrainableIdentity(TrainableStepper):
    def forward(self, past: Tensor) -> Tensor:
        return past[:, -1]


def test_activity_ends_with_a_failure_and_survives_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECONDS, "0")
    space = space_on((12, 12))
    velocity = noise(space, batch=3)
    velocity[1] *= 0.1
    reference = 4 * energies(space, velocity)[0]
    reference[1] = 1e9  # the lowest shell grows until the state is given up
    stepper = Growing(constraints(space, CAP, reference=reference), 2.0).eval()
    whole = rollout(stepper, velocity.unsqueeze(1), 7)
    assert whole.activity is not None
    failed = {failure.trajectory: failure.step for failure in whole.failures}
    assert 0 in failed
    for trajectory in range(3):
        finite = torch.isfinite(whole.activity[trajectory]).all(dim=(-1, -2))
        assert finite.tolist() == [step < failed.get(trajectory, 99) for step in range(1, 8)]

    class KilledError(Exception):
        pass

    def kill(step: int) -> None:
        if step == 4:
            raise KilledError

    def start(progress: Callable[[int], object] | None) -> Any:
        return rollout(stepper, velocity.unsqueeze(1), 7, progress=progress, checkpoints=Checkpoints(tmp_path, {}))

    with pytest.raises(KilledError):
        start(kill)
    resumed = start(None)
    assert torch.equal(resumed.velocity.nan_to_num(), whole.velocity.nan_to_num())
    assert torch.equal(resumed.activity.nan_to_num(-1), whole.activity.nan_to_num(-1))


def test_fixed_shells_stay_solenoidal_in_single_precision_over_many_steps() -> None:
    """Shells that are multiplied by more than one in every step make something of rounding errors, if they may."""
    space = space_on((12, 12), torch.float32)
    forcing = ForcingConfiguration(type="sinusoidal", wavenumber=2, amplitude=0.1)
    solver = NavierStokes(space.grid, viscosity=0.05, linear_drag=0.1, forcing=forcing, dtype=torch.float32)
    velocity = noise(space, batch=2)
    made = constraints(space, FIX, reference=energies(space, velocity).mean(dim=0))
    stepper = Surrogate(
        Zero(),
        known_physics=KnownPhysics(solver, 0.5),
        static_fields=torch.zeros((0, 12, 12)),
        interval=0.5,
        history=1,
        constraints=made,
    ).eval()
    last = rollout(stepper, velocity.unsqueeze(1), 500).velocity[:, -1]
    spectrum = space.to_spectral(last)
    assert float(space.divergence(spectrum).abs().max()) < 1e-5
    torch.testing.assert_close(energies(space, last)[:, 1:], made.reference[1:].expand(2, -1), rtol=1e-4, atol=0)


class Zero(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return torch.zeros_like(features[:, :2])


def test_shells_that_the_forcing_holds_are_its_business() -> None:
    space = space_on((12, 12, 12))
    configuration = ForcingConfiguration(type="held_shells", energies={1: 0.6, 2: 0.3})
    solver = NavierStokes(space.grid, viscosity=0.05, forcing=configuration)
    velocity = noise(space, batch=1)
    cap = constraints(space, CAP, reference=torch.full_like(energies(space, velocity)[0], 0.01), held=(1, 2))
    stepper = Surrogate(
        nn.Identity(),
        known_physics=KnownPhysics(solver, 0.1),
        static_fields=torch.zeros((0, 12, 12, 12), dtype=torch.float64),
        interval=0.1,
        history=1,
        constraints=cap,
    ).eval()
    with torch.inference_mode():
        made = energies(space, stepper(velocity.unsqueeze(1)))[0]
    torch.testing.assert_close(made[1:3], torch.tensor([0.6, 0.3], dtype=torch.float64))
    torch.testing.assert_close(made[3:], torch.full_like(made[3:], 0.01))


def test_the_default_factor_is_what_the_documentation_says() -> None:
    space = space_on((12, 12))
    velocity = noise(space, batch=1)
    reference = 0.1 * energies(space, velocity)[0]
    made = constraints(space, {"type": "shell_energy_cap"}, reference=reference)(velocity)
    assert DEFAULT_FACTOR == 2
    torch.testing.assert_close(energies(space, made)[0, 1:], 2 * reference[1:])
