"""Subgrid-scale models on boxes with unequal sides and points."""

from __future__ import annotations

import math

import pytest
import torch

from eddymark.closures.gradient import Gradient
from eddymark.filters import filter_width
from eddymark.grid import Grid, SpectralSpace
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.resolved import ResolvedVelocity, products
from tests.closures.fields import CASES, case_name, make
from tests.solvers.test_periodic import random_spectrum

every_closure_in_3d = pytest.mark.parametrize(
    ("name", "arguments"), [(name, arguments) for name, arguments, dimension in CASES if dimension == 3], ids=case_name
)
GRID = Grid((16, 24, 12), (2 * math.pi, 3 * math.pi, math.pi))


def smooth_velocity(solver: NavierStokes) -> torch.Tensor:
    spectrum = random_spectrum(solver, batch=1) * torch.exp(-solver.space.wavenumber_squared / 8)
    return solver.space.to_physical(spectrum)


@every_closure_in_3d
def test_the_order_of_the_axes_does_not_matter(name: str, arguments: dict) -> None:
    """The tendency of a flow whose axes are renamed (x, y, z) → (z, x, y) is the renamed tendency."""
    order = [2, 0, 1]
    renamed = Grid(tuple(GRID.points[axis] for axis in order), tuple(GRID.sides[axis] for axis in order))
    first, second = (NavierStokes(grid, viscosity=0.03) for grid in (GRID, renamed))
    velocity = smooth_velocity(first)

    def rename(field: torch.Tensor) -> torch.Tensor:
        return field[:, order].permute(0, 1, *[2 + axis for axis in order])

    other = arguments | ({"average": "y"} if arguments.get("average") == "x" else {})
    with torch.no_grad():
        tendency = first.tendency(velocity, make(name, first.space, arguments))
        other_tendency = second.tendency(rename(velocity), make(name, second.space, other))
    assert torch.allclose(other_tendency, rename(tendency), atol=1e-11 * float(tendency.abs().max()))


@every_closure_in_3d
def test_a_flow_repeated_in_a_longer_box_is_the_same_flow(name: str, arguments: dict) -> None:
    """Two periods of a flow in a box twice as long, with twice the points and the same k_c, have its tendency."""
    if name in ("spectral_eddy_viscosity", "fitted_spectral_viscosity"):
        pytest.skip("their shells are those of the box, twice as narrow in the longer one")
    if name.startswith("dynamic"):
        arguments = arguments | {"test_filter_ratio": 2.5}  # 2 of 5 modes, and 4 of 10
    cube = NavierStokes(Grid((16, 16, 16), (2 * math.pi,) * 3), viscosity=0.03)
    double = NavierStokes(Grid((16, 32, 16), (2 * math.pi, 4 * math.pi, 2 * math.pi)), viscosity=0.03)
    velocity = smooth_velocity(cube)
    with torch.no_grad():
        tendency = cube.tendency(velocity, make(name, cube.space, arguments))
        repeated = double.tendency(velocity.repeat(1, 1, 1, 2, 1), make(name, double.space, arguments))
    # The dynamic model averages over the volume on a coarser grid of its own, which differs a little.
    tolerance = 2e-3 if name.startswith("dynamic") and "average" not in arguments else 1e-11
    assert torch.allclose(repeated, tendency.repeat(1, 1, 1, 2, 1), atol=tolerance * float(tendency.abs().max()))


@pytest.mark.parametrize("dimension", [2, 3])
def test_the_gradient_model_has_the_width_of_each_axis(dimension: int) -> None:
    """It is the leading term of the stress of exp(−Σ_i Δ_i² k_i² / 24), Δ_i in the ratios of π / k_c,i: order four."""
    grid = Grid((64, 32, 24)[:dimension], (2 * math.pi, 4 * math.pi, 2 * math.pi)[:dimension])
    space = SpectralSpace(grid)
    resolved = torch.tensor([grid.sides[axis] / grid.dealiased_cutoff[axis] for axis in range(dimension)]).double()
    assert float(resolved.max() / resolved.min()) > 2.5
    noise = torch.randn((1, dimension, *grid.points), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    spectrum = space.project(space.to_spectral(noise)) * (space.wavenumber_squared.sqrt() < 2.2)
    errors = []
    for part in (0.1, 0.05):
        widths = part * resolved
        squared = (widths.reshape(-1, *(1,) * dimension) * space.wavenumbers).square().sum(dim=0)
        transfer = torch.exp(-squared / 24)
        filtered = ResolvedVelocity(space, transfer * spectrum)
        square = space.to_physical(transfer * space.to_spectral(products(space.to_physical(spectrum))))
        truth = square - products(filtered.velocity)
        model = Gradient(space=space, filter_width=float(widths.prod() ** (1 / dimension)))
        errors.append(float((model.stress(filtered) - truth).abs().max() / truth.abs().max()))
    assert errors[0] < 0.1
    # The stress itself falls with the square of the width.
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("plane", [(0, 1), (0, 2), (1, 2)])
def test_vreman_has_the_widths_of_the_axes_that_a_vortex_turns_in(plane: tuple[int, int]) -> None:
    """In solid rotation with vorticity 2 Ω in the plane of axes i and j, ν_e = c Δ_i Δ_j Ω / √2."""
    space = SpectralSpace(GRID)
    axes = [
        torch.as_tensor(x).reshape(*(-1 if axis == k else 1 for k in range(3)))
        for axis, x in enumerate(GRID.coordinates())
    ]
    i, j = plane
    waves = [2 * math.pi / side for side in GRID.sides]
    velocity = torch.zeros((1, 3, *GRID.points), dtype=torch.float64)
    # Stream function cos(k_i x_i) / k_i² + cos(k_j x_j) / k_j²: solid rotation with Ω = 1 at the origin.
    velocity[:, i] = -torch.sin(waves[j] * axes[j]) / waves[j]
    velocity[:, j] = torch.sin(waves[i] * axes[i]) / waves[i]
    closure = make("vreman", space, {"vreman_constant": 0.07})
    viscosity = closure.eddy_viscosity(ResolvedVelocity(space, space.to_spectral(velocity)), None)
    widths = [side / (2 * cutoff) for side, cutoff in zip(GRID.sides, GRID.dealiased_cutoff, strict=True)]
    assert math.prod(widths) ** (1 / 3) == pytest.approx(filter_width(GRID))
    assert float(viscosity[0, 0, 0, 0]) == pytest.approx(0.07 * widths[i] * widths[j] / math.sqrt(2))


def test_the_spectral_eddy_viscosity_sees_the_density_of_the_spectrum() -> None:
    """E(k_c) is energy per wavenumber, not per shell: isotropic noise has the same one whatever the box."""
    found = []
    for points, sides in (((16, 16, 16), (1, 1, 1)), ((16, 32, 16), (1, 2, 1)), ((32, 32, 16), (2, 2, 1))):
        solver = NavierStokes(Grid(points, tuple(2 * math.pi * side for side in sides)), viscosity=0.03)
        space = solver.space
        spectrum = random_spectrum(solver, batch=8)
        # The boxes resolve the same cube of wavenumbers, in which all of them get the energy 1.
        spectrum = spectrum / space.mode_energy(spectrum).flatten(1).sum(dim=1).sqrt().reshape(-1, 1, 1, 1, 1)
        coefficient = make("spectral_eddy_viscosity", space).coefficient(ResolvedVelocity(space, spectrum))
        found.append(float(coefficient.mean()))
    # Shells are twice as narrow in longer boxes and lose less at the faces of the cube.
    assert found == pytest.approx([found[0]] * 3, rel=0.1)
