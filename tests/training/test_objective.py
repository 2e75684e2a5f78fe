from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from eddymark.config.training import Dissipativity, Objective
from eddymark.grid import Grid, SpectralSpace
from eddymark.stepping.trainable import TrainableStepper
from eddymark.training.losses import band_error, relative_error, shell_energy_error, sobolev_error
from eddymark.training.objective import unrolled_loss
from eddymark.training.regularisation import dissipativity_penalty


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
    loss = unrolled_loss(Linear(2.0), window, objective=Objective(), space=None)
    # Predictions 2, 4 and 20, 40: errors 0, 4/8 and 1, 3.
    assert float(loss.detach()) == pytest.approx((0 + 0.5 + 1 + 3) / 4)


def test_outputs_are_fed_back_with_their_history() -> None:
    stepper = Linear(1.0, 1.0)
    values = [1.0, 1.0, 2.0, 3.0, 5.0, 8.0]
    window = torch.tensor(values, dtype=torch.float64).view(1, 6, 1, 1, 1).expand(1, 6, 2, 4, 4)
    loss = unrolled_loss(stepper, window, objective=Objective(), space=None)
    assert float(loss.detach()) == 0


def test_gradient_flows_through_all_steps() -> None:
    stepper = Linear(1.0)
    window = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64).view(1, 3, 1, 1, 1).expand(1, 3, 2, 4, 4)
    unrolled_loss(stepper, window, objective=Objective(), space=None).backward()
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
    loss = unrolled_loss(Linear(2.0), window, objective=Objective(shell_energy_weight=0.1), space=space)
    assert float(loss.detach()) == pytest.approx(1 + 0.1 * math.log(4) ** 2)


SPACE = SpectralSpace(Grid(points=(12, 12), sides=(2 * math.pi, 2 * math.pi)))


def series(*values: float) -> Tensor:
    """Return a window of multiples of one field, `(1, time, 2, 4, 4)`."""
    return torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1, 1).expand(1, -1, 2, 4, 4)


def wave(wavenumber: int) -> Tensor:
    """Return the shear flow sin(κ y), `(1, 2, 12, 12)`."""
    y = torch.arange(12, dtype=torch.float64) * 2 * math.pi / 12
    return torch.stack([torch.sin(wavenumber * y).expand(12, 12), torch.zeros(12, 12, dtype=torch.float64)])[None]


def gradient(objective: Objective, *values: float) -> float:
    stepper = Linear(1.0)
    unrolled_loss(stepper, series(*values), objective=objective, space=None).backward()
    assert stepper.coefficients.grad is not None
    return float(stepper.coefficients.grad)


def test_sobolev_error_weighs_each_wavenumber_with_its_norm() -> None:
    target, output = wave(1) + wave(3), wave(1) + 1.5 * wave(3)
    for order in (-1.0, 0.0, 1.0, 2.5):
        one, three = 2.0**order, 10.0**order
        expected = math.sqrt(0.25 * three / (one + three))
        assert float(sobolev_error(output, target, order=order, space=SPACE)) == pytest.approx(expected)


def test_band_error_is_relative_in_each_band() -> None:
    target = 10 * wave(1) + wave(2) + 0.1 * wave(3)
    output = 11 * wave(1) + 1.5 * wave(2) + 0.3 * wave(3)
    assert float(band_error(output, target, bands=None, space=SPACE)) == pytest.approx((0.1 + 0.5 + 2) / 3)
    together = math.sqrt((0.25 + 0.04) / (1 + 0.01))
    assert float(band_error(output, target, bands=(1, 2), space=SPACE)) == pytest.approx((0.1 + together) / 2)
    assert float(band_error(output, target, bands=(2, 3), space=SPACE)) == pytest.approx((0.5 + 2) / 2)


def test_spectral_losses_have_finite_gradients_where_nothing_is_wrong() -> None:
    output = wave(1).requires_grad_()
    for loss in (
        band_error(output, wave(1), bands=None, space=SPACE),
        sobolev_error(output, wave(1), order=1.0, space=SPACE),
    ):
        (slope,) = torch.autograd.grad(loss, output)
        assert torch.isfinite(slope).all()


def test_every_weight_of_the_objective_counts() -> None:
    window = torch.stack([wave(1) + wave(3), wave(1) + 2 * wave(3)], dim=1)
    parts = {
        "error_weight": relative_error(window[:, 0], window[:, 1]),
        "sobolev_weight": sobolev_error(window[:, 0], window[:, 1], order=2.0, space=SPACE),
        "band_weight": band_error(window[:, 0], window[:, 1], bands=(1, 2), space=SPACE),
    }
    none = dict.fromkeys(parts, 0.0) | {"sobolev_order": 2.0, "bands": (1, 2)}
    for name, part in parts.items():
        objective = Objective.model_validate(none | {name: 0.7})
        loss = unrolled_loss(Linear(1.0), window, objective=objective, space=SPACE)
        assert float(loss.detach()) == pytest.approx(0.7 * float(part)), name


