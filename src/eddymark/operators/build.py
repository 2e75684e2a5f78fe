"""Operators from their description in an experiment: a registered name or any importable torch module."""

from __future__ import annotations

import importlib
import inspect
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from eddymark.config.findings import Finding, Problem, nearest_name, show, unknown_name
from eddymark.errors import EddymarkError
from eddymark.operators import OPERATORS
from eddymark.operators.axes import Axis


class OperatorError(EddymarkError):
    """An operator cannot be used; `problem` says what is wrong, with a path that starts at the operator's section."""

    def __init__(self, type: str, problem: Problem) -> None:
        self.problem = problem
        key = ".".join(map(str, problem.path))
        super().__init__(str(Finding(f"operator {type}", key, problem.expected, problem.found, problem.nearest)))


class ForeignOperator(nn.Module):
    """An operator of another package; only its tensors count as its state.

    Some packages put settings and even functions into `state_dict`, which neither safetensors nor a checkpoint that is
    safe to load can hold.

    Arguments:
        module: the operator.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.register_state_dict_post_hook(_keep_tensors)  # type: ignore[no-untyped-call]

    def forward(self, field: Tensor, *lead_time: Tensor) -> Tensor:
        """Map `(batch, in_channels, *grid)` to `(batch, out_channels, *grid)`; lead times, if any, are `(batch,)`."""
        result: Tensor = self.module(field, *lead_time)
        return result


def require_lead_time(type: str, operator: nn.Module) -> None:
    """Raise an OperatorError unless an operator takes a lead time as a second argument."""
    module = operator.module if isinstance(operator, ForeignOperator) else operator
    if "lead_time" not in inspect.signature(module.forward).parameters:
        expected = "an operator which takes a lead time, such as scot (its curriculum has all_to_all)"
        raise OperatorError(type, Problem(("type",), expected, show(type)))


def _keep_tensors(module: nn.Module, state: dict[str, Any], prefix: str, metadata: dict[str, Any]) -> None:
    for name in [name for name, value in state.items() if not isinstance(value, Tensor)]:
        del state[name]


def build_operator(
    type: str,
    arguments: Mapping[str, Any],
    *,
    in_channels: int,
    out_channels: int,
    dimension: int,
    axes: Sequence[Axis] | None = None,
    points: Sequence[int] | None = None,
    times: tuple[int, int] = (1, 1),
) -> nn.Module:
    """Build an operator which maps `(batch, in_channels, *grid)` to `(batch, out_channels, *grid)`.

    The constructor gets `arguments`, and those of `in_channels`, `out_channels`, `dimension`, `axes`, `input_times` and
    `output_times` which it takes.

    Arguments:
        type: a name in `OPERATORS`, or the dotted path of a torch.nn.Module class, or of a function
            which is annotated to return one.
        arguments: keyword arguments from the experiment.
        in_channels, out_channels: numbers of channels that the stepper needs.
        dimension: number of grid axes.
        axes: the box; None: periodic with sides 2π.
        points: grid on which the module is tried once; without it, it is not tried.
        times: at how many times the state is given and wanted: the channels are frames one after the other, and what
            an operator is given beside states comes last.

    Raises:
        OperatorError: if the operator cannot be found or built, takes every axis as periodic where there are walls, or
            fails or returns a wrong shape on the grid.
    """
    constructor = _find(type)
    box = (Axis(2 * math.pi),) * dimension if axes is None else tuple(axes)
    given = {
        "in_channels": in_channels,
        "out_channels": out_channels,
        "dimension": dimension,
        "axes": box,
        "input_times": times[0],
        "output_times": times[1],
    }
    parameters = _parameters(constructor, type)
    if type in OPERATORS and "axes" not in parameters and not all(axis.periodic for axis in box):
        raise OperatorError(type, Problem(("type",), "an operator that knows of walls (it has an argument axes)", type))
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    named = [
        name
        for name, parameter in parameters.items()
        if parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    ]
    for name in arguments:
        if name in given:
            expected = "no such key (it follows from the experiment)"
            raise OperatorError(type, Problem(("arguments", name), expected, show(arguments[name])))
        if name not in named and not open_ended:
            allowed = [candidate for candidate in named if candidate not in given]
            nearest = nearest_name(name, allowed)
            expected = f"an argument of {type}" + ("" if nearest else f" ({', '.join(allowed) or 'it has none'})")
            raise OperatorError(type, Problem(("arguments", name), expected, "an unknown key", nearest))
    keywords = {**arguments, **{name: value for name, value in given.items() if name in named}}
    missing = [name for name in named if parameters[name].default is inspect.Parameter.empty and name not in keywords]
    if missing:
        raise OperatorError(type, Problem(("arguments", missing[0]), f"a value ({type} needs it)", "nothing"))
    try:
        operator = constructor(**keywords)
    except (Exception, SystemExit) as error:
        raise OperatorError(type, _refusal(arguments, f"arguments that {type} accepts", _one_line(error))) from error
    if not isinstance(operator, nn.Module):
        raise OperatorError(type, Problem(("type",), "a torch.nn.Module", show(type)))
    if type not in OPERATORS:
        operator = ForeignOperator(operator)
    if points is not None:
        _try(operator, type, arguments, (1, in_channels, *points), (1, out_channels, *points))
    return operator


def _refusal(arguments: Mapping[str, Any], expected: str, message: str) -> Problem:
    """Return the problem of what an operator refuses, at the argument with which its message begins.

    Messages of the package begin with the name of an argument, or with a file that is one, and end with `; got …`.
    """
    starts = {name: (f"{name} ", f"{name}: ", f"{value}: ") for name, value in arguments.items()}
    key = next((name for name, start in starts.items() if message.startswith(start)), None)
    if key is None:
        return Problem(("arguments",), expected, message)
    rule, _, got = message.partition("; got ")
    if not got:
        return Problem(("arguments", key), expected, message)
    return Problem(("arguments", key), f"{expected} ({rule})", got)


def _find(type: str) -> Callable[..., nn.Module]:
    path = OPERATORS.get(type, type)
    module, _, name = path.rpartition(".")
    if not module:
        raise OperatorError(type, unknown_name(("type",), type, "an operator or a dotted path", OPERATORS))
    try:
        package = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise OperatorError(type, Problem(("type",), "a module that can be imported", _one_line(error))) from error
    if not hasattr(package, name):
        options = [key for key, value in vars(package).items() if callable(value) and not key.startswith("_")]
        nearest = nearest_name(name, options)
        hint = f"{module}.{nearest}" if nearest else None
        raise OperatorError(type, Problem(("type",), f"a class or function of {module}", show(name), hint))
    found: Callable[..., nn.Module] = getattr(package, name)
    if not _makes_modules(found):
        # Not even tried: `os.system` is a function of an installed package, too.
        raise OperatorError(type, Problem(("type",), "a torch.nn.Module", show(type)))
    return found


def _makes_modules(found: Any) -> bool:
    """Return whether something is a class of modules, or a function whose annotation says that it returns one."""
    result = found
    if inspect.isfunction(found):
        try:
            result = typing.get_type_hints(found).get("return")
        except Exception:  # annotations can be any text
            return False
    return inspect.isclass(result) and issubclass(result, nn.Module)


def _parameters(constructor: Callable[..., nn.Module], type: str) -> dict[str, inspect.Parameter]:
    # A class is asked for its __init__: some libraries hide it behind a __new__ or a metaclass that
    # takes anything. One that takes anything itself hands it on to the next class.
    functions: list[Callable[..., Any]] = [constructor]
    if inspect.isclass(constructor):
        functions = [vars(each)["__init__"] for each in constructor.__mro__ if "__init__" in vars(each)]
    try:
        found = [dict(inspect.signature(function).parameters) for function in functions]
    except (TypeError, ValueError) as error:
        raise OperatorError(type, Problem(("type",), "a torch.nn.Module", show(type))) from error
    for parameters in found:
        parameters.pop("self", None)
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = [parameters for parameters in found if any(p.kind not in variable for p in parameters.values())]
    takes_anything = {p.kind for p in found[0].values()} == set(variable)
    return named[0] if named and takes_anything else found[0]


def _try(
    operator: nn.Module, type: str, arguments: Mapping[str, Any], given: tuple[int, ...], wanted: tuple[int, ...]
) -> None:
    training = operator.training
    operator.eval()
    parameter = next(operator.parameters(), torch.empty(0))
    try:
        with torch.no_grad():
            result = operator(torch.zeros(given, dtype=parameter.dtype, device=parameter.device))
    except Exception as error:
        expected = f"an operator for input of shape {given}"
        raise OperatorError(type, _refusal(arguments, expected, _one_line(error))) from error
    finally:
        operator.train(training)
    shape = tuple(result.shape) if isinstance(result, Tensor) else result.__class__.__name__
    if shape != wanted:
        raise OperatorError(
            type, Problem(("type",), f"a module that maps {given} to {wanted}", f"one that gives {shape}")
        )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or error.__class__.__name__
