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
from tests.closures.fields import CASES, Arguments, case_name, make, turbulent
from tests.solvers.test_compiled import flow, state

GRIDS = {2: [(32, 24), (20, 24)], 3: [(16, 20, 12), (14, 16, 18)]}
"""On each of them the dynamic coefficient of one of the states is above zero."""
COMPILED: list[tuple[str, Arguments, int]] = [
    *(case for case in CASES if case[0] != "learned"),
    # Whatever is averaged over, in time too, and grids of which the last block of columns is not full.
    *(("dynamic_smagorinsky", {"average": average}, 3) for average in ("y", "z", "xy", "xz", "yz")),
    *(("dynamic_smagorinsky", {"average": "y"}, dimension) for dimension in (2,)),
    *(("dynamic_mixed", {"average": average, "relaxation_time": 0.03}, 3) for average in ("volume", "y", "xz")),
    *(("dynamic_mixed", {"average": average, "relaxation_time": 0.03}, 2) for average in ("volume", "y", "local")),
    *(("dynamic_smagorinsky", {"relaxation_time": 0.03}, dimension) for dimension in (2, 3)),
]
CASCADES = {2: (32, 24), 3: (16, 20, 14)}
DYNAMIC: list[tuple[str, Arguments, int]] = [
    (name, arguments, dimension)
    for name in ("dynamic_smagorinsky", "dynamic_mixed")
    for arguments in ({}, {"average": "local", "relaxation_time": 0.02})
    for dimension in (2, 3)
]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 2e-14}
"""Relative to the largest mode after some steps; rounding grows in the chaotic flow."""


@pytest.fixture
def restored_threads() -> Iterator[None]:
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
    name: str, arguments: Arguments, dimension: int, dtype: torch.dtype
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


@pytest.mark.parametrize(("name", "arguments", "dimension"), DYNAMIC, ids=case_name)
@pytest.mark.parametrize("threads", [1, 2])
def test_twenty_steps_of_a_dynamic_model_are_those_of_torch(
    restored_threads: None, threads: int, name: str, arguments: Arguments, dimension: int
) -> None:
    """A cascade, in which backscatter is clipped at many points, on blocks of columns that are not full."""
    torch.set_num_threads(threads)
    solver, spectrum = turbulent(CASCADES[dimension])
    closure = make(name, solver.space, arguments)
    coefficient = closure.coefficient(ResolvedVelocity(solver.space, spectrum))
    assert coefficient is not None
    assert (coefficient > 0).any()
    assert (coefficient == 0).any() == (arguments.get("average") == "local")
    expected, computed = advanced(solver, spectrum, closure, steps=20)
    assert (computed - expected).abs().max() <= 1e-13 * expected.abs().max()


@pytest.mark.parametrize("dimension", [2, 3])
def test_nothing_of_a_relaxed_coefficient_is_left_for_the_next_output(dimension: int) -> None:
    solver = flow(GRIDS[dimension][0])
    closure = make("dynamic_mixed", solver.space, {"average": "local", "relaxation_time": 1e9})
    first, second = (state(solver) * factor for factor in (1.0, 0.3))
    alone = advanced(solver, second, closure)[1]
    advanced(solver, first, closure)
    assert torch.equal(advanced(solver, second, closure)[1], alone)


def test_a_changed_model_does_not_inherit_the_steps_of_the_original() -> None:
    class Doubled(Smagorinsky):
        def eddy_viscosity(self, resolved: ResolvedVelocity, coefficient: Tensor | None) -> Tensor:
            return 2 * super().eddy_viscosity(resolved, coefficient)

    solver = flow((16, 16))
    expected, computed = advanced(solver, state(solver), Doubled(filter_width=0.5), steps=1)
    assert torch.equal(computed, expected)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("dynamic_smagorinsky", {}),
        ("dynamic_mixed", {"average": "local", "relaxation_time": 0.1}),
        ("dynamic_mixed", {"average": "xz"}),
        ("sigma", {}),
        ("spectral_eddy_viscosity", {}),
    ],
    ids=case_name,
)
def test_neither_batch_nor_threads_change_a_bit(restored_threads: None, name: str, arguments: Arguments) -> None:
    solver = flow((12, 16, 20), "held_shells", torch.float32)
    closure = make(name, solver.space, arguments)
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
def test_a_fluid_at_rest_stays_at_rest(name: str, arguments: Arguments, dimension: int) -> None:
    solver = flow(GRIDS[dimension][0])
    rest = torch.zeros_like(state(solver))
    _, computed = advanced(solver, rest, make(name, solver.space, arguments))
    assert torch.equal(computed, rest)
