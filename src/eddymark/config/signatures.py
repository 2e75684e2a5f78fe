"""What registered classes accept as arguments, read from their sources: importing them would import torch."""

from __future__ import annotations

import ast
import importlib.util
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_LARGEST_COUNT = 2**16


@dataclass(frozen=True)
class Argument:
    """An argument of a constructor.

    Arguments:
        required: whether it has no default.
        kinds: the types of its annotation, as they are written; empty without one.
    """

    required: bool
    kinds: frozenset[str]

    def expected(self, value: Any) -> str | None:
        """Return in words what should stand in place of a value, None if the value will do.

        All numbers that registered classes take are positive.
        """
        if not self.kinds or not self.kinds <= {"int", "float", "None"}:
            return None
        if value is None and "None" in self.kinds:
            return None
        finite = type(value) in (int, float) and 0 < value < math.inf
        if "float" in self.kinds:
            return None if finite else "a positive number"
        return None if finite and type(value) is int and value <= _LARGEST_COUNT else "a positive whole number"


@cache
def constructor_arguments(dotted_path: str) -> dict[str, Argument] | None:
    """Return the arguments of a class's constructor, or None if it takes any.

    A class without one of its own has that of the first of its base classes, as far as these are of its package.

    Arguments:
        dotted_path: module and class, such as `eddymark.closures.smagorinsky.Smagorinsky`.
    """
    if _parsed(dotted_path.rpartition(".")[0]) is None:
        return None
    constructor = _constructor(dotted_path)
    if constructor is None:
        return {}
    arguments = constructor.args
    if arguments.kwarg is not None:
        return None
    positional = (arguments.posonlyargs + arguments.args)[1:]
    without = len(positional) - len(arguments.defaults)
    found = {argument.arg: Argument(index < without, _kinds(argument)) for index, argument in enumerate(positional)}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found[argument.arg] = Argument(default is None, _kinds(argument))
    return found


def _constructor(dotted_path: str) -> ast.FunctionDef | None:
    """Return the definition of a class's constructor, its own or inherited within its package."""
    module, _, name = dotted_path.rpartition(".")
    tree = _parsed(module)
    if tree is None:
        return None
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.level == 0
        for alias in node.names
    }
    next_names = [name] if name in imported else []
    for cls in (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name):
        for node in cls.body:
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                return node
        next_names = [base.id for base in cls.bases if isinstance(base, ast.Name)]
    paths = [imported.get(each, f"{module}.{each}") for each in next_names]
    own_package = [path for path in paths if path.split(".")[0] == module.split(".")[0]]
    return next((found for path in own_package if (found := _constructor(path)) is not None), None)


@cache
def _parsed(module: str) -> ast.Module | None:
    """Return a module's source, None if there is none."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return None
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def _kinds(argument: ast.arg) -> frozenset[str]:
    text = "" if argument.annotation is None else ast.unparse(argument.annotation)
    return frozenset(filter(None, text.split(" | ")))
