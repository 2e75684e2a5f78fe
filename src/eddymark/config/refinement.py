"""Typed description of a refinement: what each call of a trained surrogate does after its network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from eddymark.config.closure import Closure
from eddymark.config.fields import Model, Positive


class Refinement(Model):
    """The last layer, opened to all modes, is fitted to the equations in each call, for each trajectory by itself."""

    iterations: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Evaluations of the residual and of its gradient in each call."""
    learning_rate: Positive = 0.3
    """Largest change in an iteration, in what the residual at the start makes of a state in an interval; falls to 0."""
    form: Literal["differential", "integral"] = "differential"
    """Rate of change between outputs against the tendency, or each output against solver steps from the one before."""
    order: Literal[2, 4] = 2
    """differential: order of the differences in time."""
    steps: Annotated[int, Field(ge=1, le=1000)] = 1
    """integral: solver steps per output interval."""
    closure: Closure = Closure()
    """Subgrid-scale model of the equations."""
