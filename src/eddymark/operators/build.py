"""Operators from their description in an experiment: a registered name or any importable torch module."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from eddymark.errors import EddymarkError
from eddymark.operators import OPERATORS


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

    def forward(self, field: Tensor) -> Tensor:
        """Map `(batch, in_channels, *grid)` to `(batch, out_channels, *grid)`."""
        result: Tensor = self.module(field)
        return result


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
    points: Sequence[int] | None = None,
) -> nn.Module:
    """Build an operator which maps `(batch, in_channels, *grid)` to `(batch, out_channels, *grid)`.

    The constructor gets `arguments`, and those of `in_channels`, `out_channels` and `dimension` which it
    takes.

    Arguments:
        type: a name in `OPERATORS`, or the dotted path of a class or function which returns a torch module.
        arguments: keyword arguments from the experiment.
        in_channels, out_channels: numbers of channels that the stepper needs.
        dimension: number of grid axes.
        points: grid on which the module is tried once; without it, it is not tried.

    Raises:
        EddymarkError: if the operator cannot be found or built, or fails or returns a wrong shape on the
        grid.
    """
    constructor = _find(type)
    given = {"in_channels": in_channels, "out_channels": out_channels, "dimension": dimension}
    parameters = _parameters(constructor, type)
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    named = [
        name
        for name, parameter in parameters.items()
        if parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    ]
    for name in arguments:
        if name in given:
            raise EddymarkError(f"operator {type}: argument '{name}' follows from the experiment; remove it")
        if name not in named and not open_ended:
            allowed = [candidate for candidate in named if candidate not in given]
            nearest = difflib.get_close_matches(name, allowed, n=1)
            hint = f"did you mean '{nearest[0]}'?" if nearest else f"it takes {', '.join(allowed)}"
            raise EddymarkError(f"operator {type}: unknown argument '{name}'; {hint}")
    keywords = {**arguments, **{name: value for name, value in given.items() if name in named}}
    missing = [name for name in named if parameters[name].default is inspect.Parameter.empty and name not in keywords]
    if missing:
        raise EddymarkError(f"operator {type}: missing argument{'s' * (len(missing) > 1)} {', '.join(missing)}")
    try:
        operator = constructor(**keywords)
    except Exception as error:
        raise EddymarkError(f"operator {type}: {_one_line(error)}") from error
    if not isinstance(operator, nn.Module):
        raise EddymarkError(f"operator {type}: is not a torch.nn.Module")
    if type not in OPERATORS:
        operator = ForeignOperator(operator)
    if points is not None:
        _try(operator, type, (1, in_channels, *points), (1, out_channels, *points))
    return operator


def _find(type: str) -> Callable[..., nn.Module]:
    path = OPERATORS.get(type, type)
    module, _, name = path.rpartition(".")
    if not module:
        nearest = difflib.get_close_matches(type, OPERATORS, n=1)
        hint = f"did you mean '{nearest[0]}'?" if nearest else f"registered are {', '.join(OPERATORS)}"
        raise EddymarkError(f"operator '{type}' is neither registered nor a dotted path; {hint}")
    try:
        found: Callable[..., nn.Module] = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise EddymarkError(f"operator {type}: {_one_line(error)}") from error
    except AttributeError as error:
        raise EddymarkError(f"operator {type}: module {module} has no '{name}'") from error
    return found


def _parameters(constructor: Callable[..., nn.Module], type: str) -> dict[str, inspect.Parameter]:
    # A class is asked for its __init__: some libraries hide it behind a __new__ or a metaclass that
    # takes anything.
    function = constructor.__init__ if inspect.isclass(constructor) else constructor
    try:
        parameters = dict(inspect.signature(function).parameters)
    except (TypeError, ValueError) as error:
        raise EddymarkError(f"operator {type}: is not a torch.nn.Module") from error
    parameters.pop("self", None)
    return parameters


def _try(operator: nn.Module, type: str, given: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    training = operator.training
    operator.eval()
    parameter = next(operator.parameters(), torch.empty(0))
    try:
        with torch.no_grad():
            result = operator(torch.zeros(given, dtype=parameter.dtype, device=parameter.device))
    except Exception as error:
        raise EddymarkError(f"operator {type}: fails on input of shape {given}: {_one_line(error)}") from error
    finally:
        operator.train(training)
    shape = tuple(result.shape) if isinstance(result, Tensor) else result.__class__.__name__
    if shape != wanted:
        raise EddymarkError(f"operator {type}: maps {given} to {shape} instead of {wanted}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or error.__class__.__name__
