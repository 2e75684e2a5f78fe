"""The dynamic procedure: exact recovery of constants, its least squares, its averages, its test filter."""

from __future__ import annotations

import math

import pytest
import torch

from eddymark.closures.base import modelled_stress, strain_rate_magnitude
from eddymark.closures.dynamic_mixed import DynamicMixed
from eddymark.closures.dynamic_smagorinsky import DynamicSmagorinsky
from eddymark.filters import filter_width, gaussian
from eddymark.grid import Grid, SpectralSpace
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.resolved import ResolvedVelocity, contract, products
from eddymark.solvers.time_integration import TimeIntegration
from tests.closures.fields import BOX, shear, turbulent

DYNAMIC = [DynamicSmagorinsky, DynamicMixed]


def smagorinsky_stress(resolved: ResolvedVelocity, square: float) -> torch.Tensor:
    """−2 (C_s Δ)² |S| S_ij with the product (C_s Δ)² given."""
    strain = resolved.strain_rate
    return -2 * square * strain_rate_magnitude(strain).unsqueeze(1) * strain


@pytest.mark.parametrize("average", ["volume", "xy", "z", "local"])
@pytest.mark.parametrize("points", [(16, 16, 16), (24, 24, 24), (32, 32)], ids=str)
def test_dynamic_model_recovers_the_constant_of_a_smagorinsky_truth(points: tuple[int, ...], average: str) -> None:
    """If the resolved stress is what Smagorinsky's model gives at both levels, C is its C_s², whatever the average."""
    if len(points) == 2:
        average = average.replace("xy", "x").replace("z", "y")
    solver, spectrum = turbulent(points)
    space, width = solver.space, filter_width(solver.grid)
    closure = DynamicSmagorinsky(space=space, filter_width=width, average=average)
    resolved = ResolvedVelocity(space, spectrum)
    # L = T − τ^ with the truth's stress T at the level of the test filter, whose width is that of the kept modes.
    kept = max(closure._filter.cutoff)
    tested = closure.test_filtered(resolved)
    test_level = smagorinsky_stress(tested, (0.17 * math.pi / kept) ** 2)
    grid_level = space.to_spectral(smagorinsky_stress(resolved, (0.17 * width) ** 2))
    leonard = test_level - tested.space.to_physical(space.resample(grid_level, tested.space))
    _, model = closure.germano_tensors(resolved)
    found = closure.least_squares(leonard, model, space)
    assert found.shape[1:] == tuple(1 if axis in closure.averaged_axes else n for axis, n in enumerate(points))
    if average == "local":
        # Where M is weaker than its floor, the coefficient is lowered on purpose.
        assert float((found - 0.17**2).abs().median()) < 1e-12
        assert float(found.max()) < 0.17**2 * (1 + 1e-9)
    else:
        assert torch.allclose(found, torch.full_like(found, 0.17**2), rtol=1e-9)


def test_averages_differ_and_none_is_negative() -> None:
    solver, spectrum = turbulent((16, 16, 16))
    resolved = ResolvedVelocity(solver.space, spectrum)

    def coefficient(average: str) -> torch.Tensor:
        closure = DynamicSmagorinsky(space=solver.space, filter_width=filter_width(solver.grid), average=average)
        return closure.coefficient(resolved)

    found = {average: coefficient(average) for average in ("volume", "xyz", "xz", "y", "local")}
    assert torch.equal(found["volume"], found["xyz"])
    assert found["xz"].shape == (1, 1, 16, 1)
    assert found["y"].shape == (1, 16, 1, 16)
    assert all((values >= 0).all() for values in found.values())
    spread = [float(found[average].std()) for average in ("xz", "y", "local")]
    assert spread[0] < spread[1]  # lines average over less than planes
    assert spread[2] > 0
    assert float(found["local"].mean()) == pytest.approx(float(found["volume"]), rel=0.5)


def test_coarse_grid_of_the_volume_average_represents_the_tensors() -> None:
    """On the whole LES grid the coefficient is the same but for the quadrature of what is not band-limited."""
    solver, spectrum = turbulent((24, 24, 24))
    resolved = ResolvedVelocity(solver.space, spectrum)
    closure = DynamicSmagorinsky(space=solver.space, filter_width=filter_width(solver.grid))
    assert closure._tested.grid.points == (14, 14, 14)
    cheap = float(closure.coefficient(resolved))
    closure._tested = closure._filter
    assert cheap == pytest.approx(float(closure.coefficient(resolved)), rel=5e-3)


@pytest.mark.parametrize("cls", DYNAMIC)
def test_dynamic_model_vanishes_in_laminar_shear(cls: type[DynamicSmagorinsky]) -> None:
    """A parallel shear flow has no resolved stress to learn from: L = 0 in the shear components, C = 0."""
    space = SpectralSpace(Grid((16, 16, 16), (BOX,) * 3))
    closure = cls(space=space, filter_width=0.5)
    resolved = ResolvedVelocity(space, space.to_spectral(shear(space)))
    assert closure.coefficient(resolved).abs().max() < 1e-12
    stress = modelled_stress(closure, resolved)
    if cls is DynamicSmagorinsky:
        assert stress.abs().max() < 1e-12
    else:
        assert stress[:, 1].abs().max() < 1e-12  # scale similarity is normal stress alone, balanced by pressure


