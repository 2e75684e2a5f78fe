"""Points, bases and modes between walls against what is known of them."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from numpy.polynomial import legendre

from eddymark.solvers.channel.flow import ChannelFlow
from eddymark.solvers.channel.grid import ChannelGrid
from eddymark.solvers.channel.legendre import clamped_basis, dirichlet_basis, gauss_points
from eddymark.solvers.channel.stokes_modes import velocity_modes, vorticity_modes
from tests.solvers.channel.fields import DRIVES, GRID, random_field

WALLS = np.array([-1.0, 1.0])


def test_quadrature_is_symmetric_and_exact_up_to_its_degree() -> None:
    points, weights = gauss_points(9)
    assert np.array_equal(points, -points[::-1])
    assert weights @ points**16 == pytest.approx(2 / 17, rel=1e-14)
    assert abs(weights @ points**18 - 2 / 19) > 1e-7


@pytest.mark.parametrize(("basis", "order"), [(dirichlet_basis(21), 1), (clamped_basis(22), 2)])
def test_bases_vanish_at_the_walls_and_their_derivatives_are_those_of_the_polynomials(basis, order: int) -> None:
    for derivative in range(order):
        scale = np.abs(basis.values(derivative, np.linspace(-1, 1, 201))).max()
        assert np.abs(basis.values(derivative, WALLS)).max() <= 1e-15 * scale
    for derivative in range(1, order + 1):
        expected = legendre.legder(basis.coefficients[0].T, derivative)
        np.testing.assert_allclose(basis.coefficients[derivative].T[: len(expected)], expected, atol=1e-12)
    exists = np.abs(basis.coefficients[0]).max(axis=1) > 0
    np.testing.assert_allclose(2 * basis.products(order)[exists][:, exists], np.eye(exists.sum()), atol=1e-14)
    # Means of products, by quadrature.
    points, weights = gauss_points(30)
    values = basis.values(0, points)
    np.testing.assert_allclose(basis.products(0), values.T @ (weights[:, None] / 2 * values), atol=1e-15)


@pytest.mark.parametrize("wavenumber", [0.5, 1.0, 7.0])
@pytest.mark.parametrize("half_height", [1.0, 0.7])
def test_damping_of_wall_normal_modes_solves_the_dispersion_relation(wavenumber: float, half_height: float) -> None:
    """λ = k² + p² with p tan ph = −k tanh kh (even v) or p cot ph = k coth kh (odd v)."""
    _, rates = velocity_modes(clamped_basis(52), wavenumber**2, half_height)
    half, k, h = len(rates) // 2, wavenumber, half_height
    for rate in rates[:8]:
        p = math.sqrt(rate - k**2)
        assert p * math.sin(p * h) * math.cosh(k * h) + k * math.sinh(k * h) * math.cos(p * h) == pytest.approx(
            0, abs=1e-9 * p * math.cosh(k * h)
        )
    for rate in rates[half : half + 8]:
        p = math.sqrt(rate - k**2)
        assert p * math.cos(p * h) * math.sinh(k * h) - k * math.cosh(k * h) * math.sin(p * h) == pytest.approx(
            0, abs=1e-9 * p * math.cosh(k * h)
        )


def test_damping_of_vorticity_modes_is_that_of_sines() -> None:
    _, rates = vorticity_modes(dirichlet_basis(51), 0.8)
    half = len(rates) // 2
    even, odd = np.arange(1, 16, 2), np.arange(2, 17, 2)
    np.testing.assert_allclose(rates[:8], (even * math.pi / 1.6) ** 2, rtol=1e-12)
    np.testing.assert_allclose(rates[half : half + 8], (odd * math.pi / 1.6) ** 2, rtol=1e-12)


@pytest.mark.parametrize("degree", [21, 85, 127])
def test_modes_are_orthonormal_in_energy_and_orthogonal_in_dissipation(degree: int) -> None:
    basis = clamped_basis(degree + 1)
    for squared in (0.25, 30.0, 4000.0):
        shapes, rates = velocity_modes(basis, squared, 1.0)
        value, slope, curvature = (basis.products(order) for order in range(3))
        energy, dissipation = value + slope / squared, squared * value + 2 * slope + curvature / squared
        half = len(value) // 2
        for parity in range(2):
            part, used = slice(parity * half, (parity + 1) * half), half - parity
            c, roots = shapes[parity], np.sqrt(np.maximum(rates[part], 1))
            found = (c.T @ energy[part, part] @ c)[:used, :used]
            np.testing.assert_allclose(found, np.eye(used), atol=1e-12)
            found = (c.T @ dissipation[part, part] @ c) / np.outer(roots, roots)
            np.testing.assert_allclose(found, np.diag(rates[part] / roots**2), atol=1e-12)


@pytest.mark.parametrize("pressure_gradient", DRIVES)
@pytest.mark.parametrize("grid", [GRID, ChannelGrid((8, 17, 12), (3.0, 1.3, 1.7), degree=15)], ids=str)
def test_states_are_solenoidal_do_not_slip_and_are_orthonormal(grid: ChannelGrid, pressure_gradient) -> None:
    flow = ChannelFlow(grid, viscosity=0.02, pressure_gradient=pressure_gradient)
    spectrum = flow.to_spectral(random_field(grid))
    velocity = flow.to_physical(spectrum)
    rows = flow.resolved(spectrum).gradient_spectrum
    assert (rows[0][0] + rows[1][1] + rows[2][2]).abs().max() <= 1e-13
    # The polynomial through the points has the walls' values.
    y = grid.coordinates()[1] / grid.half_height - 1
    fitted = legendre.legfit(y, velocity.movedim(-2, 0).flatten(1).numpy(), grid.degree + 1)
    assert np.abs(legendre.legval(WALLS, fitted)).max() <= 1e-12
    assert torch.allclose(flow.to_spectral(velocity), spectrum, atol=1e-14)
    energy = flow.space.volume_average(velocity.square().sum(dim=1)) / 2
    assert torch.allclose(flow.kinetic_energy(spectrum), energy, rtol=1e-13)
    assert float(energy.min()) > 0.1
    assert torch.allclose(flow.bulk_velocity(spectrum), flow.space.volume_average(velocity)[:, ::2], atol=1e-14)


def test_the_projection_removes_gradients_and_leaves_the_rest_of_the_closest_state() -> None:
    """p = cos k·x (y³ − y): ∇p does no work on any state; what is left of a field is orthogonal to all of them."""
    flow = ChannelFlow(GRID, viscosity=0.02)
    x, y, z = torch.meshgrid(*[torch.as_tensor(c) for c in GRID.coordinates()], indexing="ij")
    a, b = 2 * math.pi / 3.0, 2 * 2 * math.pi / 1.7
    phase, profile = a * x + b * z, y**3 - y
    gradient = torch.stack(
        [-a * torch.sin(phase) * profile, torch.cos(phase) * (3 * y**2 - 1), -b * torch.sin(phase) * profile]
    ).unsqueeze(0)
    assert flow.to_spectral(gradient).abs().max() <= 1e-14 * gradient.abs().max()
    field, state = random_field(batch=1), flow.to_physical(flow.to_spectral(random_field(batch=1, seed=1)))
    rest = field - flow.to_physical(flow.to_spectral(field))
    assert abs(float(flow.space.volume_average((rest * state).sum(dim=1)))) <= 1e-14
    assert float(flow.space.volume_average(rest.square().sum(dim=1))) > 0.1


def test_quadrature_weights_and_widths_of_a_grid() -> None:
    grid = ChannelGrid((32, 33, 16), (4 * math.pi, 2.0, 4 * math.pi / 3))
    assert (grid.degree, grid.cutoff) == (21, (10, 5))
    y, weights = grid.coordinates()[1], grid.weights()
    assert weights.sum() == pytest.approx(1, abs=1e-14)
    assert weights @ (y * (2 - y)) == pytest.approx(2 / 3, abs=1e-14)
    along_x, along_y, along_z = grid.widths()
    assert (along_x, along_z) == pytest.approx((4 * math.pi / 20, 4 * math.pi / 30))
    assert along_y[16] == pytest.approx(math.pi / 21)
    assert along_y[0] == pytest.approx(math.pi / 21 * math.sqrt(y[0] * (2 - y[0])))
    assert grid.filter_width()[3] ** 3 == pytest.approx(along_x * along_y[3] * along_z)
    degrees = [ChannelGrid((4, count, 4), (1.0, 2.0, 1.0)).degree for count in (6, 17, 18, 34, 35, 36, 129)]
    assert degrees == [3, 9, 11, 21, 21, 23, 85]  # the largest odd N ≤ (2 n − 3) / 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((8, 16), (1.0, 2.0)), "a channel needs 3 axes; got points (8, 16)"),
        (((8, 16, 7), (1.0, 2.0, 1.0)), "along x and z must be even and at least 4; got (8, 16, 7)"),
        (((2, 16, 8), (1.0, 2.0, 1.0)), "along x and z must be even and at least 4; got (2, 16, 8)"),
        (((8, 5, 8), (1.0, 2.0, 1.0)), "at least 6 points are needed between the walls; got 5"),
        (((8, 16, 8), (1.0, -2.0, 1.0)), "sides must be positive; got (1.0, -2.0, 1.0)"),
        (((8, 16, 8), (1.0, math.inf, 1.0)), "sides must be positive"),
        (((8, 16, 8), (1.0, 2.0, 1.0), 8), "the degree must be odd, from 3 to the number of points"),
        (((8, 16, 8), (1.0, 2.0, 1.0), 15), "less 2 (14); got 15"),
    ],
)
def test_what_is_no_grid_is_refused_with_the_reason(arguments, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        ChannelGrid(*arguments)
