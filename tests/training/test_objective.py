from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from eddymark.grid import Grid, SpectralSpace
from eddymark.stepping.trainable import TrainableStepper
from eddymark.training.objective import shell_energy_error, unrolled_loss


class Linear(TrainableStepper):
    """u_{n+1} = a u_n + b u_{n−1}."""

    def __init__(self, *coefficients: float) -> None:
        super().__init__(interval=1.0, history=len(coefficients))
        self.coefficients = nn.Parameter(torch.tensor(coefficients, dtype=torch.float64))

    def forward(self, past: Tensor) -> Tensor:
        return torch.einsum("h,bh...->b...", self.coefficients, past)


def test_loss_is_the_relative_error_per_sample_and_time_averaged() -> None:
    # States are multiples of one field: 1 → 2 → 8 in the first window, 10 → 10 → 10 in the second.
    shape = torch.ones(2, 4, 4, dtype=torch.float64)
    window = torch.stack([torch.stack([a * shape for a in values]) for values in ((1, 2, 8), (10, 10, 10))])
    loss = unrolled_loss(Linear(2.0), window, shell_energy_weight=0, space=None)
    # Predictions 2, 4 and 20, 40: errors 0, 4/8 and 1, 3.
    assert float(loss.detach()) == pytest.approx((0 + 0.5 + 1 + 3) / 4)


def test_outputs_are_fed_back_with_their_history() -> None:
    stepper = Linear(1.0, 1.0)
    values = [1.0, 1.0, 2.0, 3.0, 5.0, 8.0]
    window = torch.tensor(values, dtype=torch.float64).view(1, 6, 1, 1, 1).expand(1, 6, 2, 4, 4)
    loss = unrolled_loss(stepper, window, shell_energy_weight=0, space=None)
    assert float(loss.detach()) == 0


def test_gradient_flows_through_all_steps() -> None:
    stepper = Linear(1.0)
    window = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64).view(1, 3, 1, 1, 1).expand(1, 3, 2, 4, 4)
    unrolled_loss(stepper, window, shell_energy_weight=0, space=None).backward()
    # Loss ½ ((2 − a) / 2 + (4 − a²) / 4); its derivative at a = 1 is −½ (½ + ½).
    assert stepper.coefficients.grad is not None
    assert float(stepper.coefficients.grad) == pytest.approx(-0.5)


def test_shell_energy_error_of_a_scaled_field_is_its_squared_logarithm() -> None:
    space = SpectralSpace(Grid(points=(12, 12), sides=(2 * math.pi, 2 * math.pi)))
    torch.manual_seed(0)
    field = torch.randn(3, 2, 12, 12, dtype=torch.float64)
    error = shell_energy_error(2 * field, field, space=space)
    assert float(error) == pytest.approx(math.log(4) ** 2)


def test_shell_energy_error_ignores_the_mean_flow_and_the_corners() -> None:
    space = SpectralSpace(Grid(points=(12, 12), sides=(2 * math.pi, 2 * math.pi)), dealiased=False)
    torch.manual_seed(0)
    field = torch.randn(1, 2, 12, 12, dtype=torch.float64)
    spectrum = space.to_spectral(field)
    spectrum[:, :, (space.shells == 0) | (space.shells > 3)] *= 5
    changed = space.to_physical(spectrum)
    used = SpectralSpace(space.grid)
    assert float(shell_energy_error(changed, field, space=used)) == pytest.approx(0, abs=1e-20)


def test_shell_energy_weight_adds_to_the_loss() -> None:
    space = SpectralSpace(Grid(points=(12, 12), sides=(2 * math.pi, 2 * math.pi)))
    torch.manual_seed(0)
    state = torch.randn(2, 2, 12, 12, dtype=torch.float64)
    window = torch.stack([state, state], dim=1)
    loss = unrolled_loss(Linear(2.0), window, shell_energy_weight=0.1, space=space)
    assert float(loss.detach()) == pytest.approx(1 + 0.1 * math.log(4) ** 2)
