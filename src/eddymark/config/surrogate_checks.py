"""Checks of how a surrogate steps and is trained: options that do not go together."""

from __future__ import annotations

from collections.abc import Iterator

from eddymark.config.fields import KNOWN_PARTS, Model
from eddymark.config.findings import Problem, show, unknown_name
from eddymark.config.schema import Flow, Surrogate
from eddymark.config.steppers import boosted_models, learns_closure
from eddymark.config.training import Objective, Schedule

Path = tuple[str | int, ...]

_OF_SURROGATES = {
    "history": "a fitted closure sees the present state",
    "output": "only kind surrogate has a choice",
    "bundle": "only kind surrogate gives several outputs at once",
    "error_variances": "only kind surrogate restores incompressibility with a choice",
    "known_physics": "the solver of the others is all they know; a hybrid may leave out momentum",
}
"""Options which only kind surrogate has, or a hybrid within limits, and why."""

_NOT_OF_LEARNED_CLOSURES = {
    "history": "the stress follows from the present state",
    "boosts": "stresses of two networks are not summed",
    "known_physics": "no stress changes the mean flow",
    "constraints": "they act on outputs that a network makes, and this one makes a stress",
    "autocast": "the stress is a part of the solver, which keeps its precision",
}
"""Options which a hybrid does not have whose network is the subgrid-scale model, and why."""


def check_stepping(path: Path, surrogate: Surrogate, flow: Flow) -> Iterator[Problem]:
    """Yield what is wrong with how a model makes its outputs.

    Arguments:
        path: where its section stands; ends with its name.
        surrogate: the section.
        flow: its flow.
    """
    for key in ("autocast", "compile"):
        if surrogate.kind == "les" and getattr(surrogate, key):
            yield Problem((*path, key), "nothing with kind les (it has no network)", show(getattr(surrogate, key)))
    if surrogate.kind == "les" and surrogate.schedule.spectral_normalisation is not None:
        yield Problem((*path, "schedule", "spectral_normalisation"), "nothing with kind les (it has no network)", "one")
    if surrogate.autocast == "float16" and surrogate.parallel.strategy == "fsdp":
        expected = "bfloat16 or nothing with strategy fsdp (the scale of the gradients would not be that of all parts)"
        yield Problem((*path, "autocast"), expected, "'float16'")
    if surrogate.kind == "hybrid" and learns_closure(surrogate):
        yield from _check_learned_closure(path, surrogate)
    else:
        yield from _check_boosting(path, surrogate, flow)
    yield from _check_selection((*path, "schedule"), surrogate.schedule, flow)
    yield from _check_objective((*path, "objective"), surrogate.objective, flow)
    yield from _check_constraints((*path, "constraints"), surrogate, flow)
    yield from _check_lead_times(path, surrogate)
    if surrogate.kind != "surrogate":
        for key, reason in _OF_SURROGATES.items():
            default, value = Surrogate.model_fields[key].default, getattr(surrogate, key)
            if value != default and not _is_of_hybrid(key, surrogate):
                yield Problem((*path, key), f"{show(default)} with kind {surrogate.kind} ({reason})", show(value))
        return
    parts = surrogate.known_physics
    if len(set(parts)) < len(parts):
        yield Problem((*path, "known_physics"), "each part once", show(parts))
    if surrogate.output == "direct" and (acting := [part for part in parts if not _constrains(part, flow)]):
        expected = f"parts that act on a state whatever the one before, with output direct ({_constraints(flow)})"
        yield Problem((*path, "known_physics"), expected, show(acting[0]))
    if surrogate.error_variances != "equal" and "incompressibility" not in parts:
        expected = "'equal' without incompressibility in known_physics (nothing is restored)"
        yield Problem((*path, "error_variances"), expected, show(surrogate.error_variances))
    for index, stage in enumerate(surrogate.objective.curriculum):
        if stage.all_to_all is None and stage.unroll % surrogate.bundle:
            expected = f"a multiple of bundle ({surrogate.bundle})"
            yield Problem((*path, "objective", "curriculum", index, "unroll"), expected, show(stage.unroll))


