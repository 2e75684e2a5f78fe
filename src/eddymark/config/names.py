"""Names: registered ones, those of folders, and those which must not clash."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator

from eddymark.closures import CLOSURES
from eddymark.config.documents import NAME
from eddymark.config.findings import Problem, nearest_name, show, unknown_name
from eddymark.config.schema import Flow
from eddymark.config.steppers import CONTROLS, grid_suffix
from eddymark.flows import FLOWS
from eddymark.operators import OPERATORS

TRAINED_CLOSURES = ("fitted_spectral_viscosity",)
"""Closures whose constants are fitted in training."""

LEARNED_CONSTANTS = {
    "smagorinsky": "smagorinsky_constant",
    "wale": "wale_constant",
    "vreman": "vreman_constant",
    "sigma": "sigma_constant",
    "leith": "leith_constant",
}
"""Closures with a constant which can be learned from the residual of the equations, and its name."""

_LONGEST_NAME = 60
"""Names of a flow, a model and a seed together name a folder, which may have 255 letters."""

CLOSURE_DIMENSIONS = {
    "clipped_gradient": 3,
    "wale": 3,
    "vreman": 3,
    "sigma": 3,
    "spectral_eddy_viscosity": 3,
    "leith": 2,
}
"""Number of dimensions of the turbulence for which a closure is made, if there is only one."""

_RESERVED_STEPPERS = ("dns", *CONTROLS, "apriori", "cost")


def check_folder_name(path: tuple[str | int, ...], name: str, reserved: tuple[str, ...]) -> Iterator[Problem]:
    """Yield a problem if a name cannot be a folder's name in the results."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        yield Problem(path, "a name of letters, digits, _ and - (it becomes a folder)", show(name))
    elif len(name) > _LONGEST_NAME:
        yield Problem(path, f"a name of at most {_LONGEST_NAME} letters (it becomes a folder)", show(name))
    elif name.lower() in reserved:
        yield Problem(path, f"a name other than {', '.join(reserved)}", show(name))


def check_stepper_names(flow: Flow) -> Iterator[Problem]:
    """Yield a problem for each LES or surrogate whose name is not its own."""
    taken: dict[str, tuple[str, str, str]] = {}
    grids = [grid_suffix(points) for points in dict.fromkeys(flow.alternative_grids)]
    for section in ("large_eddy_simulations", "surrogates"):
        for name, model in getattr(flow, section).items():
            path = (section, name, NAME)
            yield from check_folder_name(path, name, _RESERVED_STEPPERS)
            endings = grids
            if section == "surrogates":
                endings = [f"seed{seed}" for seed in model.seeds] + ["noise"] * bool(model.constraints)
            for folder in (name.lower(), *(f"{name.lower()}-{ending}" for ending in endings)):
                other = taken.setdefault(folder, path)
                if other != path:
                    yield Problem(path, "a name of its own", f"one that clashes with {'.'.join(other[:-1])}")
                    break


def registered_flows(flow: Flow) -> Iterator[Problem]:
    """Yield a problem if the flow's type is not registered."""
    if flow.type not in FLOWS:
        yield unknown_name(("type",), flow.type, "a flow type", FLOWS)


def registered_closures(path: tuple[str | int, ...], name: str) -> Iterator[Problem]:
    """Yield a problem if a closure is not registered."""
    if name not in CLOSURES:
        yield unknown_name(path, name, "a closure", CLOSURES)


def registered_operators(path: tuple[str | int, ...], name: str) -> Iterator[Problem]:
    """Yield a problem if an operator is neither registered nor the dotted path of an installed class."""
    if name in OPERATORS:
        return
    if "." not in name:
        yield unknown_name(path, name, "an operator or a dotted path", OPERATORS)
        return
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        yield Problem(path, "a dotted path such as package.module.Class", show(name))
    elif importlib.util.find_spec(parts[0]) is None:
        expected = f"an operator ({', '.join(sorted(OPERATORS))}) or a class of an installed package"
        yield Problem(path, expected, show(name), nearest_name(name, OPERATORS))
