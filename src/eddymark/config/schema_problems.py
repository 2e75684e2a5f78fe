"""What pydantic finds wrong with an experiment, in the words of who wrote it."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from eddymark.config.documents import Document, Keys
from eddymark.config.findings import Problem, nearest_name, show
from eddymark.config.schema import Experiment

_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "text",
    "dict": "a section of keys",
    "model": "a section of keys",
    "tuple": "a list",
}


def schema_problems(error: ValidationError, document: Document) -> list[Problem]:
    """Translate pydantic's errors into problems, one per key."""
    problems: dict[Keys, Problem] = {}
    for detail in error.errors(include_url=False):
        path, is_missing = _real_path(detail["loc"], document.value), detail["type"] == "missing"
        if is_missing:
            problems.setdefault(path, Problem(path, "a value (this key is required)", "nothing"))
        elif detail["type"] == "extra_forbidden":
            options = sorted(section_at(path[:-1]).model_fields)
            nearest = nearest_name(path[-1], options)
            expected = "a known key" if nearest else f"one of the keys {', '.join(options)}"
            problems.setdefault(path, Problem(path, expected, "an unknown key", nearest))
        else:
            expected = _expected(detail)
            options = re.findall(r"'([^']+)'", expected) if detail["type"] == "literal_error" else []
            problem = Problem(path, expected, show(detail["input"]), nearest_name(detail["input"], options))
            problems.setdefault(path, problem)
    # A misspelt required key is one mistake, not two.
    misspelt = {(*p.path[:-1], p.nearest) for p in problems.values() if p.found == "an unknown key"}
    return [p for p in problems.values() if not (p.found == "nothing" and p.path in misspelt)]


def _real_path(location: tuple[str | int, ...], value: Any) -> Keys:
    """Return the part of pydantic's location that is made of keys and indices (it adds names of types)."""
    path: list[str | int] = []
    for key in location:
        if isinstance(value, dict):
            # Keys such as shell numbers may be numbers in the file and text in the location.
            real = next((known for known in value if str(known) == str(key)), key)
            path.append(real)
            value = value.get(real)
        elif isinstance(value, list | tuple) and isinstance(key, int):
            path.append(key)
            value = value[key] if key < len(value) else None
        else:
            break
    return tuple(path)


def _expected(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in ("too_short", "too_long"):
        length = context.get("min_length", context.get("max_length"))
        return f"a list of {length} values"
    if "arguments" in detail["loc"] and not isinstance(detail["input"], dict):
        return "a number, a word or true/false"
    return _EXPECTED.get(kind.split("_")[0], detail["msg"].removeprefix("Input should be "))


def section_at(path: Sequence[str | int]) -> type[BaseModel]:
    """Return the model that describes the section at a path of the resolved experiment."""
    kind: Any = Experiment
    for key in path:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[str(key)].annotation
        else:
            arguments = typing.get_args(kind)
            kind = arguments[1] if typing.get_origin(kind) is dict else arguments[0]
        if typing.get_origin(kind) in (typing.Union, types.UnionType):
            kind = next(a for a in typing.get_args(kind) if a is not type(None))
    return typing.cast(type[BaseModel], kind)
