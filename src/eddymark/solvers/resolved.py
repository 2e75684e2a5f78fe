"""A velocity field with its derived quantities, computed at most once each."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from eddymark.grid import SpectralSpace


def symmetric_pairs(dimension: int) -> list[tuple[int, int]]:
    """Return the index pairs (i, j), i ≤ j, in which symmetric tensors are stored; the last one is (d, d)."""
    return [(i, j) for i in range(dimension) for j in range(i, dimension)]


class ResolvedVelocity:
    """Velocity on a grid, given by its spectrum.

    Arguments:
        space: the dealiased spectral space.
        spectrum: û, `(batch, d, *modes)`.
    """

    def __init__(self, space: SpectralSpace, spectrum: Tensor) -> None:
        self.space = space
        self.spectrum = spectrum

    @cached_property
    def velocity(self) -> Tensor:
        """u_i at the grid points, `(batch, d, *grid)`."""
        return self.space.to_physical(self.spectrum)

    @cached_property
    def strain_rate_spectrum(self) -> Tensor:
        """Spectrum of S_ij = ½ (∂_j u_i + ∂_i u_j), i ≤ j, without S_dd, `(batch, pairs − 1, *modes)`."""
        k = self.space.wavenumbers
        u = self.spectrum
        return torch.stack([0.5j * (k[j] * u[:, i] + k[i] * u[:, j]) for i, j in symmetric_pairs(len(k))[:-1]], dim=1)

    @cached_property
    def strain_rate(self) -> Tensor:
        """S_ij at the grid points, i ≤ j, `(batch, d(d+1)/2, *grid)`.

        The last diagonal entry is minus the sum of the others (incompressibility), which saves its transform.
        """
        return complete_traceless(self.space.to_physical(self.strain_rate_spectrum), self.space.grid.dimension)


def complete_traceless(independent: Tensor, dimension: int) -> Tensor:
    """Append the last diagonal entry, minus the sum of the others, to a traceless tensor `(batch, pairs − 1, …)`."""
    diagonal = [p for p, (i, j) in enumerate(symmetric_pairs(dimension)[:-1]) if i == j]
    last = -independent[:, diagonal].sum(dim=1, keepdim=True)
    return torch.cat([independent, last], dim=1)


def contract(first: Tensor, second: Tensor, dimension: int) -> Tensor:
    """Return a_ij b_ij of two symmetric tensors `(batch, d(d+1)/2, *grid)`, shape `(batch, *grid)`."""
    weights = first.new_tensor([1.0 if i == j else 2.0 for i, j in symmetric_pairs(dimension)])
    return (weights.reshape(-1, *(1,) * dimension) * first * second).sum(dim=1)
