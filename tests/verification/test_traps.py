"""Mistakes of other codes that no other test would notice here, and whether the table of all of them is true."""

from __future__ import annotations

import ast
import importlib
import inspect
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from eddymark.closures import CLOSURES
from eddymark.flows.base import turbulence_scales
from eddymark.grid import Grid
from eddymark.solvers.forcing import ConstantPower, HeldShells, Sinusoidal
from eddymark.solvers.periodic import NavierStokes
from eddymark.statistics.cost import time_steppers
from eddymark.statistics.errors import decorrelation_time
from verification.traps import TRAPS

ROOT = Path(__file__).parents[2]


@cache
def functions(path: str) -> set[str]:
    return {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("number", "tests"), [(number, tests) for number, _, tests in TRAPS])
def test_the_tests_named_for_a_trap_exist(number: str, tests: tuple[str, ...]) -> None:
    assert tests, number
    for test in tests:
        path, _, name = test.partition("::")
        assert name in functions(path), test


def test_every_number_of_the_list_has_its_tests() -> None:
    assert [number for number, _, _ in TRAPS if number != "–"] == [f"T{n}" for n in range(1, 18)]


def test_physical_arguments_can_only_be_given_by_name() -> None:
    """Viscosity and a squared constant, both about 0.01, were swapped in a published loss."""
    closures = [getattr(importlib.import_module(m), c) for m, _, c in (p.rpartition(".") for p in CLOSURES.values())]
    context = {"self", "grid", "space", "spectrum"}
    for function in (NavierStokes, HeldShells, ConstantPower, Sinusoidal, turbulence_scales, *closures):
        for parameter in inspect.signature(function).parameters.values():
            # A closure without constants has only the unnamed ones of torch.nn.Module, which it refuses when called.
            unnamed = parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
            if parameter.name not in context and not unnamed:
                assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, (function, parameter.name)
    for function, name in ((decorrelation_time, "threshold"), (time_steppers, "turnover_time")):
        assert inspect.signature(function).parameters[name].kind is inspect.Parameter.KEYWORD_ONLY


def test_periodic_coordinates_leave_the_right_end_point_out() -> None:
    grid = Grid((8, 12), (2.0, 3.0))
    for values, n, side in zip(grid.coordinates(), grid.points, grid.sides, strict=True):
        assert len(values) == n
        assert values[0] == 0
        assert values[-1] + side / n == pytest.approx(side)
        # A wave of the box has no mean on the points; with both ends it would.
        assert abs(np.cos(2 * np.pi * values / side).mean()) < 1e-15
