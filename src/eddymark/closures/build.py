"""Closures by name."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from torch import nn

from eddymark.closures import CLOSURES
from eddymark.closures.base import Closure, NoClosure
from eddymark.config.schema import Closure as ClosureConfiguration
from eddymark.config.steppers import LEARNED_CLOSURE
from eddymark.errors import EddymarkError
from eddymark.grid import SpectralSpace


def build_closure(
    configuration: ClosureConfiguration,
    *,
    space: SpectralSpace,
    filter_width: float,
    viscosity: float,
    operator: nn.Module | None = None,
) -> Closure:
    """Return the closure that a configuration names; it is given what of space, width and viscosity it asks for.

    Arguments:
        configuration: the closure's section.
        space: spectral space of the LES.
        filter_width: Δ, in flow units.
        viscosity: molecular viscosity ν.
        operator: network of a learned closure; None: what is left without it, which is no model.

    Raises:
        EddymarkError: if an argument in the configuration is not one of the closure's.
    """
    if configuration.type == LEARNED_CLOSURE and operator is None:
        return NoClosure()
    module, _, name = CLOSURES[configuration.type].rpartition(".")
    cls = getattr(importlib.import_module(module), name)
    accepted = inspect.signature(cls).parameters
    context: dict[str, Any] = {
        "space": space,
        "filter_width": filter_width,
        "viscosity": viscosity,
        "operator": operator,
    }
    own = sorted(set(accepted) - set(context))
    for argument in configuration.arguments:
        if argument not in own:
            raise EddymarkError(
                f"closure {configuration.type} has no argument '{argument}'; it has: {', '.join(own) or 'none'}"
            )
    given = {key: value for key, value in context.items() if key in accepted}
    closure: Closure = cls(**given, **configuration.arguments)
    return closure
