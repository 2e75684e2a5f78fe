"""Takes states of a source to the LES grid and says what they are like."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from eddymark.filters import GridFilter
from eddymark.flows.base import Flow, Scales, turbulence_scales
from eddymark.grid import Grid, SpectralSpace

ROUNDING = 1e-4
"""Relative divergence, and relative amplitude beyond the cut-off, up to which fields on the LES grid stay as they are:
both are larger than what single precision leaves, and smaller than what matters to any statistic."""


@dataclass(frozen=True)
class Description:
    """States of a source as they come, `(time,)` each, in flow units.

    Arguments:
        kinetic_energy: per unit mass.
        dissipation: ν ⟨ω²⟩ of what the grid resolves.
        drag: 2 α times the energy.
        injection: work of a steady force; NaN for other forces, which depend on more than the state.
        divergence: rms of ∇·u / rms of ∇u.
        shells: energy per shell, `(time, shell)`.
        scales: of all states together.
    """

    kinetic_energy: Tensor
    dissipation: Tensor
    drag: Tensor
    injection: Tensor
    divergence: Tensor
    shells: Tensor
    scales: Scales


class Restriction:
    """Brings states of a grid to the LES grid: filtered, solenoidal and without the modes that alias.

    States which are on the LES grid count as filtered already; they are returned unchanged if they are solenoidal and
    free of such modes but for rounding (`ROUNDING`).

    Arguments:
        flow: the flow.
        points: the source's grid.
        dtype: precision of the work.
        device: where to compute.
    """

    def __init__(self, flow: Flow, points: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> None:
        configuration = flow.configuration
        self.grid = Grid(points=points, sides=configuration.sides)
        self.is_filtered = self.grid == flow.coarse_grid
        self.everything = SpectralSpace(self.grid, dealiased=False, dtype=dtype, device=device)
        self.solver = flow.solver(self.grid, dtype=dtype, device=device)
        self.filter = None
        if not self.is_filtered:
            self.filter = GridFilter(self.everything, flow.coarse_grid, configuration.large_eddy_grid.filter)

    def __call__(self, velocity: Tensor) -> tuple[Tensor, Description]:
        """Return states on the LES grid, `(time, d, *LES grid)`, and what they were like before.

        Arguments:
            velocity: `(time, d, *grid)`, flow units.
        """
        spectrum = self.everything.to_spectral(velocity)
        description, beyond = self._describe(spectrum)
        if self.filter is not None:
            return self.filter(self.everything.project(spectrum)), description
        if float(description.divergence.max()) <= ROUNDING and beyond <= ROUNDING:
            return velocity, description
        space = self.solver.space
        return space.to_physical(space.project(space.to_spectral(velocity))), description

    def _describe(self, spectrum: Tensor) -> tuple[Description, float]:
        """Return the description, and the largest relative amplitude of what lies beyond the solver's cut-off."""
        full, space, solver = self.everything, self.solver.space, self.solver
        axes = tuple(range(1, self.grid.dimension + 1))
        total = full.mode_energy(spectrum).sum(dim=axes)
        gradient = 2 * (full.wavenumber_squared * full.mode_energy(spectrum)).sum(dim=axes)
        diverging = full.divergence(spectrum)
        squared = ((diverging.real**2 + diverging.imag**2) * full.multiplicity).sum(dim=axes)
        kept = _truncated(spectrum, space)
        density = space.mode_energy(kept)
        energy = density.sum(dim=axes)
        injection = torch.full_like(energy, float("nan"))
        if solver.forcing.steady is not None:
            work = (kept.conj() * solver.forcing.steady).real.sum(dim=1) * space.multiplicity
            injection = work.sum(dim=axes)
        tiny = torch.finfo(full.dtype).tiny
        description = Description(
            kinetic_energy=total,
            dissipation=2 * solver.viscosity * (space.wavenumber_squared * density).sum(dim=axes),
            drag=2 * solver.linear_drag * energy,
            injection=injection,
            divergence=(squared / gradient.clamp_min(tiny)).sqrt(),
            shells=space.shell_sum(density),
            scales=turbulence_scales(space, kept, viscosity=solver.viscosity),
        )
        return description, float(((total - energy).clamp_min(0) / total.clamp_min(tiny)).sqrt().max())


def _truncated(spectrum: Tensor, space: SpectralSpace) -> Tensor:
    """Return the modes of a dealiased space from all modes of its grid."""
    for axis in range(-space.grid.dimension, -1):
        m, count = space.modes[axis] // 2, spectrum.shape[axis]
        spectrum = torch.cat([spectrum.narrow(axis, 0, m + 1), spectrum.narrow(axis, count - m, m)], dim=axis)
    return spectrum[..., : space.modes[-1]]
