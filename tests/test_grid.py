"""Grids, transforms, derivatives, projection and shells."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eddymark.grid import Grid, SpectralSpace

GRIDS = [
    Grid((16, 16), (2 * math.pi, 2 * math.pi)),
    Grid((12, 20), (1.0, 3.0)),
    Grid((8, 12, 10), (2.0, 1.0, 5.0)),
]


def random_field(grid: Grid, *, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn((2, grid.dimension, *grid.points), generator=random, dtype=torch.float64)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_transforms_are_inverse_to_each_other(grid: Grid) -> None:
    full = SpectralSpace(grid, dealiased=False)
    field = random_field(grid)
    assert torch.allclose(full.to_physical(full.to_spectral(field)), field, atol=1e-13)
    dealiased = SpectralSpace(grid)
    spectrum = dealiased.to_spectral(field)
    assert torch.allclose(dealiased.to_spectral(dealiased.to_physical(spectrum)), spectrum, atol=1e-14)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_coefficients_are_amplitudes(grid: Grid) -> None:
    x = torch.as_tensor(grid.coordinates()[0]).reshape(-1, *(1,) * (grid.dimension - 1))
    field = 3 + 2 * torch.cos(2 * math.pi * x / grid.sides[0]).expand(grid.points)
    spectrum = SpectralSpace(grid).to_spectral(field)
    origin = (0,) * grid.dimension
    assert spectrum[origin].item() == pytest.approx(3)
    assert spectrum[(1, *origin[1:])].item() == pytest.approx(1)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_parseval(grid: Grid) -> None:
    space = SpectralSpace(grid, dealiased=False)
    field = random_field(grid)
    energy = 0.5 * field.square().sum(dim=1).flatten(1).mean(dim=1)
    assert torch.allclose(space.energy_spectrum(space.to_spectral(field)).sum(dim=-1), energy, rtol=1e-13)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("dealiased", [True, False])
def test_derivative_of_a_sine(grid: Grid, dealiased: bool) -> None:
    space = SpectralSpace(grid, dealiased=dealiased)
    for axis in range(grid.dimension):
        shape = [1] * grid.dimension
        shape[axis] = -1
        x = torch.as_tensor(grid.coordinates()[axis]).reshape(shape)
        k = 2 * 2 * math.pi / grid.sides[axis]
        derivative = space.to_physical(space.derivative(space.to_spectral(torch.sin(k * x).expand(grid.points)), axis))
        assert torch.allclose(derivative, (k * torch.cos(k * x)).expand(grid.points), atol=1e-11)


def test_odd_derivative_of_the_nyquist_mode_is_zero() -> None:
    grid = GRIDS[0]
    space = SpectralSpace(grid, dealiased=False)
    sawtooth = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(8).reshape(16, 1).expand(16, 16)
    for field, axis in ((sawtooth, 0), (sawtooth.T, 1)):
        assert space.derivative(space.to_spectral(field), axis).abs().max() == 0


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_projection_makes_solenoidal_keeps_the_mean_and_is_idempotent(grid: Grid) -> None:
    space = SpectralSpace(grid)
    spectrum = space.to_spectral(random_field(grid))
    projected = space.project(spectrum)
    scale = (space.wavenumber_squared.sqrt() * projected.abs()).max()
    assert space.divergence(projected).abs().max() <= 1e-14 * scale
    assert torch.allclose(space.project(projected), projected, atol=1e-15)
    origin = (..., *(0,) * grid.dimension)
    assert torch.equal(projected[origin], spectrum[origin])


def test_symmetrise_removes_only_what_the_real_transform_cannot_see() -> None:
    grid = GRIDS[2]
    for dealiased in (True, False):
        space = SpectralSpace(grid, dealiased=dealiased)
        spectrum = space.to_spectral(random_field(grid))
        assert torch.allclose(space.symmetrise(spectrum), spectrum, atol=1e-16)
        ghost = torch.zeros_like(spectrum)
        ghost[..., 1, 1, 0] = 1j
        ghost[..., -1, -1, 0] = 1j
        assert space.to_physical(ghost).abs().max() < 1e-15
        assert space.symmetrise(ghost).abs().max() == 0


def test_dealiased_products_are_exact() -> None:
    """The product of two fields of the space, evaluated on the grid, has the true coefficients inside the space."""
    grid = Grid((16, 16), (2 * math.pi, 2 * math.pi))
    fine = Grid((48, 48), grid.sides)
    coarse_space, fine_space = SpectralSpace(grid), SpectralSpace(fine, dealiased=False)
    a, b = (coarse_space.to_spectral(random_field(grid, seed=s))[0, 0] for s in (1, 2))
    m = grid.dealiased_cutoff[0]

    def embed(spectrum: torch.Tensor) -> torch.Tensor:
        large = torch.zeros(fine_space.modes, dtype=spectrum.dtype)
        large[: m + 1, : m + 1] = spectrum[: m + 1]
        large[-m:, : m + 1] = spectrum[m + 1 :]
        return large

    exact = fine_space.to_spectral(fine_space.to_physical(embed(a)) * fine_space.to_physical(embed(b)))
    computed = coarse_space.to_spectral(coarse_space.to_physical(a) * coarse_space.to_physical(b))
    assert torch.allclose(computed[: m + 1], exact[: m + 1, : m + 1], atol=1e-15)
    assert torch.allclose(computed[m + 1 :], exact[-m:, : m + 1], atol=1e-15)


def test_vorticity_of_a_known_velocity() -> None:
    grid = Grid((16, 16, 16), (2 * math.pi,) * 3)
    x, y, z = torch.meshgrid(*[torch.as_tensor(c) for c in grid.coordinates()], indexing="ij")
    velocity = torch.stack([torch.sin(z), torch.sin(x), torch.sin(y)])
    space = SpectralSpace(grid)
    vorticity = space.to_physical(space.vorticity(space.to_spectral(velocity)))
    assert torch.allclose(vorticity, torch.stack([torch.cos(y), torch.cos(z), torch.cos(x)]), atol=1e-13)


@pytest.mark.parametrize(("points", "cutoff"), [(16, 5), (24, 7), (32, 10), (48, 15), (64, 21), (256, 85)])
def test_cutoff_is_strictly_below_a_third_of_the_points(points: int, cutoff: int) -> None:
    grid = Grid((points, points), (1.0, 1.0))
    assert grid.dealiased_cutoff == (cutoff, cutoff)
    assert grid.resolved_shells == cutoff


@settings(max_examples=30, deadline=None)
@given(
    points=st.lists(st.integers(2, 8).map(lambda n: 2 * n), min_size=2, max_size=3),
    sides=st.lists(st.floats(0.1, 10), min_size=3, max_size=3),
)
def test_parseval_and_round_trip_on_any_grid(points: list[int], sides: list[float]) -> None:
    grid = Grid(tuple(points), tuple(sides[: len(points)]))
    space = SpectralSpace(grid, dealiased=False)
    field = random_field(grid)
    spectrum = space.to_spectral(field)
    assert torch.allclose(space.to_physical(spectrum), field, atol=1e-12)
    energy = 0.5 * field.square().sum(dim=1).flatten(1).mean(dim=1)
    assert torch.allclose(space.energy_spectrum(spectrum).sum(dim=-1), energy, rtol=1e-12)


@pytest.mark.parametrize(
    ("points", "sides"),
    [((16,), (1.0,)), ((15, 16), (1.0, 1.0)), ((16, 16), (1.0, -1.0)), ((2, 4), (1.0, 1.0))],
)
def test_impossible_grids_are_refused(points: tuple[int, ...], sides: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"must be|needs"):
        Grid(points, sides)
