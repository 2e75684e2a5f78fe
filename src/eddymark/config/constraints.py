"""Typed description of a constraint on the outputs of a model which comes from reference data."""

from __future__ import annotations

from typing import Literal

from eddymark.config.fields import Model, Positive, PositiveInteger

DEFAULT_FACTOR = 2.0
"""Of a cap: DNS itself seldom reaches it, and what does nothing but press against it is log10 2 = 0.3 decades off."""


class Constraint(Model):
    """Energies of shells limited by, or set to, those of the training data; the report marks it and its activity."""

    type: Literal["shell_energy_cap", "shell_energy"]
    """shell_energy_cap: shells have at most `factor` times their mean energy; shell_energy: exactly their mean one."""
    factor: Positive | None = None
    """shell_energy_cap: highest energy of a shell in multiples of the mean one; default: 2."""
    shells: tuple[PositiveInteger, ...] | None = None
    """Shells round(|k|) on which it acts; default: all that the forcing does not hold."""
    training: bool = False
    """Whether it also acts on the outputs from which the training loss is computed, not on those of rollouts only."""
