"""The subgrid-scale model that is a network: what holds whatever its weights are."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from eddymark.closures.base import NoClosure
from eddymark.closures.learned import LearnedClosure
from eddymark.config.schema import Forcing
from eddymark.config.training import Objective
from eddymark.filters import filter_width
from eddymark.grid import Grid
from eddymark.operators.build import build_operator
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.resolved import ResolvedVelocity, contract
from eddymark.solvers.time_integration import TimeIntegration
from eddymark.stepping.large_eddy_simulation import LargeEddySimulation
from eddymark.training.objective import unrolled_loss
from tests.closures.fields import BOX
from tests.solvers.test_periodic import random_spectrum

INPUTS = ("gradient", "velocity")
LIMITERS = ("none", "volume", "pointwise")
INTEGRATION = TimeIntegration("runge_kutta_4", 2.0)
dimensions = pytest.mark.parametrize("dimension", [2, 3])
inputs = pytest.mark.parametrize("input", INPUTS)


def equations(dimension: int, forcing: Forcing | None = None, viscosity: float = 0.05) -> NavierStokes:
    return NavierStokes(Grid((12,) * dimension, (BOX,) * dimension), viscosity=viscosity, forcing=forcing)


def network(solver: NavierStokes, input: str, *, seed: int = 0, kind: str = "convolutional") -> nn.Module:
    """Return a network with weights of order one everywhere, so that nothing is small by chance."""
    torch.manual_seed(seed)
    dimension = solver.grid.dimension
    seen, given_ = LearnedClosure.channels(dimension, input=input)
    arguments = {"width": 6, "layers": 2} | ({"modes": 2} if kind == "fno" else {})
    built = build_operator(kind, arguments, in_channels=seen, out_channels=given_, dimension=dimension).double()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.copy_(torch.randn_like(parameter) / math.sqrt(max(1, parameter[0].numel())))
    return built


def closure(
    solver: NavierStokes, operator: nn.Module, *, input: str = "gradient", limiter: str = "none"
) -> LearnedClosure:
    width = filter_width(solver.grid)
    return LearnedClosure(space=solver.space, filter_width=width, operator=operator, input=input, limiter=limiter)


def flow(solver: NavierStokes, *, batch: int = 2, seed: int = 1) -> Tensor:
    return solver.space.to_physical(0.3 * random_spectrum(solver, batch=batch, seed=seed))


def energy_rate(solver: NavierStokes, velocity: Tensor, model: LearnedClosure) -> Tensor:
    """Return d/dt ½⟨u_i u_i⟩ by the model alone, `(batch,)`."""
    force = solver.tendency(velocity, model) - solver.tendency(velocity)
    return (velocity * force).sum(dim=1).flatten(1).mean(dim=1)


@dimensions
@inputs
@pytest.mark.parametrize("limiter", LIMITERS)
def test_a_network_that_gives_nothing_is_no_model_bit_for_bit(dimension: int, input: str, limiter: str) -> None:
    solver = equations(dimension)
    operator = network(solver, input)
    with torch.no_grad():
        for parameter in operator.parameters():
            parameter.zero_()
    spectrum = solver.space.to_spectral(flow(solver))
    steps = [
        INTEGRATION.advance(solver, spectrum, 0.1, steps=3, closure=model)
        for model in (closure(solver, operator, input=input, limiter=limiter), NoClosure())
    ]
    assert torch.equal(*steps)


@dimensions
@inputs
@pytest.mark.parametrize("limiter", LIMITERS)
def test_momentum_is_conserved_exactly(dimension: int, input: str, limiter: str) -> None:
    solver = equations(dimension)
    model = closure(solver, network(solver, input), input=input, limiter=limiter)
    velocity = flow(solver) + torch.arange(1.0, dimension + 1).reshape(-1, *(1,) * dimension)
    spectrum = solver.space.to_spectral(velocity)
    rate = solver.nonlinear(spectrum, model)
    assert rate.abs().max() > 0.1
    assert torch.equal(rate.flatten(2)[:, :, 0], torch.zeros_like(rate.flatten(2)[:, :, 0]))


@dimensions
@inputs
def test_a_uniform_velocity_changes_nothing(dimension: int, input: str) -> None:
    solver = equations(dimension)
    model = closure(solver, network(solver, input), input=input)
    spectra = [solver.space.to_spectral(flow(solver) + speed) for speed in (0.0, 3.0)]
    still, moving = (model.stress(ResolvedVelocity(solver.space, spectrum)) for spectrum in spectra)
    assert torch.allclose(still, moving, atol=1e-11)
    assert still.std() > 1e-3


@dimensions
@pytest.mark.parametrize("kind", ["convolutional", "fno"])
def test_it_commutes_with_the_translations_with_which_its_network_does(dimension: int, kind: str) -> None:
    solver = equations(dimension)
    model = closure(solver, network(solver, "gradient", kind=kind), limiter="pointwise")
    velocity = flow(solver)
    shifts, axes = (3, 5, 1)[:dimension], solver.space.axes
    shifted = solver.tendency(velocity.roll(shifts, axes), model)
    assert torch.allclose(shifted, solver.tendency(velocity, model).roll(shifts, axes), atol=1e-10)


@dimensions
def test_the_scales_make_the_model_independent_of_units(dimension: int) -> None:
    """In units of half the length and a third of the time, stresses are (3/2)² of what they were."""
    for input in INPUTS:
        solver = equations(dimension)
        velocity, length, speed = flow(solver, batch=20), 2.0, 1.5
        other = NavierStokes(Grid(solver.grid.points, (length * BOX,) * dimension), viscosity=0.05)
        operator = network(solver, input)
        stresses = []
        for equation, states in ((solver, velocity), (other, speed * velocity)):
            model = closure(equation, operator, input=input)
            model.fit_scales(states)
            spectrum = equation.space.to_spectral(states[:2])
            stresses.append(model.stress(ResolvedVelocity(equation.space, spectrum)).detach())
        assert torch.allclose(stresses[1], speed**2 * stresses[0], atol=1e-12)


@dimensions
def test_what_the_network_sees_has_the_rms_one_over_the_training_data(dimension: int) -> None:
    solver = equations(dimension)
    velocity = flow(solver, batch=20) + 2.0
    seen: list[Tensor] = []
    for input in INPUTS:
        operator = network(solver, input)
        operator.register_forward_pre_hook(lambda _, given_: seen.append(given_[0]))
        model = closure(solver, operator, input=input)
        model.fit_scales(velocity)
        model.stress(ResolvedVelocity(solver.space, solver.space.to_spectral(velocity)))
        assert float(seen[-1].square().mean()) == pytest.approx(1)
    gradient = ResolvedVelocity(solver.space, solver.space.to_spectral(velocity)).gradient
    square = torch.stack([entry for row in gradient for entry in row]).square().mean()
    assert float(model.stress_scale) == pytest.approx(float(filter_width(solver.grid) ** 2 * square))


@dimensions
@inputs
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), amplitude=st.floats(1e-3, 1e3))
def test_the_limiter_balances_the_energy(dimension: int, input: str, seed: int, amplitude: float) -> None:
    """What the force of the stress does to the energy is ⟨τ_ij S_ij⟩, and never adds to it behind a limiter."""
    solver = equations(dimension)
    velocity = amplitude * flow(solver, seed=seed)
    resolved = ResolvedVelocity(solver.space, solver.space.to_spectral(velocity))
    operator = network(solver, input, seed=seed)
    free, volume, pointwise = (closure(solver, operator, input=input, limiter=limiter) for limiter in LIMITERS)
    with torch.no_grad():
        tau = free.stress(resolved)
        transfer = contract(tau, resolved.strain_rate)
        size = transfer.abs().flatten(1).mean(dim=1)
        mean = transfer.flatten(1).mean(dim=1)
        assert torch.allclose(energy_rate(solver, velocity, free) / size, mean / size, atol=1e-9)
        rate = energy_rate(solver, velocity, volume)
        assert torch.allclose(rate / size, mean.clamp_max(0) / size, atol=1e-9)
        local = contract(pointwise.stress(resolved), resolved.strain_rate)
        assert torch.allclose(local, transfer.clamp_max(0), atol=1e-12 * float(transfer.abs().max()))
        expected = transfer.clamp_max(0).flatten(1).mean(dim=1)
        assert torch.allclose(energy_rate(solver, velocity, pointwise) / size, expected / size, atol=1e-9)
        # Only where there is backscatter, and as little as can be: what is taken away is orthogonal to what is left.
        taken = tau - pointwise.stress(resolved)
        assert torch.equal((taken != 0).any(dim=1), transfer > 0)
        assert contract(taken, tau - taken).abs().max() <= 1e-12 * contract(tau, tau).max()


@dimensions
@pytest.mark.parametrize("limiter", ["volume", "pointwise"])
def test_energy_cannot_grow_behind_a_limiter_and_does_without(dimension: int, limiter: str) -> None:
    """A network that returns energy wherever it can, in a flow without force and almost without viscosity."""

    class Backscatter(nn.Module):
        def forward(self, gradient: Tensor) -> Tensor:
            g = gradient.unflatten(1, (dimension, dimension))
            pairs = [(i, j) for i in range(dimension) for j in range(i, dimension)]
            entries = [g[:, i, j] + g[:, j, i] for i, j in pairs]
            reduced = [a - entries[-1] if i == j else a for (i, j), a in zip(pairs, entries, strict=True)]
            return torch.stack(reduced[:-1], dim=1)

    solver = equations(dimension, viscosity=1e-9)
    start = solver.space.to_spectral(flow(solver))
    energies = {}
    for kind in ("none", limiter):
        model, spectrum = closure(solver, Backscatter(), limiter=kind), start
        energies[kind] = [solver.space.mode_energy(spectrum).flatten(1).sum(dim=1)]
        for _ in range(20):
            spectrum = INTEGRATION.advance(solver, spectrum, 0.01, steps=1, closure=model)
            energies[kind].append(solver.space.mode_energy(spectrum).flatten(1).sum(dim=1))
    free, limited = (torch.stack(values) for values in energies.values())
    assert (free[-1] > 1.5 * free[0]).all()
    # The scheme itself loses a little energy at a Courant number of about one, and adds none.
    assert (limited.diff(dim=0) <= 1e-12 * limited[0]).all()
    assert (limited[-1] > 0.99 * limited[0]).all()


@pytest.mark.parametrize(
    ("dimension", "input", "limiter"),
    [
        (2, "gradient", "none"),
        (2, "velocity", "volume"),
        (2, "gradient", "pointwise"),
        (3, "gradient", "volume"),
        (3, "velocity", "pointwise"),
    ],
)
def test_gradients_through_several_steps_are_those_of_finite_differences_and_of_checkpoints(
    dimension: int, input: str, limiter: str
) -> None:
    solver = equations(dimension)
    model = closure(solver, network(solver, input), input=input, limiter=limiter)
    stepper = LargeEddySimulation(solver, closure=model, integration=INTEGRATION, interval=0.05)
    window = torch.stack([flow(solver, batch=2, seed=seed) for seed in range(4)], dim=1)
    stepper.fit_scales(window)
    parameters = list(stepper.parameters())

    def loss(checkpointing: bool = False) -> Tensor:
        objective = Objective(checkpointing=checkpointing)
        return unrolled_loss(stepper, window, objective=objective, space=solver.space)

    plain = torch.autograd.grad(loss(), parameters)
    for gradient, recomputed in zip(plain, torch.autograd.grad(loss(True), parameters), strict=True):
        assert torch.equal(gradient, recomputed)
    # Along the gradient, where the derivative is its norm and no parts of it cancel.
    expected = math.sqrt(sum(float(gradient.square().sum()) for gradient in plain))
    assert expected > 1e-3
    directions = [gradient / expected for gradient in plain]
    step, values = 1e-5, []
    for sign in (1, -2):
        with torch.no_grad():
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter.add_(sign * step * direction)
            values.append(float(loss()))
    # Where backscatter begins the limited stress has a kink, which finite differences step over.
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(expected, rel=1e-4 if limiter == "pointwise" else 1e-6)
