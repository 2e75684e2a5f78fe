"""What a correction sees of the past."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from eddymark.config.schema import Forcing
from eddymark.solvers.periodic import NavierStokes
from eddymark.stepping.hybrid import Hybrid, discrete_legendre
from eddymark.stepping.rollout import rollout
from tests.solvers.test_periodic import random_spectrum
from tests.stepping.test_steppers import Zero, simulation, solver

NOTHING = torch.zeros((0, 12, 12), dtype=torch.float64)


class Seeing(nn.Module):
    """Corrects nothing and remembers what it has seen."""

    def forward(self, features: Tensor) -> Tensor:
        """Map `(batch, channels, *grid)` to zeros of two channels."""
        self.features = features
        return 0 * features[:, :2]


def windows(equations: NavierStokes, times: int, batch: int = 5) -> Tensor:
    """Return states which have nothing to do with each other, `(batch, time, component, *grid)`."""
    spectra = [0.3 * random_spectrum(equations, batch=batch, seed=seed) for seed in range(times)]
    return equations.space.to_physical(torch.stack(spectra, dim=1))


@pytest.mark.parametrize("count", [1, 2, 3, 8, 32])
def test_the_polynomials_are_orthonormal_and_of_their_degree(count: int) -> None:
    rows = discrete_legendre(count)
    assert torch.allclose(rows @ rows.T, torch.eye(count, dtype=torch.float64), atol=1e-13)
    steps = torch.linspace(-1, 1, count, dtype=torch.float64)
    # Orthogonal to all lower powers: nothing but the polynomial of that degree is.
    for degree in range(1, count):
        for power in range(degree):
            assert abs(float(rows[degree] @ steps**power)) < 1e-12
    assert (rows[:, -1] > 0).all()


def test_features_are_the_polynomials_in_time_at_each_point() -> None:
    equations = solver(Forcing(), dimension=2)
    operator = Seeing()
    hybrid = Hybrid(simulation(equations), operator=operator, static_fields=NOTHING, history=4)
    still, slope, bend = windows(equations, 3, batch=2).unbind(1)
    times = torch.arange(4.0, dtype=torch.float64)
    past = torch.stack([still + time * slope for time in times], dim=1)
    hybrid(past)
    # Two fields of the LES with two components each, then three coefficients.
    assert operator.features.shape == (2, 2 * 2 + 3 * 2, 12, 12)
    first, second, third = operator.features[:, 4:].split(2, dim=1)
    assert torch.allclose(first, (times - 1.5).norm() * slope, atol=1e-13)
    assert second.abs().max() < 1e-13
    assert third.abs().max() < 1e-13
    hybrid(past + torch.stack([time**2 * bend for time in times], dim=1))
    square = (times - 1.5) ** 2
    assert torch.allclose(operator.features[:, 6:8], (square - square.mean()).norm() * bend, atol=1e-12)
    # With the last output, nothing of the past is lost.
    past = windows(equations, 4)
    hybrid(past)
    coefficients = operator.features[:, 4:].unflatten(1, (3, 2))
    polynomials = discrete_legendre(4)
    rest = torch.einsum("nh,bn...->bh...", polynomials[1:], coefficients)
    assert torch.allclose(rest + (past[:, -1] - rest[:, -1]).unsqueeze(1), past, atol=1e-12)


def test_each_coefficient_has_an_rms_of_one_over_the_training_data_and_its_scale_is_stored() -> None:
    equations = solver(Forcing(), dimension=2)
    operator = Seeing()
    hybrid = Hybrid(simulation(equations), operator=operator, static_fields=NOTHING, history=3)
    data = windows(equations, 4, batch=20)
    # The last output of a window is the target, and no part of the history.
    data[:, -1] *= 100
    hybrid.fit_scales(data)
    hybrid(data[:, :-1])
    seen = operator.features[:, 4:].unflatten(1, (2, 2))
    assert torch.allclose(seen.square().mean(dim=(0, 2, 3, 4)), torch.ones(2, dtype=torch.float64))
    assert hybrid.state_dict()["history_scale"].shape == (2,)
    # A flow that has not changed at all.
    hybrid.fit_scales(data[:, :1].expand(-1, 4, -1, -1, -1))
    hybrid(data[:, :1].expand(-1, 3, -1, -1, -1))
    assert torch.isfinite(operator.features).all()


def test_without_a_history_nothing_is_added() -> None:
    equations = solver(Forcing(), dimension=2)
    operator = Seeing()
    hybrid = Hybrid(simulation(equations), operator=operator, static_fields=NOTHING)
    hybrid.fit_scales(windows(equations, 2))
    hybrid(windows(equations, 1))
    assert operator.features.shape[1] == 4
    assert set(hybrid.state_dict()) == {"state_scale", "change_scale", "correction_scale"}


def test_gradients_reach_the_oldest_output_through_two_steps() -> None:
    equations = solver(Forcing(), dimension=2)
    torch.manual_seed(0)
    operator = nn.Conv2d(2 * 2 + 2 * 2, 2, 3, padding=1, padding_mode="circular", dtype=torch.float64)
    hybrid = Hybrid(simulation(equations), operator=operator, static_fields=NOTHING, history=3)
    data = windows(equations, 4)
    hybrid.fit_scales(data)
    past = data[:, :-1].clone().requires_grad_()
    probe = torch.randn(5, 2, 12, 12, dtype=torch.float64)

    def projected(past: Tensor) -> Tensor:
        for _ in range(2):
            past = torch.cat([past[:, 1:], hybrid(past).unsqueeze(1)], dim=1)
        return (probe * past[:, -1]).sum()

    (gradient,) = torch.autograd.grad(projected(past), past)
    direction = torch.zeros_like(past)
    direction[:, 0] = torch.randn(5, 2, 12, 12, dtype=torch.float64)
    step = 1e-5
    with torch.no_grad():
        difference = (projected(past + step * direction) - projected(past - step * direction)) / (2 * step)
    assert abs(float(difference)) > 1e-3
    assert float((gradient * direction).sum()) == pytest.approx(float(difference), rel=1e-6)


def test_a_rollout_without_a_correction_is_that_of_its_les() -> None:
    equations = solver(Forcing(), dimension=2)
    hybrid = Hybrid(simulation(equations), operator=Zero(2), static_fields=NOTHING, history=3)
    past = windows(equations, 3)
    made = rollout(hybrid, past, 3).velocity
    assert torch.allclose(made, rollout(simulation(equations), past[:, -1:], 3).velocity, atol=1e-13)
