"""Restriction to the grid of an LES: projection, transfer functions, refusals."""

from __future__ import annotations

import math

import pytest
import torch

from eddymark.config.schema import Filter
from eddymark.solvers.channel.filtering import ChannelFilter
from eddymark.solvers.channel.flow import ChannelFlow
from eddymark.solvers.channel.grid import ChannelGrid
from tests.solvers.channel.fields import DRIVES, parabola, random_field, shear

FINE = ChannelGrid((16, 30, 20), (3.0, 2.0, 1.7))
COARSE = ChannelGrid((8, 18, 12), (3.0, 2.0, 1.7))


def flows(pressure_gradient=None) -> tuple[ChannelFlow, ChannelFlow]:
    return tuple(ChannelFlow(grid, viscosity=0.02, pressure_gradient=pressure_gradient) for grid in (FINE, COARSE))


@pytest.mark.parametrize("pressure_gradient", DRIVES)
def test_what_the_coarse_grid_resolves_is_left_as_it_is(pressure_gradient) -> None:
    fine, coarse = flows(pressure_gradient)
    restrict = ChannelFilter(fine, coarse, Filter(type="sharp"))
    state = coarse.to_spectral(random_field(COARSE) + shear(COARSE, parabola(COARSE)))
    # The same polynomials and Fourier modes at the fine grid's points.
    back = ChannelFilter(
        ChannelFlow(
            ChannelGrid(FINE.points, FINE.sides, COARSE.degree), viscosity=0.02, pressure_gradient=pressure_gradient
        ),
        coarse,
        Filter(type="sharp"),
    )
    padded = state.new_zeros((2, 2, *back.fine.modes.modes))
    m_x, m_z = COARSE.cutoff
    padded[:, :, : m_x + 1, :, : m_z + 1] = state[:, :, : m_x + 1]
    padded[:, :, -m_x:, :, : m_z + 1] = state[:, :, -m_x:]
    assert torch.allclose(back.spectrum(padded), state, atol=1e-13)
    resolved = fine.to_spectral(back.fine.to_physical(padded))
    assert torch.allclose(restrict(resolved), coarse.to_physical(state), atol=1e-12)


@pytest.mark.parametrize("pressure_gradient", DRIVES)
def test_filtered_velocity_is_the_closest_and_keeps_the_flux(pressure_gradient) -> None:
    """Restricting again changes nothing, what is removed is orthogonal to coarse states, U_b stays as it is."""
    fine, coarse = flows(pressure_gradient)
    spectrum = fine.to_spectral(random_field(FINE) + shear(FINE, parabola(FINE)))
    filtered = ChannelFilter(fine, coarse, Filter(type="sharp")).spectrum(spectrum)
    assert (coarse.kinetic_energy(filtered) < 0.9 * fine.kinetic_energy(spectrum)).all()
    again = ChannelFilter(coarse, coarse, Filter(type="sharp")).spectrum(filtered)
    assert torch.allclose(again, filtered, atol=1e-13)
    rows = coarse.resolved(filtered).gradient_spectrum
    assert (rows[0][0] + rows[1][1] + rows[2][2]).abs().max() <= 1e-12
    assert torch.allclose(coarse.bulk_velocity(filtered), fine.bulk_velocity(spectrum), atol=1e-13)
    # The polynomials of the coarse grid at the fine grid's points.
    grid = ChannelGrid((COARSE.points[0], FINE.points[1], COARSE.points[2]), COARSE.sides, COARSE.degree)
    between = ChannelFlow(grid, viscosity=0.02, pressure_gradient=pressure_gradient)
    probe = between.to_spectral(random_field(grid, seed=5))
    probe[:, 1, 0, :, 0] = 0  # the mean flow is closest among those with its flux

    def product(flow: ChannelFlow, state: torch.Tensor) -> torch.Tensor:
        """⟨u_i v_i⟩ of a state's coarse wavenumbers and the probe."""
        u = flow.resolved(state).velocity_spectrum
        m_x, m_z = COARSE.cutoff
        u = torch.cat([u[:, :, : m_x + 1], u[:, :, -m_x:]], dim=2)[..., : m_z + 1]
        v = between.resolved(probe).velocity_spectrum
        inner = ((u.conj() * v).real * between.space.multiplicity).sum(dim=(1, 2, 4))
        return between.space.height_average(inner)

    assert torch.allclose(product(between, filtered), product(fine, spectrum), atol=1e-13)
    assert product(fine, spectrum).abs().min() > 1e-6


@pytest.mark.parametrize(
    ("kind", "width", "expected"),
    [
        ("sharp", None, lambda x, z: 1.0),
        ("gaussian", 0.3, lambda x, z: math.exp(-0.09 * (x**2 + z**2) / 24)),
        ("box", 0.3, lambda x, z: math.sin(0.15 * x) / (0.15 * x) * math.sin(0.15 * z) / (0.15 * z)),
        ("gaussian", None, lambda x, z: math.exp(-((2 * 3 / 8 * x) ** 2 + (2 * 1.7 / 12 * z) ** 2) / 24)),
    ],
)
def test_transfer_functions_along_the_walls(kind, width, expected) -> None:
    fine, coarse = flows()
    spectrum = fine.to_spectral(random_field(FINE))
    sharp = ChannelFilter(fine, coarse, Filter(type="sharp")).spectrum(spectrum)
    filtered = ChannelFilter(fine, coarse, Filter(type=kind, width=width)).spectrum(spectrum)
    for index, m_z in ((1, 2), (-2, 3)):
        factor = expected(2 * math.pi * index / 3, 2 * math.pi * m_z / 1.7)
        assert torch.allclose(filtered[:, :, index, :, m_z], factor * sharp[:, :, index, :, m_z], atol=1e-14)
    assert torch.allclose(filtered[:, :, 0, :, 0], sharp[:, :, 0, :, 0], atol=1e-14)


@pytest.mark.parametrize(
    ("grid", "gradient"),
    [
        (ChannelGrid((8, 18, 12), (3.0, 2.0, 1.6)), None),
        (ChannelGrid((20, 18, 12), (3.0, 2.0, 1.7)), None),
        (ChannelGrid((8, 36, 12), (3.0, 2.0, 1.7)), None),
        (COARSE, 0.3),
    ],
)
def test_other_channels_finer_grids_and_other_drives_are_refused(grid: ChannelGrid, gradient) -> None:
    fine, _ = flows()
    with pytest.raises(ValueError, match="cannot restrict"):
        ChannelFilter(fine, ChannelFlow(grid, viscosity=0.02, pressure_gradient=gradient), Filter(type="sharp"))
