"""Each subgrid-scale model against its formula, exact flows and known truths."""

from __future__ import annotations

import math

import pytest
import torch

from eddymark.closures.approximate_deconvolution import ApproximateDeconvolution
from eddymark.closures.base import Closure, modelled_stress
from eddymark.closures.build import build_closure
from eddymark.closures.fitted_spectral_viscosity import FittedSpectralViscosity
from eddymark.closures.gradient import ClippedGradient, Gradient
from eddymark.closures.leith import Leith
from eddymark.closures.sigma import sigma_rate, singular_values
from eddymark.closures.smagorinsky import Smagorinsky
from eddymark.closures.spectral_eddy_viscosity import SpectralEddyViscosity
from eddymark.closures.vreman import vreman_rate
from eddymark.closures.wale import wale_rate
from eddymark.config.schema import Closure as ClosureConfiguration
from eddymark.errors import EddymarkError
from eddymark.filters import filter_width, gaussian
from eddymark.grid import Grid, SpectralSpace
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.resolved import (
    ResolvedVelocity,
    contract,
    deviatoric,
    products,
    reduce_symmetric,
    symmetric_pairs,
)
from tests.closures.fields import BOX, shear, turbulent


@pytest.mark.parametrize("dimension", [2, 3])
def test_reduced_tensors_hold_the_deviatoric_part(dimension: int) -> None:
    full = [torch.randn(2, 5, 4, dtype=torch.float64) for _ in symmetric_pairs(dimension)]
    other = [torch.randn(2, 5, 4, dtype=torch.float64) for _ in symmetric_pairs(dimension)]
    pairs = symmetric_pairs(dimension)

    def traceless(entries: list[torch.Tensor]) -> dict[tuple[int, int], torch.Tensor]:
        mean = sum(entry for (i, j), entry in zip(pairs, entries, strict=True) if i == j) / dimension
        return {(i, j): entry - mean * (i == j) for (i, j), entry in zip(pairs, entries, strict=True)}

    a, b = traceless(full), traceless(other)
    assert torch.allclose(deviatoric(reduce_symmetric(full)), torch.stack(list(a.values()), dim=1))
    for second, expected in ((other, b), (full, a)):
        reduced = reduce_symmetric(full)
        total = sum((1 if i == j else 2) * a[i, j] * expected[i, j] for i, j in pairs)
        found = contract(reduced, reduced if second is full else reduce_symmetric(second))
        assert torch.allclose(found, torch.as_tensor(total))


def test_strain_rate_is_the_same_from_the_gradient_and_from_the_spectrum() -> None:
    for points in ((32, 32), (16, 16, 16)):
        solver, spectrum = turbulent(points)
        first, second = (ResolvedVelocity(solver.space, spectrum) for _ in range(2))
        assert second.gradient[0][1].shape == (1, *points)
        assert torch.allclose(first.strain_rate, second.strain_rate, atol=1e-12)


def test_smagorinsky_matches_its_formula_for_a_pure_shear() -> None:
    """u = sin y: |S| = |cos y|, ν_e = (C_s Δ)² |cos y|; the stress is −2 ν_e S as far as the grid resolves it."""
    grid = Grid((16, 16, 16), (BOX,) * 3)
    space = SpectralSpace(grid)
    y = torch.as_tensor(grid.coordinates()[1]).reshape(1, -1, 1).expand(grid.points)
    velocity = torch.stack([torch.sin(y), torch.zeros_like(y), torch.zeros_like(y)]).unsqueeze(0)
    resolved = ResolvedVelocity(space, space.to_spectral(velocity))
    closure = Smagorinsky(filter_width=0.5, smagorinsky_constant=0.2)
    viscosity = (0.2 * 0.5) ** 2 * torch.cos(y).abs()
    assert torch.allclose(closure.eddy_viscosity(resolved, None)[0], viscosity, atol=1e-14)
    stress = space.to_spectral(modelled_stress(closure, resolved))[0]
    expected = space.to_spectral(-viscosity * torch.cos(y))
    pair = symmetric_pairs(3).index((0, 1))
    assert torch.allclose(stress[pair], expected, atol=1e-14)
    assert stress[[p for p in range(5) if p != pair]].abs().max() < 1e-14


def vreman_in_cube(gradient: list[list[torch.Tensor]]) -> torch.Tensor:
    return vreman_rate(gradient, (1.0, 1.0, 1.0))


