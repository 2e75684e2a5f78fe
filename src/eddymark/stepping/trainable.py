"""What training needs of a stepper."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from eddymark.stepping.constraints import Constraints


class TrainableStepper(nn.Module):
    """A stepper with parameters: a surrogate, a hybrid, or a LES whose closure is fitted.

    Arguments:
        interval: time between outputs, flow units.
        history: number of past outputs needed.
        outputs: number of outputs that a call gives.
        constraints: what acts on each output and comes from reference data, if anything does.
    """

    def __init__(
        self, *, interval: float, history: int, outputs: int = 1, constraints: Constraints | None = None
    ) -> None:
        super().__init__()
        self.interval = interval
        self.history = history
        self.outputs = outputs
        self.constraints = constraints

    @abstractmethod
    def forward(self, past: Tensor) -> Tensor:
        """Return the next output, `(batch, history, component, *grid)` → `(batch, component, *grid)`; see `Stepper`."""

    def fit_scales(self, windows: Tensor) -> None:
        """Fit the constants of normalisation to training windows `(n, history + 1, component, *grid)`."""

    def constrained(self, velocity: Tensor) -> Tensor:
        """Return an output as its constraints leave it, `(batch, component, *grid)`."""
        return velocity if self.constraints is None else self.constraints(velocity)

    @property
    def constrains(self) -> bool:
        """Whether outputs pass through a constraint that rescales them."""
        return False


def evaluated(operator: nn.Module, features: Tensor, autocast: torch.dtype | None, *lead_time: Tensor) -> Tensor:
    """Return what a network makes of its input, in the precision of the input.

    Arguments:
        operator: the network.
        features: its input.
        autocast: precision of products inside it (`torch.autocast`); None: that of the input.
        lead_time: of each sample, `(batch,)`, if the network is asked for one.
    """
    if autocast is None:
        result: Tensor = operator(features, *lead_time)
        return result
    with torch.autocast(features.device.type, dtype=autocast):
        result = operator(features, *lead_time)
    return result.to(features.dtype)


def parameter_count(stepper: object) -> int:
    """Return the number of learned real numbers, 0 for what is no module; a complex weight counts as two."""
    if not isinstance(stepper, nn.Module):
        return 0
    return sum(value.numel() * (2 if value.is_complex() else 1) for value in stepper.parameters())


def root_mean_square(field: Tensor) -> Tensor:
    """Return the root mean square of all values, a scalar."""
    return torch.sqrt(field.square().mean())
