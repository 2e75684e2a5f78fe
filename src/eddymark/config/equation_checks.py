"""Checks of what a training asks of the equations."""

from __future__ import annotations

from collections.abc import Iterator

from eddymark.config.equations import Equations
from eddymark.config.findings import Problem, show
from eddymark.config.names import LEARNED_CONSTANTS
from eddymark.config.schema import Flow, Surrogate

Path = tuple[str | int, ...]

_OF_FORMS = {"order": "differential", "ends": "differential", "steps": "integral"}
"""Options which only one form of the residual has."""


def check_equations(path: Path, surrogate: Surrogate, flow: Flow) -> Iterator[Problem]:
    """Yield what is wrong with the equations in the objective of a model, but for their closure by itself.

    Arguments:
        path: where the section of the model stands.
        surrogate: the section.
        flow: its flow.
    """
    equations = surrogate.objective.equations
    if equations is None:
        if surrogate.schedule.select_by == "residual":
            expected = "error or spectrum without objective.equations (whose residual would select the weights)"
            yield Problem((*path, "schedule", "select_by"), expected, "'residual'")
        return
    where = (*path, "objective", "equations")
    if equations.form == "differential" and flow.forcing.type == "held_shells":
        expected = "integral with forcing held_shells (it acts after each step and is no part of the tendency)"
        yield Problem((*where, "form"), expected, "'differential'")
    for key, form in _OF_FORMS.items():
        default, value = Equations.model_fields[key].default, getattr(equations, key)
        if form != equations.form and value != default:
            expected = f"{show(default)} with form {equations.form} (it is of form {form})"
            yield Problem((*where, key), expected, show(value))
    yield from _check_outputs(path, surrogate, equations, flow)
    yield from _check_states(path, surrogate, equations)
    yield from _check_learned_constant((*where, "learned_constant"), surrogate, equations, flow)


def _check_outputs(path: Path, surrogate: Surrogate, equations: Equations, flow: Flow) -> Iterator[Problem]:
    """Check that the outputs of each window follow one another, and are enough for the differences."""
    objective, why = surrogate.objective, "the residual is that of outputs which follow one another"
    for key in ("pushforward", "teacher_forcing"):
        if getattr(objective, key):
            yield Problem((*path, "objective", key), f"nothing with equations ({why})", show(getattr(objective, key)))
    needed = equations.order if equations.form == "differential" else 1
    expected = f"at least {needed} outputs (for differences of order {equations.order})"
    for index, stage in enumerate(objective.curriculum):
        where = (*path, "objective", "curriculum", index)
        if stage.all_to_all is not None:
            yield Problem((*where, "all_to_all"), f"nothing with equations ({why})", show(stage.all_to_all))
        elif stage.unroll < needed:
            yield Problem((*where, "unroll"), expected, show(stage.unroll))
    length = surrogate.schedule.validation_length
    if length < (needed - 0.5) * flow.sampling.interval:
        yield Problem((*path, "schedule", "validation_length"), expected, f"{length:g} turnover times")


def _check_states(path: Path, surrogate: Surrogate, equations: Equations) -> Iterator[Problem]:
    """Check that states are of the solver's space, and that nothing is asked for which they have anyway."""
    parts = surrogate.known_physics
    if surrogate.kind == "surrogate" and not parts:
        expected = "at least one part with objective.equations (without any, outputs hold modes which they have not)"
        yield Problem((*path, "known_physics"), expected, "none")
    solenoidal = surrogate.kind != "surrogate" or "incompressibility" in parts
    if equations.divergence_weight and solenoidal:
        expected = "0.0 for a model which is incompressible by itself"
        where = (*path, "objective", "equations", "divergence_weight")
        yield Problem(where, expected, show(equations.divergence_weight))


def _check_learned_constant(path: Path, surrogate: Surrogate, equations: Equations, flow: Flow) -> Iterator[Problem]:
    learned = equations.learned_constant
    if learned is None:
        return
    if equations.closure.type not in LEARNED_CONSTANTS:
        expected = f"nothing, or a closure with a constant to learn ({', '.join(LEARNED_CONSTANTS)})"
        yield Problem(path, expected, f"one with closure {equations.closure.type}")
    known = flow.trajectories("train")
    if learned.trajectory >= known > 0:
        expected = f"the number of a training trajectory, 0 … {known - 1}"
        yield Problem((*path, "trajectory"), expected, show(learned.trajectory))
    if surrogate.parallel.strategy == "fsdp":
        yield Problem(path, "nothing with strategy fsdp (each process would learn a constant of its own)", "one")
