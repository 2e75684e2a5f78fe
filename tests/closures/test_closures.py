"""Subgrid-scale models: identities, invariances, dissipation, recovery of constants."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch

from eddymark.closures.base import Closure
from eddymark.closures.build import build_closure
from eddymark.closures.dynamic_smagorinsky import DynamicSmagorinsky, germano_coefficient
from eddymark.closures.fitted_spectral_viscosity import FittedSpectralViscosity
from eddymark.closures.smagorinsky import Smagorinsky
from eddymark.config.schema import Closure as ClosureConfiguration
from eddymark.config.schema import Filter
from eddymark.errors import EddymarkError
from eddymark.filters import GridFilter, filter_width
from eddymark.grid import Grid, SpectralSpace
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.resolved import ResolvedVelocity, contract, symmetric_pairs
from eddymark.solvers.time_integration import TimeIntegration
from tests.solvers.test_periodic import BOX, random_spectrum

STRESS_MODELS = ["smagorinsky", "dynamic_smagorinsky"]


def make(name: str, space: SpectralSpace) -> Closure:
    return build_closure(
        ClosureConfiguration(type=name), space=space, filter_width=filter_width(space.grid), viscosity=0.01
    )


@cache
def turbulent(points: tuple[int, ...]) -> tuple[NavierStokes, torch.Tensor]:
    """A resolved decaying flow after about a turnover time, filtered sharply: unlike noise it has a cascade."""
    sides = (BOX,) * len(points)
    fine = NavierStokes(Grid(tuple(2 * n for n in points), sides), viscosity=0.03)
    spectrum = random_spectrum(fine, batch=1)
    spectrum = spectrum * torch.exp(-fine.space.wavenumber_squared / 8)
    energy = fine.space.energy_spectrum(spectrum).sum()
    spectrum = TimeIntegration("runge_kutta_4", 1.0).advance(fine, spectrum * (2 / energy).sqrt(), 1.0, steps=40)
    coarse = NavierStokes(Grid(points, sides), viscosity=0.03)
    restrict = GridFilter(fine.space, coarse.grid, Filter(type="sharp"))
    return coarse, coarse.space.to_spectral(restrict(spectrum))


def stress(closure: Closure, space: SpectralSpace, velocity: torch.Tensor) -> torch.Tensor:
    resolved = ResolvedVelocity(space, space.to_spectral(velocity))
    tau = closure.stress(resolved, closure.coefficient(resolved))
    assert tau is not None
    return tau


def test_smagorinsky_matches_its_formula_for_a_pure_shear() -> None:
    """u = sin y: S_xy = cos(y)/2, |S| = |cos y|, τ_xy = −(C_s Δ)² |cos y| cos y."""
    grid = Grid((16, 16, 16), (BOX,) * 3)
    space = SpectralSpace(grid)
    y = torch.as_tensor(grid.coordinates()[1]).reshape(1, -1, 1).expand(grid.points)
    velocity = torch.stack([torch.sin(y), torch.zeros_like(y), torch.zeros_like(y)]).unsqueeze(0)
    tau = stress(Smagorinsky(filter_width=0.5, smagorinsky_constant=0.2), space, velocity)
    expected = -((0.2 * 0.5) ** 2) * torch.cos(y).abs() * torch.cos(y)
    pairs = symmetric_pairs(3)
    assert torch.allclose(tau[0, pairs.index((0, 1))], expected, atol=1e-14)
    others = [p for p, pair in enumerate(pairs) if pair != (0, 1)]
    assert tau[0, others].abs().max() < 1e-14


def test_dynamic_model_vanishes_in_laminar_shear() -> None:
    """A parallel shear flow has no resolved stress to learn from: L = 0 in the shear components, C = 0."""
    grid = Grid((16, 16, 16), (BOX,) * 3)
    space = SpectralSpace(grid)
    y = torch.as_tensor(grid.coordinates()[1]).reshape(1, -1, 1).expand(grid.points)
    velocity = torch.stack([torch.sin(y) + 0.3 * torch.sin(4 * y), 0 * y, 0 * y]).unsqueeze(0)
    tau = stress(DynamicSmagorinsky(space=space, filter_width=0.5), space, velocity)
    assert tau.abs().max() < 1e-12


@pytest.mark.parametrize("name", STRESS_MODELS)
@pytest.mark.parametrize("points", [(32, 32), (16, 16, 16)], ids=str)
def test_no_stress_without_strain(name: str, points: tuple[int, ...]) -> None:
    space = SpectralSpace(Grid(points, (BOX,) * len(points)))
    uniform = torch.ones((1, len(points), *points), dtype=torch.float64)
    assert stress(make(name, space), space, uniform).abs().max() < 1e-14


@pytest.mark.parametrize("name", STRESS_MODELS)
@pytest.mark.parametrize("points", [(32, 32), (16, 16, 16)], ids=str)
def test_galilean_invariance(name: str, points: tuple[int, ...]) -> None:
    solver, spectrum = turbulent(points)
    velocity = solver.space.to_physical(spectrum)
    closure = make(name, solver.space)
    tau = stress(closure, solver.space, velocity)
    assert torch.allclose(stress(closure, solver.space, velocity + 3.0), tau, atol=1e-9 * float(tau.abs().max()))


@pytest.mark.parametrize("name", STRESS_MODELS)
@pytest.mark.parametrize("points", [(32, 32), (16, 16, 16)], ids=str)
def test_invariance_under_rotation_by_90_degrees(name: str, points: tuple[int, ...]) -> None:
    """x' = y, y' = −x: components and arguments rotate together, and so does the tendency."""
    solver, spectrum = turbulent(points)
    velocity = solver.space.to_physical(spectrum)
    dimension = len(points)

    def rotate(field: torch.Tensor) -> torch.Tensor:
        swapped = field.transpose(2, 3).flip(3).roll(1, 3)
        return torch.stack([swapped[:, 1], -swapped[:, 0], *(swapped[:, axis] for axis in range(2, dimension))], dim=1)

    closure = make(name, solver.space)
    tendency = solver.tendency(velocity, closure)
    rotated = solver.tendency(rotate(velocity), closure)
    assert torch.allclose(rotated, rotate(tendency), atol=1e-11 * float(tendency.abs().max()))


@pytest.mark.parametrize("name", STRESS_MODELS)
@pytest.mark.parametrize("points", [(32, 32), (16, 16, 16)], ids=str)
def test_dissipative_on_average(name: str, points: tuple[int, ...]) -> None:
    solver, spectrum = turbulent(points)
    resolved = ResolvedVelocity(solver.space, spectrum)
    tau = stress(make(name, solver.space), solver.space, resolved.velocity)
    assert -contract(tau, resolved.strain_rate, len(points)).mean() > 0


@pytest.mark.parametrize("points", [(16, 16, 16), (24, 24, 24), (32, 32)], ids=str)
def test_dynamic_model_recovers_the_constant_of_a_smagorinsky_truth(points: tuple[int, ...]) -> None:
    """If the resolved stress is what Smagorinsky's model gives at both levels, C must be its C_s², grid by grid."""
    solver, spectrum = turbulent(points)
    space, width = solver.space, filter_width(solver.grid)
    closure = DynamicSmagorinsky(space=space, filter_width=width)
    resolved = ResolvedVelocity(space, spectrum)
    mask = closure._test_filter
    # L = T − τ^ with the truth's stress T at the level of the test filter, whose width is that of the kept modes.
    kept = int(closure_cutoff(mask, space))
    test_width = math.pi / kept
    grid_level = stress_of(Smagorinsky(filter_width=width, smagorinsky_constant=0.17), resolved)
    test_level = stress_of(
        Smagorinsky(filter_width=test_width, smagorinsky_constant=0.17), ResolvedVelocity(space, mask * spectrum)
    )
    leonard = test_level - space.to_physical(mask * space.to_spectral(grid_level))
    _, model = closure.germano_tensors(resolved)
    assert float(germano_coefficient(leonard, model, len(points))) == pytest.approx(0.17**2, rel=1e-10)


