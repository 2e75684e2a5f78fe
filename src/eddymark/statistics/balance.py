"""Volume averages of single states: kinetic energy, that of the mean flow, enstrophy, divergence."""

from __future__ import annotations

import torch
from torch import Tensor

from eddymark.grid import SpectralSpace


def _mean_square(spectrum: Tensor, space: SpectralSpace) -> Tensor:
    return 2 * space.mode_energy(spectrum).flatten(-space.grid.dimension).sum(dim=-1)


def kinetic_energy(spectrum: Tensor, *, space: SpectralSpace) -> Tensor:
    """Return the kinetic energy per unit mass, ½⟨u_i u_i⟩, mean flow included.

    Arguments:
        spectrum: velocity spectrum, `(..., component, *modes)`.
        space: spectral space of the grid.

    Returns:
        `(...,)`.
    """
    return 0.5 * _mean_square(spectrum, space)


def mean_flow_energy(spectrum: Tensor, *, space: SpectralSpace) -> Tensor:
    """Return the kinetic energy of the mean flow, ½⟨u_i⟩⟨u_i⟩; arguments and shapes as for `kinetic_energy`."""
    return 0.5 * spectrum.flatten(-space.grid.dimension)[..., 0].abs().square().sum(dim=-1)


def enstrophy(spectrum: Tensor, *, space: SpectralSpace) -> Tensor:
    """Return the enstrophy, ½⟨ω_i ω_i⟩; arguments and shapes as for `kinetic_energy`."""
    return 0.5 * _mean_square(space.vorticity(spectrum), space)


def relative_divergence(spectrum: Tensor, *, space: SpectralSpace) -> Tensor:
    """Return rms divergence / rms vorticity, √⟨(∂_i u_i)²⟩ / √⟨ω_i ω_i⟩; as for `kinetic_energy`.

    A state at rest has none; a potential flow has infinitely much.
    """
    divergence = _mean_square(space.divergence(spectrum).unsqueeze(-space.grid.dimension - 1), space)
    vorticity = _mean_square(space.vorticity(spectrum), space)
    return torch.where(divergence == 0, divergence, (divergence / vorticity).sqrt())