ROOT = math.sqrt(2)
SHEAR = [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
ROTATION = [[0, -1, 0], [1, 0, 0], [0, 0, 0]]
STRAIN = [[1, 0, 0], [0, -1, 0], [0, 0, 0]]
CONTRACTION = [[2, 0, 0], [0, -1, 0], [0, 0, -1]]


@pytest.mark.parametrize(
    ("rate", "flow", "expected"),
    [
        (wale_rate, SHEAR, 0),
        (wale_rate, ROTATION, 6**-0.25 * ROOT),
        (wale_rate, STRAIN, (8 / 12) ** 1.5 / (2**2.5 + (8 / 12) ** 1.25)),
        (wale_rate, CONTRACTION, 6**1.5 / (6**2.5 + 6**1.25)),
        (vreman_in_cube, SHEAR, 0),
        (vreman_in_cube, ROTATION, 1 / ROOT),
        (vreman_in_cube, STRAIN, 1 / ROOT),
        (vreman_in_cube, CONTRACTION, math.sqrt(9 / 6)),
        (sigma_rate, SHEAR, 0),
        (sigma_rate, ROTATION, 0),
        (sigma_rate, STRAIN, 0),
        (sigma_rate, CONTRACTION, 0),
        (sigma_rate, [[3, 0, 0], [0, -2, 0], [0, 0, -1]], 1 * (3 - 2) * (2 - 1) / 9),
    ],
)
def test_uniform_gradients_in_which_a_model_vanishes_or_has_a_known_value(rate, flow, expected: float) -> None:
    """WALE and Vreman vanish in shear but not in solid rotation, sigma also there, in plane strain and contraction.

    Values by hand, with s = S_ij S_ij and the deviatoric square of the gradient.
    """
    for dtype, tolerance in ((torch.float64, 2e-8), (torch.float32, 2e-3)):
        for scale in (1.0, 30.0):
            entries = torch.tensor(flow, dtype=dtype) * scale
            gradient = [[entries[i, j].reshape(1, 1) for j in range(3)] for i in range(3)]
            assert float(rate(gradient)) == pytest.approx(scale * expected, abs=tolerance * scale)


def test_wale_invariants_and_singular_values_are_those_of_the_matrices() -> None:
    """Against matrix products and LAPACK, on random traceless gradients."""
    g = torch.randn(500, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    g = g - torch.eye(3, dtype=torch.float64) * g.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None]
    fields = [[g[:, i, j] for j in range(3)] for i in range(3)]
    strain = (g + g.mT) / 2
    square = (g @ g + (g @ g).mT) / 2
    square = square - torch.eye(3, dtype=torch.float64) * square.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None]
    s, d = strain.square().sum(dim=(1, 2)), square.square().sum(dim=(1, 2))
    assert torch.allclose(wale_rate(fields), d**1.5 / (s**2.5 + d**1.25), rtol=1e-9)
    expected = torch.linalg.svdvals(g)
    assert torch.allclose(torch.stack(singular_values(fields), dim=1), expected, atol=1e-7)
    first, second, third = expected.unbind(1)
    assert torch.allclose(sigma_rate(fields), third * (first - second) * (second - third) / first**2, atol=1e-7)


