"""Which steppers a flow compares, and what their folders are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from eddymark.config.schema import Flow, LargeEddySimulation

Kind = Literal["floor", "les", "surrogate", "hybrid", "control"]

CONTROLS = ("persistence", "matched_noise", "constrained_noise")
"""Steppers that know nothing, shown beside all others."""


@dataclass(frozen=True)
class StepperName:
    """One row of the comparison.

    Arguments:
        folder: name of its folder in `results/<flow>/validate/`.
        name: its name in tables, without the seed.
        kind: what it is.
        seed: training seed; None if it is not trained.
    """

    folder: str
    name: str
    kind: Kind
    seed: int | None = None


def stepper_names(flow: Flow) -> list[StepperName]:
    """Return all steppers of a flow: DNS, LES, trained models with their seeds, controls."""
    names = [StepperName("dns", "dns", "floor")]
    names += [StepperName(name, name, "les") for name in flow.large_eddy_simulations]
    for name, surrogate in flow.surrogates.items():
        names += [StepperName(f"{name}-seed{seed}", name, surrogate.kind, seed) for seed in surrogate.seeds]
    return names + [StepperName(name, name, "control") for name in CONTROLS]


def solvers(flow: Flow) -> dict[str, LargeEddySimulation]:
    """Return every LES of a flow by name: those that stand alone and those inside models."""
    inside = {name: model.solver for name, model in flow.surrogates.items() if model.solver is not None}
    return flow.large_eddy_simulations | inside


def is_measured(solver: LargeEddySimulation | None) -> bool:
    """Return whether a job measures the time step of an LES: there is one and the experiment does not fix it."""
    return solver is not None and solver.courant_number is None


def longest_history(flow: Flow) -> int:
    """Return how many outputs the surrogate with the longest memory needs.

    All steppers of a flow start at the last of this many test states, so that all are judged from the same one.
    """
    return max((surrogate.history for surrogate in flow.surrogates.values()), default=1)


def find_stepper(flow: Flow, folder: str) -> StepperName:
    """Return the stepper with a folder name.

    Raises:
        KeyError: if there is none.
    """
    return {stepper.folder: stepper for stepper in stepper_names(flow)}[folder]
