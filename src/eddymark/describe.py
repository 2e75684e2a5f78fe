"""`eddymark describe`: what a surrogate is made of, what it costs and how it sees a field."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text
from torch import nn

from eddymark.config.findings import Finding, nearest_name, show
from eddymark.config.loading import load_with_surrogate
from eddymark.config.schema import Experiment, Flow, Surrogate
from eddymark.config.steppers import learns_closure
from eddymark.errors import EddymarkError
from eddymark.operators.boosted import BoostedOperator
from eddymark.operators.cost import Memory, count_flops, measure_memory, weight_bytes
from eddymark.operators.description import (
    OtherGrid,
    commuting_shift,
    kept_modes,
    other_grids,
    parameters_by_part,
    receptive_radius,
    summary,
    try_other_grid,
)
from eddymark.stepping.build import trainable_stepper
from eddymark.stepping.large_eddy_simulation import LargeEddySimulation
from eddymark.stepping.network import network_of

Row = tuple[str, str]

_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_ROUNDING = 1e-11
_LARGEST = 4e9
"""Bytes that a measurement may need."""
_TOO_LARGE = "not measured: it would take too much memory"


def complete(
    experiment: Experiment, files: Sequence[Path], name: str, flow: str | None
) -> tuple[Experiment, list[str]]:
    """Return an experiment in which a surrogate occurs, and the flows for which it is described.

    These are the flows that have it or, if none has, all of them, with the surrogate of the folder `surrogates`.

    Arguments:
        experiment: what the files describe.
        files: the files in the order of merging; empty: nothing can be added.
        name: of the surrogate.
        flow: the only flow of interest.

    Raises:
        EddymarkError: if there is no such flow or surrogate; it names the one most like it.
    """
    if flow is not None and flow not in experiment.flows:
        raise _unknown("flow", f"a flow of the experiment ({', '.join(experiment.flows)})", flow, experiment.flows)
    flows = list(experiment.flows) if flow is None else [flow]
    having = [one for one in flows if name in experiment.flows[one].surrogates]
    if having:
        return experiment, having
    available = sorted(path.stem for path in (files[0].parent / "surrogates").glob("*.yaml")) if files else []
    if name in available:
        return load_with_surrogate(files, experiment, name, flows), flows
    options = sorted({*available, *(other for one in flows for other in experiment.flows[one].surrogates)})
    raise _unknown("surrogate", f"a surrogate ({', '.join(options)})", name, options)


def _unknown(key: str, expected: str, found: str, options: Sequence[str] | dict[str, Flow]) -> EddymarkError:
    return EddymarkError(str(Finding("command line", key, expected, show(found), nearest_name(found, options))))


def describe(experiment: Experiment, flow: str, name: str) -> list[Row]:
    """Return what there is to say of a surrogate of a flow, measured with its initial weights on the CPU.

    Arguments:
        experiment: the experiment.
        flow: one of its flows.
        name: one of the flow's surrogates.
    """
    surrogate = experiment.flows[flow].surrogates[name]
    points = experiment.flows[flow].large_eddy_grid.points
    steppers = []
    # Behaviour is measured in double precision, so that what is zero or equal can be told from what is small.
    for precision in (experiment.precision, "float64"):
        chosen = _uncompiled(experiment, flow, name).model_copy(update={"device": "cpu", "precision": precision})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            steppers.append(trainable_stepper(chosen, flow, name, surrogate.seeds[0], results=None).eval())
    stepper, precise = steppers
    rows = [("kind", _kind(surrogate)), ("grid", f"{_grid(points)}, {experiment.precision}")]
    found, alike = network_of(stepper, len(points)), network_of(precise, len(points))
    if isinstance(stepper, LargeEddySimulation):
        first = inspect.cleandoc(type(stepper.closure).__doc__ or "").split("\n\n")[0]
        rows.append(("closure", " ".join(first.split())))
        if found is None:
            return [*rows, *_parameters(stepper.closure)]
    assert found is not None
    assert alike is not None
    assert surrogate.operator is not None
    operator, channels = found
    batch = surrogate.schedule.batch_size
    memory = measure_memory(operator, channels=channels, points=points, batch=batch)
    if surrogate.constraints:
        types = ", ".join(constraint.type for constraint in surrogate.constraints)
        rows.append(("constraints", f"{types}, with energies of the training data"))
    if surrogate.refinement is not None:
        iterations = f"{surrogate.refinement.iterations} iterations on the residual of the equations in each call"
        rows.append(("refinement", f"{iterations}; what follows is of the network alone"))
    own = operator.second if isinstance(operator, BoostedOperator) else operator
    return [
        *rows,
        ("operator", f"{surrogate.operator.type}: {summary(own)}"),
        *_boosting(surrogate),
        *_parameters(operator),
        *_costs(operator, memory, channels, points, batch),
        *_behaviour(alike[0], memory, channels, points, batch),
    ]


def _uncompiled(experiment: Experiment, flow: str, name: str) -> Experiment:
    """Return an experiment in which a surrogate is not compiled: it takes minutes, and the network is the same."""
    configuration = experiment.flows[flow]
    surrogates = {
        one: surrogate.model_copy(update={"compile": False}) if one == name else surrogate
        for one, surrogate in configuration.surrogates.items()
    }
    flows = experiment.flows | {flow: configuration.model_copy(update={"surrogates": surrogates})}
    return experiment.model_copy(update={"flows": flows})


def _kind(surrogate: Surrogate) -> str:
    if surrogate.kind == "surrogate":
        known = f"; exact: {', '.join(surrogate.known_physics)}" if surrogate.known_physics else ""
        return f"surrogate: the network alone makes the step{known}"
    assert surrogate.solver is not None
    closure = surrogate.solver.closure.type
    if learns_closure(surrogate):
        calls = "called in each stage of every time step; what follows is of one call"
        return f"hybrid: LES whose closure is the network, {calls}"
    if surrogate.kind == "hybrid":
        return f"hybrid: LES (closure {closure}), then the network; what follows is the network's"
    return f"les: LES with fitted constants (closure {closure})"


def _boosting(surrogate: Surrogate) -> Iterator[Row]:
    if surrogate.boosts is not None:
        yield (
            "boosts",
            f"{surrogate.boosts}, whose network is kept and called first; what follows is of the sum of both",
        )


def _parameters(module: nn.Module) -> Iterator[Row]:
    parts = parameters_by_part(module)
    yield "parameters", _count(sum(parts.values()))
    yield from (("", f"{_count(number)} {part}") for part, number in parts.items())


def _costs(operator: nn.Module, memory: Memory, channels: int, points: tuple[int, ...], batch: int) -> Iterator[Row]:
    weights = weight_bytes(operator)
    trained = sum(value.numel() * value.element_size() for value in operator.parameters() if value.requires_grad)
    more = f"{_bytes(2 * trained)} for AdamW's moments and {_bytes(weights)} for the averaged weights"
    yield "memory", f"{_bytes(weights)} weights; in training {more} beside them"
    yield "", f"{_bytes(memory.forward)} beside weights at the peak of a forward pass of 1 sample"
    yield (
        "",
        f"{_bytes(memory.training)} beside weights at the peak of a training step over one output, batch of {batch}",
    )
    flops = count_flops(operator, channels=channels, points=points)
    yield "operations", f"{flops / 1e9:.3g} GFLOP per step and sample"
    yield "", "counted: matrix products, convolutions, attention, FFTs (2.5 N log₂ N); not what acts point by point"


def _behaviour(
    operator: nn.Module, memory: Memory, channels: int, points: tuple[int, ...], batch: int
) -> Iterator[Row]:
    reach = _TOO_LARGE
    # Double precision has up to twice the bytes.
    if 2 * memory.training / batch < _LARGEST:
        radius = receptive_radius(operator, channels=channels, points=points)
        whole = all(r == n // 2 for r, n in zip(radius, points, strict=True))
        reach = "the whole box" if whole else f"points up to {_grid(radius)} grid spacings away"
    yield "an output point sees", reach
    shift = commuting_shift(operator, channels=channels, points=points)
    spacings = "any number of" if shift == 1 else f"multiples of {shift}"
    yield "commutes with shifts by", "none" if shift is None else f"{spacings} grid spacings"
    modes = kept_modes(operator)
    if modes is not None:
        resolved = tuple((n - 1) // 3 for n in points)
        yield "Fourier modes", f"up to {_grid(modes)}; fields on the LES grid have modes up to {_grid(resolved)}"
    for grid in other_grids(points):
        found = _TOO_LARGE
        if 2 * memory.forward * math.prod(grid) / math.prod(points) < _LARGEST:
            found = _on_other_grid(try_other_grid(operator, channels=channels, points=points, other=grid))
        yield f"on {_grid(grid)}", found


def _on_other_grid(other: OtherGrid) -> str:
    if other.difference is None:
        return f"refuses: {other.refusal}"
    if other.difference < _ROUNDING:
        return "output for the same smooth field is the same to rounding"
    return f"output for the same smooth field differs by {100 * other.difference:.3g} %"


def _grid(numbers: Sequence[int]) -> str:
    return " × ".join(map(str, numbers))


def _count(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _bytes(number: int) -> str:
    unit, name = next(((unit, name) for unit, name in _UNITS if number >= unit), _UNITS[-1])
    return f"{number / unit:.3g} {name}"


def show_description(title: str, rows: Sequence[Row]) -> None:
    """Print rows as a table in a terminal and as lines elsewhere."""
    console = Console()
    if console.is_terminal:
        table = Table(Column(style="bold", no_wrap=True), Column(), box=None, show_header=False, title=title)
        for key, value in rows:
            table.add_row(key, Text(value))
        console.print(table)
        return
    print(title)
    for key, value in rows:
        for number, line in enumerate(value.splitlines()):
            print(f"  {'' if number else key:24}{line}")
