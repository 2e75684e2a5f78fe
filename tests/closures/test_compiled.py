"""Compiled LES steps against the torch path, closure by closure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from eddymark.closures.base import Closure
from eddymark.closures.smagorinsky import Smagorinsky
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.resolved import ResolvedVelocity
from eddymark.solvers.time_integration import TimeIntegration, compiled_steps
from tests.closures.fields import CASES, Case, case_name, make
from tests.solvers.test_compiled import flow, state

GRIDS = {2: [(32, 24), (20, 24)], 3: [(16, 20, 12), (14, 16, 18)]}
"""On each of them the dynamic coefficient of one of the states is above zero."""
COMPILED = [
    (name, arguments, dimension)
    for name, arguments, dimension in CASES
    if name != "dynamic_mixed" and arguments.get("average", "volume") == "volume"
]
ON_TORCH = [case for case in CASES if case not in COMPILED]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 2e-14}
"""Relative to the largest mode after some steps; rounding grows in the chaotic flow."""


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def advanced(
    solver: NavierStokes, spectrum: Tensor, closure: Closure, *, integrator: str = "runge_kutta_4", steps: int = 4
) -> tuple[Tensor, Tensor]:
    """Return what the torch path and the compiled steps make of a state."""
    integration = TimeIntegration(integrator, 1.0)
    expected = integration.advance(solver, spectrum, 0.01 * steps, steps=steps, closure=closure).detach()
    with torch.inference_mode():
        computed = integration.advance(solver, spectrum, 0.01 * steps, steps=steps, closure=closure)
    return expected, computed


@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
@pytest.mark.parametrize(("name", "arguments", "dimension"), COMPILED, ids=case_name)
def test_compiled_steps_are_the_torch_steps_to_rounding(
    name: str, arguments: Case, dimension: int, dtype: torch.dtype
) -> None:
    for points, integrator, force in zip(
        GRIDS[dimension], ("runge_kutta_4", "runge_kutta_3"), ("constant_power", "held_shells"), strict=True
    ):
        solver = flow(points, force, dtype)
        closure = make(name, solver.space, arguments)
        with torch.no_grad():
            assert compiled_steps(solver, closure) is not None
        expected, computed = advanced(solver, state(solver), closure, integrator=integrator)
        without, _ = advanced(solver, state(solver), make("none", solver.space), integrator=integrator)
        largest = expected.abs().max()
        assert (expected - without).abs().max() > 20 * TOLERANCE[dtype] * largest, "the model has no effect"
        assert (computed - expected).abs().max() <= TOLERANCE[dtype] * largest


@pytest.mark.parametrize(("name", "arguments", "dimension"), ON_TORCH, ids=case_name)
def test_models_without_compiled_steps_take_the_torch_path(name: str, arguments: Case, dimension: int) -> None:
    solver = flow(GRIDS[dimension][0])
    closure = make(name, solver.space, arguments)
    with torch.no_grad():
        assert compiled_steps(solver, closure) is None
    expected, computed = advanced(solver, state(solver), closure, steps=1)
    assert torch.equal(computed, expected)


def test_a_changed_model_does_not_inherit_the_steps_of_the_original() -> None:
    class Doubled(Smagorinsky):
        def eddy_viscosity(self, resolved: ResolvedVelocity, coefficient: Tensor | None) -> Tensor:
            return 2 * super().eddy_viscosity(resolved, coefficient)

    solver = flow((16, 16))
    expected, computed = advanced(solver, state(solver), Doubled(filter_width=0.5), steps=1)
    assert torch.equal(computed, expected)


@pytest.mark.parametrize("name", ["dynamic_smagorinsky", "sigma", "spectral_eddy_viscosity"])
def test_neither_batch_nor_threads_change_a_bit(threads: None, name: str) -> None:
    solver = flow((12, 16, 20), "held_shells", torch.float32)
    closure = make(name, solver.space)
    spectrum = state(solver, batch=3)
    integration = TimeIntegration("runge_kutta_4", 1.0)
    results = []
    for count in (1, 2):
        torch.set_num_threads(count)
        with torch.no_grad():
            results.append(integration.advance(solver, spectrum, 0.1, steps=3, closure=closure))
            parts = [integration.advance(solver, part, 0.1, steps=3, closure=closure) for part in spectrum.split(1)]
        results.append(torch.cat(parts))
    assert all(torch.equal(result, results[0]) for result in results)


@pytest.mark.parametrize(("name", "arguments", "dimension"), COMPILED, ids=case_name)
def test_a_fluid_at_rest_stays_at_rest(name: str, arguments: Case, dimension: int) -> None:
    solver = flow(GRIDS[dimension][0])
    rest = torch.zeros_like(state(solver))
    _, computed = advanced(solver, rest, make(name, solver.space, arguments))
    assert torch.equal(computed, rest)
