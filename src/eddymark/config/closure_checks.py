"""Checks of the subgrid-scale model of one LES."""

from __future__ import annotations

import re
from collections.abc import Iterator

from eddymark.closures import CLOSURES
from eddymark.config.findings import Problem, nearest_name, show
from eddymark.config.names import CLOSURE_DIMENSIONS
from eddymark.config.schema import Closure
from eddymark.config.steppers import LEARNED_CLOSURE

Path = tuple[str | int, ...]

_CHOICES = {"input": ("gradient", "velocity"), "limiter": ("none", "volume", "pointwise")}
"""Arguments of a learned closure that are words, the default first."""


def check_closure(path: Path, closure: Closure, dimension: int) -> Iterator[Problem]:
    """Yield what is wrong with a registered closure and those of its constants that are more than positive numbers.

    Arguments:
        path: where its section stands.
        closure: the section.
        dimension: number of dimensions of the flow.
    """
    wanted = CLOSURE_DIMENSIONS.get(closure.type, dimension)
    if wanted != dimension:
        others = [name for name in CLOSURES if CLOSURE_DIMENSIONS.get(name, dimension) == dimension]
        expected = (
            f"a closure for {dimension} dimensions ({', '.join(sorted(others))}; {closure.type} is {wanted}-D only)"
        )
        yield Problem((*path, "type"), expected, show(closure.type))
    if closure.type == LEARNED_CLOSURE:
        for name, options in _CHOICES.items():
            value = closure.arguments.get(name, options[0])
            if value not in options:
                expected = f"{', '.join(options[:-1])} or {options[-1]}"
                yield Problem((*path, "arguments", name), expected, show(value), nearest_name(value, options))
    average, ratio = (closure.arguments.get(name) for name in ("average", "test_filter_ratio"))
    if average is not None and not _is_average(average, dimension):
        axes = "xyz"[:dimension]
        expected = f"volume, local, or the axes to average over, each once, such as {axes[-1]} or {axes[:2]}"
        yield Problem((*path, "arguments", "average"), expected, show(average))
    if isinstance(ratio, int | float) and 0 < ratio <= 1:
        yield Problem((*path, "arguments", "test_filter_ratio"), "a number above 1", show(ratio))


def _is_average(value: float | int | str | bool, dimension: int) -> bool:
    if value in ("volume", "local"):
        return True
    letters = isinstance(value, str) and re.fullmatch(f"[{'xyz'[:dimension]}]+", value)
    return bool(letters) and len(set(str(value))) == len(str(value))