def closure_cutoff(mask: torch.Tensor, space: SpectralSpace) -> float:
    """Return the highest wavenumber along an axis which a test filter keeps (box 2π)."""
    return float((mask * space.wavenumbers[0].abs()).max())


def stress_of(model: Smagorinsky, resolved: ResolvedVelocity) -> torch.Tensor:
    return model.stress(resolved, None)


@pytest.mark.parametrize(("points", "ratio"), [(16, 2.5), (24, 7 / 3), (32, 2.0), (48, 15 / 7)])
def test_test_filter_ratio_is_that_of_the_modes_it_keeps(points: int, ratio: float) -> None:
    grid = Grid((points, points), (BOX, BOX))
    closure = DynamicSmagorinsky(space=SpectralSpace(grid), filter_width=filter_width(grid))
    assert closure.test_filter_ratio == pytest.approx(ratio)


def germano_tensor(closure: DynamicSmagorinsky, resolved: ResolvedVelocity) -> torch.Tensor:
    """M_ij written out a second time, from its definition."""
    space, mask = resolved.space, closure._test_filter

    def magnitude_times_strain(field: ResolvedVelocity) -> torch.Tensor:
        strain = field.strain_rate
        return (2 * contract(strain, strain, 3)).sqrt().unsqueeze(1) * strain

    tested = ResolvedVelocity(space, mask * resolved.spectrum)
    filtered = space.to_physical(mask * space.to_spectral(magnitude_times_strain(resolved)))
    alpha = closure.test_filter_ratio
    return 2 * closure.filter_width**2 * (filtered - alpha**2 * magnitude_times_strain(tested))


