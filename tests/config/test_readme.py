"""config/README.md lists exactly the keys of the schema, with their defaults."""

from __future__ import annotations

import importlib
import inspect
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from eddymark.closures import CLOSURES
from eddymark.config.schema import Experiment, Flow, LargeEddySimulation, Surrogate
from eddymark.operators import OPERATORS

README = Path(__file__).parents[2] / "config" / "README.md"
GIVEN = ("space", "filter_width", "viscosity", "operator")
"""Arguments of closures which are not constants of the configuration."""
TABLES = {
    "The experiment": (Experiment, ("flows",)),
    "A flow": (Flow, ("large_eddy_simulations", "surrogates")),
    "An LES": (LargeEddySimulation, ()),
    "A surrogate": (Surrogate, ("solver",)),
}
TIMES = ("input_times", "output_times")
"""Arguments of an operator which follow from the experiment, as its channels, dimension and axes do."""


def section(annotation: Any) -> type[BaseModel] | None:
    """Return the model inside an annotation such as `tuple[Model, ...] | None`."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    return next(filter(None, map(section, typing.get_args(annotation))), None)


def keys(model: type[BaseModel], elsewhere: tuple[str, ...], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        yield prefix + name, field
        below = section(field.annotation)
        if below is not None and name not in elsewhere:
            yield from keys(below, (), f"{prefix}{name}.")


def rows(title: str) -> dict[str, str]:
    """Return the default column by key of the table below a heading."""
    text = re.search(rf"^## {title}.*?(?=^## |\Z)", README.read_text(encoding="utf-8"), re.M | re.S)
    assert text is not None
    found = re.findall(r"^\| `([^`]+)` \|[^|]*\| ([^|]+) \|", text[0], re.M)
    assert len(dict(found)) == len(found)
    return dict(found)


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if isinstance(value, BaseModel) or value == {}:
        return "`{}`"
    if isinstance(value, tuple):
        return "one stage" if value and isinstance(value[0], BaseModel) else f"`{list(value)}`"
    return f"`{written(value)}`"


def written(value: Any) -> str:
    """Return a value as YAML has it."""
    words = {None: "null", True: "true", False: "false"}
    if isinstance(value, tuple):
        return str(list(value))
    return words[value] if value is None or isinstance(value, bool) else str(value)


def test_every_key_of_the_schema_is_described_with_its_default_and_no_other() -> None:
    for title, (model, elsewhere) in TABLES.items():
        assert rows(title) == {key: default(field) for key, field in keys(model, elsewhere)}, title


def test_every_closure_is_described_with_its_constants_and_their_defaults() -> None:
    table = README.read_text(encoding="utf-8").partition("## Closures")[2].partition("## A surrogate")[0]
    found = {row[0]: row[1] for row in re.findall(r"^\| `([a-z_]+)` \| ([^|]+) \|", table, re.M)}
    assert found.keys() == CLOSURES.keys()
    for name, path in CLOSURES.items():
        module, _, cls = path.rpartition(".")
        parameters = inspect.signature(getattr(importlib.import_module(module), cls)).parameters
        own = {key: value for key, value in parameters.items() if key not in GIVEN}
        stated = [
            f"`{key}` (required" if value.default is value.empty else f"`{key}: {value.default}`"
            for key, value in own.items()
            if value.kind is value.KEYWORD_ONLY
        ]
        assert all(text in found[name] for text in stated), name
        assert found[name].count("`") == 2 * len(stated), name


def test_every_operator_is_described_with_its_arguments_and_their_defaults() -> None:
    table = README.read_text(encoding="utf-8").partition("## Operators")[2]
    found = {row[0]: row[1] for row in re.findall(r"^\| `([a-z0-9_]+)` \| ([^|]+) \|", table, re.M)}
    expected = {name: described(path) for name, path in OPERATORS.items()}
    missing = [f"| `{name}` | {arguments} |" for name, arguments in expected.items() if found.get(name) != arguments]
    assert not missing, "rows that config/README.md lacks:\n" + "\n".join(missing)
    assert found.keys() == expected.keys()


def described(path: str) -> str:
    """Return the arguments of an operator as they should stand in the table."""
    module, _, cls = path.rpartition(".")
    parameters = inspect.signature(getattr(importlib.import_module(module), cls)).parameters
    own = [parameters[key] for key in parameters if key not in ("dimension", "axes", *TIMES)]
    return ", ".join(
        f"`{value.name}` (required)" if value.default is value.empty else f"`{value.name}: {written(value.default)}`"
        for value in own
        if value.kind is value.KEYWORD_ONLY
    )
