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
    """

    interval: float
    history: int

    def __call__(self, past: Tensor) -> Tensor:
        """Return the next output.

        Arguments:
            past: velocity `(batch, history, component, *grid)`, oldest first.

        Returns:
            velocity `(batch, component, *grid)` one interval after the last of `past`.
        """
        ...


@runtime_checkable
class TimeDependent(Protocol):
    """What a stepper has beside if the time since the start of a rollout matters to it.

    Attributes:
        output: number of the output that is asked for next; the initial state has number 0.
    """

    output: int
