"""Squared norms of vector fields: in physical space, and in spectral space with a weight on each wavenumber."""

from __future__ import annotations

from torch import Tensor

from eddymark.grid import SpectralSpace


def mean_square(field: Tensor, *, space: SpectralSpace) -> Tensor:
    """Return the mean square of a vector field over the box, ⟨a_i a_i⟩, `(...)`.

    Arguments:
        field: a_i at the grid points, `(..., d, *grid)`.
        space: spectral space of the grid.
    """
    return field.square().sum(dim=-space.grid.dimension - 1).mean(dim=space.axes)


def sobolev_square(spectrum: Tensor, *, order: float, space: SpectralSpace) -> Tensor:
    """Return the squared Sobolev norm of order s of a vector field, Σ_k (1 + |k / κ₀|²)^s â_i(k) â_i(k)*, `(...)`.

    Of order 0, it is the mean square over the box (Parseval). The weight of the mean flow is 1 whatever the order, so
    that no norm is blind to it.

    Arguments:
        spectrum: â_i, `(..., d, *modes)`.
        order: s; above 0 the norm weighs small scales more, below 0 less.
        space: spectral space of the grid; κ₀ is its lowest wavenumber.

    Source: for s = −1, κ₀² times Σ_k |â_k|² / (α + |k|²) with α = κ₀²: Cao, Brarda, Li & Xi (2025), Spectral-Refiner,
    ICLR.
    """
    weight = (1 + space.wavenumber_squared / space.grid.lowest_wavenumber**2) ** order
    return 2 * (weight * space.mode_energy(spectrum)).sum(dim=space.axes)


def divergence_square(spectrum: Tensor, *, space: SpectralSpace) -> Tensor:
    """Return the mean square of the divergence of a vector field over the box, ⟨(∂_i a_i)²⟩, `(...)`.

    Arguments:
        spectrum: â_i, `(..., d, *modes)`.
        space: spectral space of the grid.
    """
    divergence = space.divergence(spectrum)
    return (space.multiplicity * (divergence.real**2 + divergence.imag**2)).sum(dim=space.axes)


def gradient_square(spectrum: Tensor, *, space: SpectralSpace) -> Tensor:
    """Return the mean square of the gradient of a vector field over the box, ⟨∂_j a_i ∂_j a_i⟩, `(...)`.

    Arguments:
        spectrum: â_i, `(..., d, *modes)`.
        space: spectral space of the grid.
    """
    return 2 * (space.wavenumber_squared * space.mode_energy(spectrum)).sum(dim=space.axes)
