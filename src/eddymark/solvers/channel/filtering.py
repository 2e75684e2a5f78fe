"""Filters between the grid of a DNS and that of an LES in the same channel."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from eddymark.config.schema import Filter as FilterConfiguration
from eddymark.solvers.channel.flow import ChannelFlow
from eddymark.solvers.channel.grid import ChannelGrid


class ChannelFilter:
    """Filters a velocity along the walls and restricts it to what a coarse grid resolves.

    Along x and z, ū̂_k = G(k) û_k for the modes of the coarse grid and zero beyond, with

        sharp:     G = 1
        gaussian:  G = exp(−(Δ_x² k_x² + Δ_z² k_z²) / 24)
        box:       G = sin(k_x Δ_x / 2) / (k_x Δ_x / 2) · sin(k_z Δ_z / 2) / (k_z Δ_z / 2)

    Between the walls, the result is the solenoidal velocity without slip, of the coarse grid's polynomials and with the
    same flux, that is closest in energy: the counterpart of a sharp filter.

    Arguments:
        fine: the flow on the fine grid.
        coarse: the flow on a grid of the same channel, which resolves nothing that the fine one lacks, and is driven
            alike.
        configuration: type and width Δ; default: twice the coarse grid's spacing along each axis.

    Raises:
        ValueError: if the coarse grid is of another channel or resolves more than the fine one.

    Source: Pope, Turbulent Flows (2000), Table 13.2.
    """

    def __init__(self, fine: ChannelFlow, coarse: ChannelFlow, configuration: FilterConfiguration) -> None:
        grid, onto = fine.grid, coarse.grid
        finer = onto.degree > grid.degree or any(c > f for c, f in zip(onto.cutoff, grid.cutoff, strict=True))
        driven = fine.pressure_gradient is None, coarse.pressure_gradient is None
        if onto.sides != grid.sides or finer or driven[0] != driven[1]:
            raise ValueError(f"cannot restrict {grid} to {onto}")
        self.fine = fine
        self.coarse = coarse
        # The coarse grid's modes at the fine grid's wall-normal points, where the integrals are exact.
        between = ChannelGrid((onto.points[0], grid.points[1], onto.points[2]), onto.sides, onto.degree)
        self._projection = ChannelFlow(
            between,
            viscosity=coarse.viscosity,
            pressure_gradient=coarse.pressure_gradient,
            dtype=coarse.space.dtype,
            device=coarse.space.device,
        )
        space = coarse.space
        widths = [configuration.width or 2 * onto.sides[axis] / onto.points[axis] for axis in (0, 2)]
        scaled = [k * width for k, width in zip((space.k_x, space.k_z), widths, strict=True)]
        self.transfer = _transfer_function(scaled, configuration.type)
        """G per mode of the coarse grid, `(x mode, 1, z mode)`."""

    def __call__(self, spectrum: Tensor) -> Tensor:
        """Return the filtered velocity at the coarse grid's points, `(batch, 3, *coarse)`, from fine amplitudes."""
        return self.coarse.to_physical(self.spectrum(spectrum))

    def spectrum(self, spectrum: Tensor) -> Tensor:
        """Return the amplitudes of the filtered velocity, `(batch, 2, *coarse modes)`, from fine ones."""
        velocity = self.fine.resolved(spectrum).velocity_spectrum
        m_x, m_z = self.coarse.grid.cutoff
        kept = velocity[..., : m_z + 1]
        kept = torch.cat([kept.narrow(2, 0, m_x + 1), kept.narrow(2, kept.shape[2] - m_x, m_x)], dim=2)
        filtered = self._projection.project(self.transfer * kept)
        lost = self.fine.bulk_velocity(spectrum) - self.coarse.bulk_velocity(filtered)
        return self.coarse.modes.with_flux(filtered, lost)


def _transfer_function(scaled: list[Tensor], kind: str) -> Tensor:
    """Return G of k_x Δ_x and k_z Δ_z."""
    x, z = scaled
    match kind:
        case "gaussian":
            return torch.exp(-(x**2 + z**2) / 24)
        case "box":
            return torch.sinc(x / (2 * math.pi)) * torch.sinc(z / (2 * math.pi))
        case _:
            return torch.ones_like(x * z)
