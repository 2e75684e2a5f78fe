"""Checks of one LES or one surrogate."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

from eddymark.closures import CLOSURES
from eddymark.config.closure_checks import check_closure
from eddymark.config.equation_checks import check_equations
from eddymark.config.findings import Problem, nearest_name, show
from eddymark.config.names import TRAINED_CLOSURES, registered_closures, registered_operators
from eddymark.config.refinement_checks import check_refinement
from eddymark.config.schema import WEIGHTS_FILE, Flow, LargeEddySimulation, Stretch, Surrogate
from eddymark.config.signatures import constructor_arguments
from eddymark.config.steppers import LEARNED_CLOSURE, learns_closure
from eddymark.config.surrogate_checks import check_stepping
from eddymark.config.training import Objective
from eddymark.operators import OPERATORS

Path = tuple[str | int, ...]

STABILITY_LIMITS = {"runge_kutta_4": 2.8, "runge_kutta_3": 1.7}
"""Largest courant_number of each integrator: where its stability region leaves the imaginary axis."""

MOST_OUTPUTS = 10**6
"""Most outputs of a stretch of data or a rollout."""

_GIVEN_TO_CLOSURES = ("space", "filter_width", "viscosity", "operator")
_GIVEN_TO_OPERATORS = ("in_channels", "out_channels", "dimension", "axes", "input_times", "output_times")


def intervals(stretch: Stretch, interval: float) -> int:
    """Return how many output intervals fit into a stretch."""
    return count(stretch.length, interval)


def count(length: float, interval: float) -> int:
    """Return how many intervals a length has, `MOST_OUTPUTS` + 1 if there are more."""
    return round(min(length / interval, MOST_OUTPUTS + 1))


def check_time_step(path: Path, integrator: str, courant_number: float | None) -> Iterator[Problem]:
    """Yield a problem if the time step may be unstable; one that is measured is not."""
    limit = STABILITY_LIMITS[integrator]
    if courant_number is not None and courant_number > limit:
        expected = f"a stable time step, at most {limit} for {integrator}"
        yield Problem((*path, "courant_number"), expected, show(courant_number))


def check_large_eddy_simulation(
    path: Path, simulation: LargeEddySimulation, dimension: int, trained: bool = False
) -> Iterator[Problem]:
    """Yield what is wrong with one LES.

    Arguments:
        path: where its section stands.
        simulation: the section.
        dimension: number of dimensions of the flow.
        trained: whether its closure is fitted in training.
    """
    yield from check_time_step(path, simulation.integrator, simulation.courant_number)
    kind = simulation.closure.type
    yield from registered_closures((*path, "closure", "type"), kind)
    if kind not in CLOSURES:
        return
    if kind == LEARNED_CLOSURE and not trained:
        expected = "a closure without a network (one that is learned goes under surrogates, kind: hybrid)"
        yield Problem((*path, "closure", "type"), expected, show(kind))
    if kind in TRAINED_CLOSURES and not trained:
        expected = "a closure whose constants are known (one to be fitted goes under surrogates, kind: les)"
        yield Problem((*path, "closure", "type"), expected, show(kind))
    yield from _check_arguments(
        (*path, "closure", "arguments"),
        kind,
        CLOSURES[kind],
        simulation.closure.arguments,
        _GIVEN_TO_CLOSURES,
    )
    yield from check_closure((*path, "closure"), simulation.closure, dimension)


def check_surrogate(path: Path, surrogate: Surrogate, flow: Flow) -> Iterator[Problem]:
    """Yield what is wrong with one surrogate of a flow."""
    if surrogate.kind == "les" and learns_closure(surrogate):
        yield Problem((*path, "kind"), "hybrid with closure learned (a network gives the stress)", show(surrogate.kind))
        return
    needed = {"surrogate": ("operator",), "hybrid": ("operator", "solver"), "les": ("solver",)}[surrogate.kind]
    for key in ("operator", "solver"):
        value = getattr(surrogate, key)
        if key in needed and value is None:
            yield Problem((*path, key), f"a section (kind {surrogate.kind} needs it)", "nothing")
        if key not in needed and value is not None:
            yield Problem((*path, key), f"no such section with kind {surrogate.kind}", "one")
    if surrogate.solver is not None:
        yield from check_large_eddy_simulation((*path, "solver"), surrogate.solver, len(flow.sides), trained=True)
        closure = surrogate.solver.closure.type
        if surrogate.kind == "les" and closure in CLOSURES and closure not in TRAINED_CLOSURES:
            expected = f"a closure with constants to fit ({', '.join(TRAINED_CLOSURES)})"
            yield Problem((*path, "solver", "closure", "type"), expected, show(closure))
    yield from check_stepping(path, surrogate, flow)
    if (refinement := surrogate.refinement) is not None:
        where = (*path, "refinement")
        yield from check_large_eddy_simulation(where, LargeEddySimulation(closure=refinement.closure), len(flow.sides))
    yield from check_refinement(path, surrogate, flow)
    yield from _check_operator((*path, "operator"), surrogate, flow)
    yield from _check_curriculum((*path, "objective", "curriculum"), surrogate.objective)
    if (equations := surrogate.objective.equations) is not None:
        where = (*path, "objective", "equations")
        yield from check_large_eddy_simulation(where, LargeEddySimulation(closure=equations.closure), len(flow.sides))
    yield from check_equations(path, surrogate, flow)
    yield from _check_windows(path, surrogate, flow)
    if surrogate.schedule.warm_up_steps >= surrogate.schedule.steps:
        expected = f"fewer than the training steps ({surrogate.schedule.steps})"
        yield Problem((*path, "schedule", "warm_up_steps"), expected, show(surrogate.schedule.warm_up_steps))
    yield from _check_parallel((*path, "parallel"), surrogate)
    if not surrogate.seeds or len(set(surrogate.seeds)) < len(surrogate.seeds):
        yield Problem((*path, "seeds"), "at least one seed and each once", show(surrogate.seeds))


def _check_operator(path: Path, surrogate: Surrogate, flow: Flow) -> Iterator[Problem]:
    operator = surrogate.operator
    if operator is None:
        return
    yield from registered_operators((*path, "type"), operator.type)
    if operator.type not in OPERATORS:
        return
    where = (*path, "arguments")
    yield from _check_arguments(where, operator.type, OPERATORS[operator.type], operator.arguments, _GIVEN_TO_OPERATORS)
    yield from _check_weights_file((*where, WEIGHTS_FILE), operator.arguments.get(WEIGHTS_FILE))
    if "modes" not in operator.arguments:
        return
    points, modes = flow.large_eddy_grid.points, operator.arguments["modes"]
    per_axis = list(modes) if isinstance(modes, list | tuple) else [modes] * len(points)
    highest = (min(points) - 1) // 2
    if len(per_axis) != len(points) or not all(type(m) is int and m >= 1 for m in per_axis):
        expected = f"a number of Fourier modes per sign, or {len(points)} of them"
        yield Problem((*where, "modes"), expected, show(modes))
    elif any(m > (n - 1) // 2 for m, n in zip(per_axis, points, strict=True)):
        expected = f"Fourier modes per sign that the LES grid {show(points)} has, at most {highest}"
        yield Problem((*where, "modes"), expected, show(modes))


def _check_weights_file(path: Path, file: Any) -> Iterator[Problem]:
    """Yield a problem unless there is such a file, or none is named."""
    if file is None or pathlib.Path(str(file)).is_file():
        return
    beside = pathlib.Path(str(file)).parent
    files = (str(other) for other in beside.iterdir() if other.is_file()) if beside.is_dir() else ()
    expected = "the path of an existing file (from the working directory)"
    yield Problem(path, expected, show(file), nearest_name(file, files))


def _check_arguments(
    path: Path, kind: str, dotted_path: str, arguments: dict[str, Any], given: Iterable[str]
) -> Iterator[Problem]:
    """Yield a problem for each argument that the registered class does not take or misses, or with a wrong value."""
    accepted = constructor_arguments(dotted_path)
    if accepted is None:
        return
    own = {name: argument for name, argument in accepted.items() if name not in given}
    nearest = {name: nearest_name(name, own) for name in arguments if name not in own}
    for name, option in nearest.items():
        expected = f"an argument of {kind} ({', '.join(own) or 'it has none'})"
        yield Problem((*path, name), expected, "an unknown key", option)
    for name, argument in own.items():
        if argument.required and name not in arguments and name not in nearest.values():
            yield Problem((*path, name), f"a value ({kind} needs it)", "nothing")
        if name in arguments and (wanted := argument.expected(arguments[name])) is not None:
            yield Problem((*path, name), wanted, show(arguments[name]))


def _check_curriculum(path: Path, objective: Objective) -> Iterator[Problem]:
    starts = [stage.start for stage in objective.curriculum]
    increasing = all(a < b for a, b in itertools.pairwise(starts))
    if not starts or starts[0] != 0 or not increasing:
        yield Problem(path, "stages whose start increases from 0", f"starts {show(starts)}")


def _check_parallel(path: Path, surrogate: Surrogate) -> Iterator[Problem]:
    """Check that every process gets an equal part of each batch."""
    parallel, batch = surrogate.parallel, surrogate.schedule.batch_size
    if batch % (parallel.devices * parallel.nodes):
        expected = f"devices × nodes that divide batch_size ({batch})"
        yield Problem((*path, "devices"), expected, f"{parallel.devices} × {parallel.nodes}")
    if parallel.strategy == "fsdp" and parallel.devices * parallel.nodes == 1:
        yield Problem((*path, "strategy"), "auto with a single device (fsdp spreads a model over several)", "'fsdp'")


def _check_windows(path: Path, surrogate: Surrogate, flow: Flow) -> Iterator[Problem]:
    """Check that histories and unrolled windows fit into the stretches of data."""
    sampling = flow.sampling
    outputs = {
        split: 1 + intervals(getattr(sampling.splits, split), sampling.interval)
        for split in ("train", "validation", "test")
    }
    history = surrogate.history
    shortest = min(outputs, key=lambda split: outputs[split])
    if outputs[shortest] < 2:
        return
    if history >= outputs[shortest]:
        expected = f"fewer outputs than a {shortest} stretch has ({outputs[shortest]})"
        yield Problem((*path, "history"), expected, show(history))
        return
    room = outputs["train"] - history
    for index, stage in enumerate(surrogate.objective.curriculum):
        if stage.outputs > room:
            expected = f"at most {room} intervals (a training stretch less the history)"
            key = "unroll" if stage.all_to_all is None else "all_to_all"
            yield Problem((*path, "objective", "curriculum", index, key), expected, show(stage.outputs))
    longest = outputs["validation"] - history
    if count(surrogate.schedule.validation_length, sampling.interval) > longest:
        expected = f"at most {longest * sampling.interval:g} (a validation stretch less the history)"
        yield Problem((*path, "schedule", "validation_length"), expected, show(surrogate.schedule.validation_length))
