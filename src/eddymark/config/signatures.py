"""What registered classes accept as arguments, read from their sources: importing them would import torch."""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path


@cache
def constructor_arguments(dotted_path: str) -> dict[str, bool] | None:
    """Return the arguments of a class's constructor and whether each is required, or None if it takes any.

    Arguments:
        dotted_path: module and class, such as `eddymark.closures.smagorinsky.Smagorinsky`.
    """
    module, _, name = dotted_path.rpartition(".")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    methods = (node for cls in classes for node in cls.body if isinstance(node, ast.FunctionDef))
    constructor = next((method for method in methods if method.name == "__init__"), None)
    if constructor is None:
        return {}
    arguments = constructor.args
    if arguments.kwarg is not None:
        return None
    positional = [argument.arg for argument in arguments.posonlyargs + arguments.args][1:]
    required = dict.fromkeys(positional, True)
    required.update(dict.fromkeys(positional[len(positional) - len(arguments.defaults) :], False))
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        required[argument.arg] = default is None
    return required
