"""Typed description of what training asks of the equations: which residual, of which equations, in which norm."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from eddymark.config.closure import Closure
from eddymark.config.fields import Model, NonNegative, Positive


class LearnedConstant(Model):
    """The constant of the closure is a parameter: it is fitted to a known trajectory while the model is trained."""

    learning_rate: Positive = 1e-3
    """Its largest one; it rises and falls like that of the model."""
    trajectory: Annotated[int, Field(ge=0, le=10**9)] = 0
    """Number of the known trajectory among those of the training data, counted from 0."""


class Equations(Model):
    """Training minimises the residual of the equations: initial states are all that it needs of a DNS."""

    weight: Positive = 1.0
    """Weight of the relative residual."""
    form: Literal["differential", "integral"] = "differential"
    """Rate of change between outputs against the tendency, or each output against solver steps from the one before."""
    order: Literal[2, 4] = 2
    """differential: order of the differences in time."""
    ends: bool = True
    """differential: ask for the equations at the first and last outputs of a window, too, by one-sided differences."""
    steps: Annotated[int, Field(ge=1, le=1000)] = 1
    """integral: solver steps per output interval."""
    norm_order: Annotated[float, Field(ge=-4, le=4)] = 0.0
    """Order of the Sobolev norm of the residual: 0 is the mean square, -1 the norm H^-1."""
    closure: Closure = Closure()
    """Subgrid-scale model of the equations."""
    learned_constant: LearnedConstant | None = None
    divergence_weight: NonNegative = 0.0
    """Weight of the relative divergence, for a model which is not incompressible by itself."""