def test_pushforward_has_the_gradient_of_the_last_call_alone() -> None:
    # One call from 1, and one from a² = 1 whose input is a constant: ½ d/da (|2 − a| / 2 + |8 − a s| / 8), s = 1.
    assert gradient(Objective(pushforward=True), 1.0, 2.0, 4.0, 8.0) == pytest.approx(-0.5 * (1 / 2 + 1 / 8))
    assert gradient(Objective(), 1.0, 2.0, 4.0, 8.0) == pytest.approx(-(1 / 2 + 2 / 4 + 3 / 8) / 3)
    assert gradient(Objective(pushforward=True), 1.0, 2.0) == gradient(Objective(), 1.0, 2.0)


def test_teacher_forcing_feeds_back_a_blend_of_output_and_truth() -> None:
    objective = Objective(teacher_forcing=0.25)
    loss = unrolled_loss(Linear(1.0), series(1.0, 2.0, 4.0), objective=objective, space=None)
    # From 1: 1 for 2; from 0.25 · 2 + 0.75 · 1 = 1.25: 1.25 for 4.
    assert float(loss.detach()) == pytest.approx((1 / 2 + 2.75 / 4) / 2)
    assert gradient(objective, 1.0, 2.0, 4.0) == pytest.approx(-(1 / 2 + (1.25 + 0.75) / 4) / 2)


class Saving(TrainableStepper):
    """A chain of convolutions, whose inputs are kept for the gradient."""

    def __init__(self) -> None:
        super().__init__(interval=1.0, history=1)
        torch.manual_seed(0)
        self.layers = nn.Sequential(*(nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.Tanh()) for _ in range(8)))

    def forward(self, past: Tensor) -> Tensor:
        output: Tensor = self.layers(past[:, -1])
        return output


def test_checkpointing_gives_the_same_gradients_with_less_memory() -> None:
    torch.manual_seed(1)
    window = torch.randn(2, 7, 2, 12, 12)
    kept: dict[bool, int] = {}
    gradients: dict[bool, list[Tensor]] = {}
    for checkpointing in (False, True):
        stepper, sizes = Saving(), [0]

        def keep(tensor: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes[0] += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = unrolled_loss(stepper, window, objective=Objective(checkpointing=checkpointing), space=None)
        kept[checkpointing] = sizes[0]
        loss.backward()
        gradients[checkpointing] = [p.grad for p in stepper.parameters() if p.grad is not None]
    assert len(gradients[True]) == 16
    assert all(map(torch.equal, gradients[False], gradients[True]))
    assert kept[True] < 0.5 * kept[False]


class Pair(TrainableStepper):
    """Gives two outputs, a and a² times the last state."""

    def __init__(self, factor: float) -> None:
        super().__init__(interval=1.0, history=2, outputs=2)
        self.factor = nn.Parameter(torch.tensor(factor, dtype=torch.float64))

    def forward(self, past: Tensor) -> Tensor:
        return torch.stack([self.factor * past[:, -1], self.factor**2 * past[:, -1]], dim=1)


def test_bundles_are_fed_back_whole() -> None:
    loss = unrolled_loss(Pair(2.0), series(0, 1, 2, 4, 8, 16), objective=Objective(), space=None)
    assert float(loss.detach()) == 0
    loss = unrolled_loss(Pair(1.0), series(0, 1, 2, 4, 8, 16), objective=Objective(), space=None)
    assert float(loss.detach()) == pytest.approx((1 / 2 + 3 / 4 + 7 / 8 + 15 / 16) / 4)


def test_dissipativity_asks_states_off_the_attractor_to_lose_energy() -> None:
    term = Dissipativity(weight=0.5, scales=(2.0, 3.0), remaining_energy=0.25)
    past = series(1.0, 1.0)[:, :1]
    assert float(dissipativity_penalty(Linear(0.4), past, term).detach()) == 0
    assert float(dissipativity_penalty(Linear(0.8), past, term).detach()) == pytest.approx(0.3)
    objective = Objective(dissipativity=term)
    loss = unrolled_loss(Linear(0.8), series(1.0, 0.8), objective=objective, space=None)
    assert float(loss.detach()) == pytest.approx(0.5 * 0.3)


def test_dissipativity_looks_at_states_in_the_given_range() -> None:
    seen: list[float] = []

    class Looking(Linear):
        def forward(self, past: Tensor) -> Tensor:
            seen.extend(past[:, -1, 0, 0, 0].tolist())
            return super().forward(past)

    term = Dissipativity(weight=1.0, scales=(2.0, 3.0))
    dissipativity_penalty(Looking(1.0), torch.ones(200, 1, 2, 4, 4, dtype=torch.float64), term)
    assert 2 <= min(seen) < 2.1
    assert 2.9 < max(seen) <= 3