def test_dynamic_coefficient_is_the_least_squares_solution() -> None:
    """C of the model equals ⟨L M⟩/⟨M M⟩ with both tensors written out from their definitions."""
    solver, spectrum = turbulent((16, 16, 16))
    space = solver.space
    closure = DynamicSmagorinsky(space=space, filter_width=filter_width(solver.grid))
    resolved = ResolvedVelocity(space, spectrum)
    mask = closure._test_filter
    u = resolved.velocity
    tested = space.to_physical(mask * spectrum)
    leonard = torch.stack(
        [
            space.to_physical(mask * space.to_spectral(u[:, i] * u[:, j])) - tested[:, i] * tested[:, j]
            for i, j in symmetric_pairs(3)
        ],
        dim=1,
    )
    identity = germano_tensor(closure, resolved)
    expected = contract(leonard, identity, 3).mean() / contract(identity, identity, 3).mean()
    assert float(closure.coefficient(resolved)) == pytest.approx(float(expected), rel=1e-8)
    assert 0.05**2 < float(expected) < 0.3**2


def test_fitted_viscosity_damps_each_shell_at_its_rate() -> None:
    grid = Grid((16, 16), (BOX, BOX))
    solver = NavierStokes(grid, viscosity=0.02)
    closure = FittedSpectralViscosity(space=solver.space, viscosity=0.02)
    assert torch.equal(solver.linear_rate(closure), solver.linear_rate())
    with torch.no_grad():
        closure.ratio[3] = 2.0
    expected = torch.where(solver.space.shells == 3, 3.0, 1.0) * -0.02 * solver.space.wavenumber_squared
    assert torch.allclose(solver.linear_rate(closure), expected)


def test_gradient_is_finite_where_the_strain_rate_vanishes() -> None:
    solver = NavierStokes(Grid((16, 16), (BOX, BOX)), viscosity=0.02)
    closure = make("smagorinsky", solver.space)
    velocity = torch.zeros((1, 2, 16, 16), dtype=torch.float64, requires_grad=True)
    solver.tendency(velocity, closure).square().sum().backward()
    assert velocity.grad is not None
    assert torch.isfinite(velocity.grad).all()


def test_constant_and_viscosity_can_only_be_given_by_name() -> None:
    with pytest.raises(TypeError):
        Smagorinsky(0.5, 0.17)  # type: ignore[misc]
    with pytest.raises(TypeError):
        NavierStokes(Grid((16, 16), (BOX, BOX)), 0.1)  # type: ignore[misc]


def test_unknown_argument_is_one_clear_line() -> None:
    space = SpectralSpace(Grid((16, 16), (BOX, BOX)))
    configuration = ClosureConfiguration(type="smagorinsky", arguments={"constant": 0.1})
    with pytest.raises(EddymarkError, match=r"smagorinsky has no argument 'constant'.*smagorinsky_constant"):
        build_closure(configuration, space=space, filter_width=1.0, viscosity=0.1)


def test_filter_width_of_a_dealiased_grid() -> None:
    assert filter_width(Grid((16, 16, 16), (BOX,) * 3)) == pytest.approx(math.pi / 5)
