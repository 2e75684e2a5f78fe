"""Checks of the refinement of a surrogate: what it needs, and what it does not go together with."""

from __future__ import annotations

from collections.abc import Iterator

from eddymark.config.findings import Problem, show
from eddymark.config.refinement import Refinement
from eddymark.config.schema import Flow, Surrogate

Path = tuple[str | int, ...]

_OF_FORMS = {"order": "differential", "steps": "integral"}
"""Options which only one form of the residual has."""

_TAKEN_WHOLE = {
    "boosts": "the sum of two networks has no last layer",
    "compile": "the network is called in two parts",
    "constraints": "they change what the equations have just been asked for",
}
"""Options with which a network cannot be refined, and why."""


def check_refinement(path: Path, surrogate: Surrogate, flow: Flow) -> Iterator[Problem]:
    """Yield what is wrong with the refinement of a model, but for its closure by itself and the network's last layer.

    Arguments:
        path: where the section of the model stands.
        surrogate: the section.
        flow: its flow.
    """
    refinement = surrogate.refinement
    if refinement is None:
        return
    where = (*path, "refinement")
    if surrogate.kind != "surrogate":
        expected = f"nothing with kind {surrogate.kind} (its steps are those of the equations already)"
        yield Problem(where, expected, "one")
        return
    for key, reason in _TAKEN_WHOLE.items():
        if value := getattr(surrogate, key):
            found = value if isinstance(value, str | bool) else [one.type for one in value]
            yield Problem((*path, key), f"nothing with refinement ({reason})", show(found))
    if (lead_times := surrogate.objective.lead_times) is not None:
        expected = "a curriculum without all_to_all with refinement (outputs follow one another)"
        yield Problem((*path, "objective", "curriculum"), expected, show(lead_times))
    if refinement.form == "differential":
        yield from _check_differences(where, refinement, surrogate, flow)
    for key, form in _OF_FORMS.items():
        default, value = Refinement.model_fields[key].default, getattr(refinement, key)
        if form != refinement.form and value != default:
            expected = f"{show(default)} with form {refinement.form} (only {form} has it)"
            yield Problem((*where, key), expected, show(value))


def _check_differences(where: Path, refinement: Refinement, surrogate: Surrogate, flow: Flow) -> Iterator[Problem]:
    """Check that a call has states enough for differences in time, and that the tendency is all that changes them."""
    if flow.forcing.type == "held_shells":
        expected = "integral with forcing held_shells (it acts after each step and is no part of the tendency)"
        yield Problem((*where, "form"), expected, "'differential'")
    states = surrogate.history + surrogate.bundle
    if states <= refinement.order:
        expected = f"form integral, or history + bundle above {refinement.order} (differences of that order)"
        yield Problem((*where, "form"), expected, f"'differential' with {states}")
