"""The one abstraction of the package: something that advances a batch of states by one output interval."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Stepper(Protocol):
    """Advances states by one output interval; DNS, LES, surrogates, hybrids and controls all are steppers.

    Attributes:
        interval: time between outputs, in flow units.
        history: number of past outputs needed.

    One whose call gives several outputs at once has `outputs`, their number, above 1; see `next_outputs`.
    """

    interval: float
    history: int

    def __call__(self, past: Tensor) -> Tensor:
        """Return the next output, or the next `outputs`.

        Arguments:
            past: velocity `(batch, history, component, *grid)`, oldest first.

        Returns:
            velocity `(batch, component, *grid)` one interval after the last of `past`; with several outputs
            `(batch, outputs, component, *grid)`, the first of them after one interval.
        """
        ...


def outputs_of_a_call(stepper: Stepper) -> int:
    """Return how many outputs one call of a stepper gives: more than one for a network with temporal bundles."""
    return int(getattr(stepper, "outputs", 1))


def next_outputs(stepper: Stepper, past: Tensor) -> list[Tensor]:
    """Return what one call of a stepper gives, one `(batch, component, *grid)` for each of its outputs."""
    made = stepper(past)
    return list(made.unbind(1)) if outputs_of_a_call(stepper) > 1 else [made]


@runtime_checkable
class TimeDependent(Protocol):
    """What a stepper has beside if the time since the start of a rollout matters to it.

    Attributes:
        asked_output: number of the output that is asked for next; the initial state has number 0.
    """

    asked_output: int