def test_dynamic_coefficient_is_the_least_squares_solution() -> None:
    """C equals ⟨L M⟩/⟨M M⟩ with both tensors written out a second time from their definitions."""
    solver, spectrum = turbulent((16, 16, 16))
    space = solver.space
    width = filter_width(solver.grid)
    closure = DynamicSmagorinsky(space=space, filter_width=width, average="xyz")
    closure._tested = closure._filter  # on the LES grid
    mask = (space.wavenumbers.abs() < 2.5).all(dim=0).to(space.dtype)
    resolved = ResolvedVelocity(space, spectrum)
    tested = ResolvedVelocity(space, mask * spectrum)

    def test_filter(field: torch.Tensor) -> torch.Tensor:
        return space.to_physical(mask * space.to_spectral(field))

    leonard = test_filter(products(resolved.velocity)) - products(tested.velocity)
    model = test_filter(smagorinsky_stress(resolved, -1)) - 2.5**2 * smagorinsky_stress(tested, -1)
    model = width**2 * model
    expected = contract(leonard, model).mean() / contract(model, model).mean()
    assert float(closure.coefficient(resolved)) == pytest.approx(float(expected), rel=1e-10)
    assert 0.05**2 < float(expected) < 0.3**2


def test_mixed_model_is_scale_similarity_plus_eddy_viscosity_with_the_consistent_identity() -> None:
    """Stress and L − H of the model against their definitions, written out with plain transforms."""
    solver, spectrum = turbulent((16, 16, 16))
    space, width = solver.space, filter_width(solver.grid)
    closure = DynamicMixed(space=space, filter_width=width, average="y")
    resolved = ResolvedVelocity(space, spectrum)
    mask = (space.wavenumbers.abs() < 2.5).all(dim=0).to(space.dtype)

    def bardina(state: torch.Tensor, filter_size: float) -> torch.Tensor:
        transfer = gaussian(space, filter_size)
        both = space.to_physical(transfer * space.to_spectral(products(space.to_physical(state))))
        return both - products(space.to_physical(transfer * state))

    coefficient = closure.coefficient(resolved)
    eddy = smagorinsky_stress(resolved, width**2) * coefficient.unsqueeze(1)
    expected = space.to_physical(space.to_spectral(bardina(spectrum, width) + eddy))
    assert torch.allclose(modelled_stress(closure, resolved), expected, atol=1e-12)

    plain = DynamicSmagorinsky(space=space, filter_width=width, average="y").germano_tensors(resolved)
    leonard, model = closure.germano_tensors(resolved)
    assert torch.equal(model, plain[1])
    # The products of test-filtered fields stay unfiltered on both sides, as in L; the filtered ones are band-limited.
    tested = mask * spectrum
    transfer = gaussian(space, 2.5 * width)
    smooth = space.to_physical(tested * transfer)
    test_level = space.to_physical(mask * transfer * space.to_spectral(products(space.to_physical(tested))))
    grid_level = space.to_physical(mask * space.to_spectral(bardina(spectrum, width)))
    assert torch.allclose(leonard, plain[0] - (test_level - products(smooth)) + grid_level, atol=1e-12)


@pytest.mark.parametrize(("points", "ratio"), [(16, 2.5), (24, 7 / 3), (32, 2.0), (48, 15 / 7)])
def test_test_filter_ratio_is_that_of_the_modes_it_keeps(points: int, ratio: float) -> None:
    grid = Grid((points, points), (BOX, BOX))
    closure = DynamicSmagorinsky(space=SpectralSpace(grid), filter_width=filter_width(grid))
    assert closure.test_filter_ratio == pytest.approx(ratio)
    assert all(3 * kept < n for kept, n in zip(closure._tested.cutoff, closure._tested.grid.points, strict=True))


def coefficients_used(
    solver: NavierStokes, spectrum: torch.Tensor, relaxation_time: float, *, steps: int, intervals: int = 1
) -> list[torch.Tensor]:
    """Return what each time step of a run used, from a local average."""
    closure = DynamicSmagorinsky(
        space=solver.space, filter_width=filter_width(solver.grid), average="local", relaxation_time=relaxation_time
    )
    used: dict[int, torch.Tensor] = {}
    viscosity = closure.eddy_viscosity

    def record(resolved: ResolvedVelocity, coefficient: torch.Tensor | None) -> torch.Tensor:
        assert coefficient is not None
        used[id(coefficient)] = coefficient
        return viscosity(resolved, coefficient)

    closure.eddy_viscosity = record  # type: ignore[method-assign]
    for _ in range(intervals):
        spectrum = TimeIntegration("runge_kutta_4", 1.0).advance(
            solver, spectrum, 0.01 * steps, steps=steps, closure=closure
        )
    return list(used.values())


def test_a_relaxed_coefficient_follows_what_is_found_within_an_output_interval() -> None:
    solver, spectrum = turbulent((16, 16, 16))
    closure = DynamicSmagorinsky(space=solver.space, filter_width=filter_width(solver.grid), average="local")
    start = closure.coefficient(ResolvedVelocity(solver.space, spectrum))
    free = coefficients_used(solver, spectrum, 0.0, steps=4)
    slow = coefficients_used(solver, spectrum, 1e9, steps=4)
    some = coefficients_used(solver, spectrum, 0.01, steps=4)
    assert len(free) == len(slow) == len(some) == 4
    assert not torch.allclose(free[3], start, rtol=1e-2)
    assert all(torch.allclose(used, start) for used in slow)
    # ε = ½ for T = Δt: half of the way from what the first step used to what the second one finds.
    assert torch.equal(some[0], start)
    assert torch.allclose(some[1], (start + free[1]) / 2)


def test_a_relaxed_coefficient_starts_anew_with_each_output() -> None:
    """A stepper is a function of its state: nothing of the interval before may be left."""
    solver, spectrum = turbulent((16, 16, 16))
    both = coefficients_used(solver, spectrum, 1e9, steps=2, intervals=2)
    assert torch.allclose(both[0], both[1])
    assert torch.allclose(both[2], both[3])
    assert not torch.allclose(both[1], both[2], rtol=1e-3)