@pytest.mark.parametrize("widths", [(1.0, 1.0, 1.0), (0.5, 1.0, 2.0)])
def test_vreman_is_its_formula(widths: tuple[float, ...]) -> None:
    """β_ij = Σ_k Δ_k² g_ik g_jk and its second invariant, Eqs. 5–8 of Vreman (2004)."""
    g = torch.randn(200, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    b = torch.einsum("k,nik,njk->nij", torch.tensor(widths, dtype=torch.float64) ** 2, g, g)
    invariant = sum(b[:, i, i] * b[:, j, j] - b[:, i, j] ** 2 for i, j in ((0, 1), (0, 2), (1, 2)))
    expected = torch.sqrt(torch.as_tensor(invariant) / g.square().sum(dim=(1, 2)))
    assert torch.allclose(vreman_rate([[g[:, i, j] for j in range(3)] for i in range(3)], widths), expected)


@pytest.mark.parametrize("name", ["wale", "vreman", "sigma"])
def test_no_stress_in_a_laminar_shear_flow(name: str) -> None:
    space = SpectralSpace(Grid((16, 16, 16), (BOX,) * 3))
    closure = build_closure(ClosureConfiguration(type=name), space=space, filter_width=0.5, viscosity=0.1)
    resolved = ResolvedVelocity(space, space.to_spectral(shear(space)))
    assert modelled_stress(closure, resolved).abs().max() < 1e-12
    smagorinsky = modelled_stress(Smagorinsky(filter_width=0.5), resolved)
    assert smagorinsky.abs().max() > 1e-3


def test_leith_viscosity_is_that_of_the_vorticity_gradient() -> None:
    """u = 0, v = sin 3x: ω = 3 cos 3x, |∇ω| = 9 |sin 3x|."""
    grid = Grid((32, 32), (BOX, BOX))
    space = SpectralSpace(grid)
    x = torch.as_tensor(grid.coordinates()[0]).reshape(-1, 1).expand(grid.points)
    resolved = ResolvedVelocity(space, space.to_spectral(torch.stack([0 * x, torch.sin(3 * x)]).unsqueeze(0)))
    viscosity = Leith(filter_width=0.4, leith_constant=0.5).eddy_viscosity(resolved, None)
    assert torch.allclose(viscosity[0], 0.2**3 * 9 * torch.sin(3 * x).abs(), atol=1e-13)


def test_gradient_model_is_the_leading_term_of_the_stress_of_a_gaussian_filter() -> None:
    """(u_i u_j)~ − ũ_i ũ_j = Δ²/12 ∂_k ũ_i ∂_k ũ_j + O(Δ⁴): the measured order of the rest is four."""
    space = SpectralSpace(Grid((48, 48, 48), (BOX,) * 3))
    noise = torch.randn((1, 3, 48, 48, 48), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    spectrum = space.project(space.to_spectral(noise)) * (space.shells <= 5)  # products are resolved exactly
    errors = []
    for width in (0.2, 0.1):
        transfer = gaussian(space, width)
        filtered = ResolvedVelocity(space, transfer * spectrum)
        square = space.to_physical(transfer * space.to_spectral(products(space.to_physical(spectrum))))
        truth = square - products(filtered.velocity)
        errors.append(float((Gradient(space=space, filter_width=width).stress(filtered) - truth).abs().max()))
        assert errors[-1] < 0.3 * float(truth.abs().max())
    assert math.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.2)


def test_clipped_gradient_model_never_returns_energy_and_is_the_gradient_model_elsewhere() -> None:
    solver, spectrum = turbulent((16, 16, 16))
    resolved = ResolvedVelocity(solver.space, spectrum)
    free, clipped = (cls(space=solver.space, filter_width=0.6).stress(resolved) for cls in (Gradient, ClippedGradient))
    dissipation, kept = -contract(free, resolved.strain_rate), -contract(clipped, resolved.strain_rate)
    assert (dissipation < 0).any()
    assert (kept >= 0).all()
    drains = (dissipation > 0).unsqueeze(1).expand_as(free)
    assert torch.equal(clipped[drains], free[drains])


def energy_rate_per_shell(solver: NavierStokes, spectrum: torch.Tensor, closure: Closure) -> torch.Tensor:
    """What a closure adds to dE(κ)/dt."""
    rate = solver.nonlinear(spectrum, closure) - solver.nonlinear(spectrum)
    rate = rate + (solver.linear_rate(closure) - solver.linear_rate()) * spectrum
    work = (spectrum.conj() * rate).real.sum(dim=1) * solver.space.multiplicity
    return solver.space.shell_sum(work)[0]


def test_spectral_viscosity_drains_each_shell_at_its_rate() -> None:
    """dE(k)/dt = −2 ν_e(k) k² E(k), with ν_e from its formula: plateau 0.267 (E/k)^½, cusp at k_c."""
    solver, spectrum = turbulent((16, 16, 16))
    space = solver.space
    closure = SpectralEddyViscosity(space=space)
    cutoff = 5
    scale = math.sqrt(float(space.energy_spectrum(spectrum)[0, cutoff]) / cutoff)
    magnitude = space.wavenumber_squared.sqrt()
    shape = 0.441 + 15.2 * torch.exp(-3.03 * cutoff / magnitude.clamp(1e-9, cutoff))
    viscosity = 1.4**-1.5 * shape * scale
    density = space.mode_energy(spectrum)
    expected = -space.shell_sum(2 * viscosity * space.wavenumber_squared * density)[0]
    assert torch.allclose(energy_rate_per_shell(solver, spectrum, closure), expected, rtol=1e-10, atol=1e-14)
    assert float(viscosity[1, 0, 0]) / scale == pytest.approx(0.267, abs=0.001)
    assert float(viscosity[cutoff, 0, 0] / viscosity[1, 0, 0]) > 2.5


def test_fitted_viscosity_damps_each_shell_at_its_rate() -> None:
    grid = Grid((16, 16), (BOX, BOX))
    solver = NavierStokes(grid, viscosity=0.02)
    closure = FittedSpectralViscosity(space=solver.space, viscosity=0.02)
    assert torch.equal(solver.linear_rate(closure), solver.linear_rate())
    with torch.no_grad():
        closure.ratio[3] = 2.0
    expected = torch.where(solver.space.shells == 3, 3.0, 1.0) * -0.02 * solver.space.wavenumber_squared
    assert torch.allclose(solver.linear_rate(closure), expected)


def test_every_fitted_constant_receives_a_gradient() -> None:
    solver, spectrum = turbulent((16, 16, 16))
    closure = FittedSpectralViscosity(space=solver.space, viscosity=0.02)
    solver.tendency(solver.space.to_physical(spectrum), closure).square().sum().backward()
    assert closure.ratio.grad is not None
    assert (closure.ratio.grad[1:] != 0).all()  # shell 0 is the mean flow, which no viscosity damps


@pytest.mark.parametrize("order", [0, 1, 3])
def test_deconvolution_error_has_its_order(order: int) -> None:
    """u − Q_N G u = (I − G)^{N+1} u: 2 N + 2 orders in k Δ."""
    space = SpectralSpace(Grid((32, 32), (BOX, BOX)))

    def lost(width: float) -> float:
        closure = ApproximateDeconvolution(
            space=space, filter_width=width, relaxation_rate=1.0, order=order, width_ratio=1.0
        )
        return float(1 - closure.deconvolved[2, 0])

    assert math.log2(lost(0.1) / lost(0.05)) == pytest.approx(2 * order + 2, abs=0.05)


def test_deconvolution_is_van_citterts_and_relaxation_drains_at_its_rate() -> None:
    """Q_N summed term by term; the relaxation alone gives dE/dt = −2 χ (1 − Q_N G) E per mode."""
    solver, spectrum = turbulent((16, 16, 16))
    space, width = solver.space, filter_width(solver.grid)
    closure = ApproximateDeconvolution(space=space, filter_width=width, relaxation_rate=3.0, order=5)
    transfer = gaussian(space, 2 * width)
    inverse = sum((1 - transfer) ** n for n in range(6))
    assert torch.allclose(closure.deconvolved, inverse * transfer, atol=1e-14)
    assert 0.6 < float(closure.deconvolved[5, 0, 0]) < 0.8  # what is left at the cut-off
    rate = solver.linear_rate(closure) - solver.linear_rate()
    assert torch.allclose(rate, -3.0 * (1 - inverse * transfer), atol=1e-12)
    assert (rate <= 1e-15).all()
    # Flux of the deconvolved field: its own energy is conserved.
    smooth = closure.deconvolved * spectrum
    work = (smooth.conj() * solver.nonlinear(spectrum, closure)).real.sum(dim=1) * space.multiplicity
    assert work.sum().abs() < 1e-12 * work.abs().sum()


def test_unknown_argument_is_one_clear_line() -> None:
    space = SpectralSpace(Grid((16, 16), (BOX, BOX)))
    configuration = ClosureConfiguration(type="smagorinsky", arguments={"constant": 0.1})
    with pytest.raises(EddymarkError, match=r"smagorinsky has no argument 'constant'.*smagorinsky_constant"):
        build_closure(configuration, space=space, filter_width=1.0, viscosity=0.1)


def test_filter_width_of_a_dealiased_grid() -> None:
    assert filter_width(Grid((16, 16, 16), (BOX,) * 3)) == pytest.approx(math.pi / 5)
    # Longer sides with as many more modes resolve the same scales; with as many modes, larger ones along that axis.
    assert filter_width(Grid((32, 16, 64), (2 * BOX, BOX, 4 * BOX))) == pytest.approx(
        math.pi / (5 * 5 * 5.25) ** (1 / 3)
    )
    assert filter_width(Grid((16, 16, 16), (2 * BOX, BOX, 4 * BOX))) == pytest.approx(2 * math.pi / 5)
