"""Which steppers a flow compares, and what their folders are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from eddymark.config.schema import Flow, LargeEddySimulation, Surrogate

Kind = Literal["floor", "les", "surrogate", "hybrid", "control"]

CONTROLS = ("persistence", "matched_noise", "constrained_noise")
"""Steppers that know nothing, shown beside all others."""


LEARNED_CLOSURE = "learned"
"""Closure of a hybrid whose network is the subgrid-scale model instead of a correction of outputs."""

FINEST_GRID = 2
"""Points per axis of the finest alternative grid, in those of `large_eddy_grid`: DNS states are kept up to there."""


@dataclass(frozen=True)
class StepperName:
    """One row of the comparison.

    Arguments:
        folder: name of its folder in `results/<flow>/validate/`.
        name: its name in tables, without the seed.
        kind: what it is.
        seed: training seed; None if it is not trained.
        points: the alternative grid on which it runs; None for the grid of all others.
        model: of a noise control, the model through whose constraints the noise goes; None for any other stepper.
    """

    folder: str
    name: str
    kind: Kind
    seed: int | None = None
    points: tuple[int, ...] | None = None
    model: str | None = None


@dataclass(frozen=True)
class Solver:
    """An LES that stands alone or inside a model.

    Arguments:
        simulation: closure and time stepping.
        points: the alternative grid on which it runs; None for `large_eddy_grid`.
    """

    simulation: LargeEddySimulation
    points: tuple[int, ...] | None = None

    @property
    def is_measured(self) -> bool:
        """Whether a job measures its time step: the experiment does not fix it."""
        return self.simulation.courant_number is None


def stepper_names(flow: Flow) -> list[StepperName]:
    """Return all steppers of a flow: DNS, LES on all grids, trained models with their seeds, controls.

    A model with constraints has a control of its own: noise pushed through them.
    """
    names = [StepperName("dns", "dns", "floor")]
    names += [StepperName(name, name, "les", points=one.points) for name, one in _alone(flow).items()]
    for name, surrogate in flow.surrogates.items():
        names += [StepperName(f"{name}-seed{seed}", name, surrogate.kind, seed) for seed in surrogate.seeds]
    names += [StepperName(name, name, "control") for name in CONTROLS]
    constrained = [name for name, surrogate in flow.surrogates.items() if surrogate.constraints]
    return names + [StepperName(noise_name(name), noise_name(name), "control", model=name) for name in constrained]


def noise_name(model: str) -> str:
    """Return the name of the control that pushes noise through the constraints of a model."""
    return f"{model}-noise"


def solvers(flow: Flow) -> dict[str, Solver]:
    """Return every LES of a flow by name: those that stand alone, on all grids, and those inside models."""
    inside = {name: Solver(model.solver) for name, model in flow.surrogates.items() if model.solver is not None}
    return _alone(flow) | inside


def _alone(flow: Flow) -> dict[str, Solver]:
    found = {name: Solver(simulation) for name, simulation in flow.large_eddy_simulations.items()}
    for points in flow.alternative_grids:
        found |= {
            f"{name}-{grid_suffix(points)}": Solver(simulation, points)
            for name, simulation in flow.large_eddy_simulations.items()
        }
    return found


def learns_closure(surrogate: Surrogate) -> bool:
    """Return whether the network of a model is the subgrid-scale model of its LES."""
    return surrogate.solver is not None and surrogate.solver.closure.type == LEARNED_CLOSURE


def closure_models(flow: Flow) -> dict[str, LargeEddySimulation]:
    """Return the LES inside those models which are nothing but an LES with a trained closure, by name."""
    return {
        name: model.solver
        for name, model in flow.surrogates.items()
        if model.solver is not None and (model.kind == "les" or learns_closure(model))
    }


def grid_suffix(points: tuple[int, ...]) -> str:
    """Return what the name of an LES on an alternative grid ends with: 24 for 24³ points, 32x64x64 for unequal ones."""
    return str(points[0]) if len(set(points)) == 1 else "x".join(map(str, points))


def needs_unfiltered_states(flow: Flow, points: tuple[int, ...]) -> bool:
    """Return whether states on an alternative grid need more than the filtered DNS on the LES grid holds."""
    coarser = all(n <= m for n, m in zip(points, flow.large_eddy_grid.points, strict=True))
    return not coarser or flow.large_eddy_grid.filter.type != "sharp"


def longest_history(flow: Flow) -> int:
    """Return how many outputs the surrogate with the longest memory needs.

    All steppers of a flow start at the last of this many test states, so that all are judged from the same one.
    """
    return max((surrogate.history for surrogate in flow.surrogates.values()), default=1)


def boosted_models(flow: Flow, model: str) -> list[str]:
    """Return the surrogates whose networks are kept in one of a flow: that which it boosts, what that boosts, ….

    Names which are unknown, or occur a second time, end the list.
    """
    models: list[str] = []
    name = flow.surrogates[model].boosts
    while name is not None and name in flow.surrogates and name not in (model, *models):
        models.append(name)
        name = flow.surrogates[name].boosts
    return models


def find_stepper(flow: Flow, folder: str) -> StepperName:
    """Return the stepper with a folder name.

    Raises:
        KeyError: if there is none.
    """
    return {stepper.folder: stepper for stepper in stepper_names(flow)}[folder]