def _check_learned_closure(path: Path, surrogate: Surrogate) -> Iterator[Problem]:
    """Check that a hybrid whose network is the subgrid-scale model has no option of corrections."""
    for key, reason in _NOT_OF_LEARNED_CLOSURES.items():
        default, value = Surrogate.model_fields[key].default, getattr(surrogate, key)
        # Other known physics is refused in every hybrid.
        if value != default and (key != "known_physics" or _is_of_hybrid(key, surrogate)):
            expected = f"{show(default) if default else 'nothing'} with closure learned ({reason})"
            yield Problem((*path, key), expected, value[0].type if key == "constraints" else show(value))


def _is_of_hybrid(key: str, surrogate: Surrogate) -> bool:
    """Return whether a hybrid has an option which else only kind surrogate has: a history, or no exact mean flow."""
    left_out = set(KNOWN_PARTS) - set(surrogate.known_physics)
    free = key == "known_physics" and left_out <= {"momentum"}
    return surrogate.kind == "hybrid" and (free or key == "history")


def _highest_shell(flow: Flow) -> int | None:
    """Return the highest shell that the LES grid resolves; None if the grid and the box do not go together."""
    grid = flow.large_eddy_grid.points
    if len(grid) != len(flow.sides):
        return None
    return int(min((n - 1) // 3 * max(flow.sides) / side for n, side in zip(grid, flow.sides, strict=True)) + 1e-9)


def _check_constraints(path: Path, surrogate: Surrogate, flow: Flow) -> Iterator[Problem]:
    """Check constraints that come from the training data."""
    constraints = surrogate.constraints
    if not constraints:
        return
    if surrogate.kind == "les":
        yield Problem(path, "nothing with kind les (constraints are for what a network makes)", constraints[0].type)
        return
    if flow.is_transient:
        expected = f"nothing in the transient flow {flow.type} (the energies of its shells change with time)"
        yield Problem(path, expected, constraints[0].type)
        return
    types = [constraint.type for constraint in constraints]
    if len(set(types)) < len(types):
        yield Problem(path, "each type once", show(tuple(types)))
    exact = surrogate.kind == "hybrid" or "forcing" in surrogate.known_physics
    held = set(flow.forcing.energies or {}) if exact else set()
    highest = _highest_shell(flow)
    for index, constraint in enumerate(constraints):
        if constraint.type == "shell_energy" and constraint.factor is not None:
            yield Problem((*path, index, "factor"), "no factor with shell_energy", show(constraint.factor))
        shells = constraint.shells
        if shells is None or highest is None:
            continue
        if not shells or len(set(shells)) < len(shells) or max(shells) > highest:
            yield Problem((*path, index, "shells"), f"numbers of shells, each once, at most {highest}", show(shells))
        elif held & set(shells):
            expected = f"shells other than {', '.join(map(str, sorted(held)))}, whose energy the forcing holds"
            yield Problem((*path, index, "shells"), expected, show(shells))


def _check_boosting(path: Path, surrogate: Surrogate, flow: Flow) -> Iterator[Problem]:
    """Check that a surrogate adds to one which makes its steps as it does and is trained with the same seeds."""
    name = surrogate.boosts
    if name is None:
        return
    own, where = path[-1], (*path, "boosts")
    if surrogate.kind == "les":
        yield Problem(where, "nothing with kind les (it has no network)", show(name))
        return
    options = [other for other, one in flow.surrogates.items() if other != own and one.kind == surrogate.kind]
    if name not in flow.surrogates:
        yield unknown_name(where, name, f"another {surrogate.kind} of the flow", options)
        return
    if name == own or own in boosted_models(flow, name):
        yield Problem(where, "a surrogate that does not itself boost this one", show(name))
        return
    first = flow.surrogates[name]
    for key in ("kind", "solver", "history", "output", "bundle", "known_physics", "error_variances"):
        wanted, found = getattr(first, key), getattr(surrogate, key)
        if wanted != found:
            simple = not isinstance(wanted, Model | None) and not isinstance(found, Model | None)
            value = (show(wanted), show(found)) if simple else ("the same", "another")
            yield Problem((*path, key), f"{value[0]} as in {name}, which it boosts", value[1])
            return
    for model in (first, surrogate):
        if model.objective.lead_times is not None:
            yield Problem(where, "a surrogate without all_to_all, in one without (sums have no lead time)", show(name))
            return
    missing = [seed for seed in surrogate.seeds if seed not in first.seeds]
    if missing:
        expected = f"seeds with which {name}, which it boosts, is trained {show(first.seeds)}"
        yield Problem((*path, "seeds"), expected, show(missing[0]))


def _check_lead_times(path: Path, surrogate: Surrogate) -> Iterator[Problem]:
    """Check that training over all lead times has a network that can be asked for them, and true states as inputs."""
    for index, stage in enumerate(surrogate.objective.curriculum):
        where = (*path, "objective", "curriculum", index, "all_to_all")
        if stage.all_to_all is None:
            continue
        if surrogate.kind != "surrogate":
            expected = f"nothing with kind {surrogate.kind} (its solver's steps are of one interval)"
            yield Problem(where, expected, show(stage.all_to_all))
        if surrogate.bundle > 1:
            yield Problem(where, "nothing with a bundle (a lead time is that of one output)", show(stage.all_to_all))
        if stage.unroll > 1:
            yield Problem(where, "nothing in a stage that unrolls (nothing is fed back)", show(stage.all_to_all))
        if surrogate.augmentation.input_noise > 0:
            expected = "nothing with input_noise (states are inputs and targets)"
            yield Problem(where, expected, show(stage.all_to_all))


def _constrains(part: str, flow: Flow) -> bool:
    """Return whether a part of the known physics is a constraint on each state by itself."""
    return part in ("incompressibility", "momentum") or (part == "forcing" and flow.forcing.type == "held_shells")


def _constraints(flow: Flow) -> str:
    parts = ("forcing", "incompressibility", "momentum")
    return ", ".join(part for part in parts if _constrains(part, flow))


def _check_objective(path: Path, objective: Objective, flow: Flow) -> Iterator[Problem]:
    weights = ("error_weight", "shell_energy_weight", "sobolev_weight", "band_weight")
    if not objective.compares and objective.equations is None:
        yield Problem((*path, "error_weight"), f"a positive weight here or in {', '.join(weights[1:])}", "0.0")
    bands, highest = objective.bands, _highest_shell(flow)
    if bands is not None and highest is not None:
        increasing = bool(bands) and list(bands) == sorted(set(bands))
        if not increasing or bands[-1] > highest:
            yield Problem((*path, "bands"), f"increasing numbers of shells, at most {highest}", show(bands))
    if objective.bands is not None and not objective.band_weight:
        yield Problem((*path, "bands"), "no bands without a band_weight", show(bands))
    unrolls = max((stage.unroll for stage in objective.curriculum), default=1)
    for key in ("pushforward", "teacher_forcing"):
        if getattr(objective, key) and unrolls == 1:
            yield Problem((*path, key), "an unroll above 1 in the curriculum (else nothing is fed back)", "1")
    if (term := objective.dissipativity) is not None and not 1 < term.scales[0] <= term.scales[1]:
        yield Problem((*path, "dissipativity", "scales"), "two factors above 1, not decreasing", show(term.scales))


def _check_selection(path: Path, schedule: Schedule, flow: Flow) -> Iterator[Problem]:
    """Check how long selection rollouts are: what changes with time is compared with the DNS at the same times."""
    length = schedule.selection_length
    if length is None:
        return
    if schedule.select_by != "spectrum":
        yield Problem((*path, "selection_length"), "no length without select_by: spectrum", show(length))
    elif flow.is_transient and length != schedule.validation_length:
        expected = f"validation_length ({schedule.validation_length:g}) in a transient flow"
        yield Problem((*path, "selection_length"), expected, show(length))
