"""A velocity field with its derived quantities, computed at most once each.

Pressure takes up the isotropic part of every stress. A symmetric tensor a_ij is therefore stored *reduced*: its entries
i ≤ j without the last one, a_dd, which is subtracted from the other diagonal entries. These d(d+1)/2 − 1 numbers
determine its deviatoric part, and one transform less is needed per tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
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
        """Spectrum of S_ij = ½ (∂_j u_i + ∂_i u_j), reduced, `(batch, d(d+1)/2 − 1, *modes)`."""
        derivative = self.space.derivatives
        u = self.spectrum.unbind(1)
        last = derivative[-1] * u[-1]
        entries = [
            torch.addcmul(-last, derivative[i], u[i])
            if i == j
            else (0.5 * derivative[j] * u[i]).addcmul(derivative[i], u[j], value=0.5)
            for i, j in symmetric_pairs(len(u))[:-1]
        ]
        return torch.stack(entries, dim=1)

    @cached_property
    def strain_rate(self) -> Tensor:
        """S_ij at the grid points, reduced, `(batch, d(d+1)/2 − 1, *grid)`."""
        if "gradient" not in self.__dict__:
            return self.space.to_physical(self.strain_rate_spectrum)
        g = self.gradient
        return torch.stack(
            [
                g[i][i] - g[-1][-1] if i == j else 0.5 * (g[i][j] + g[j][i])
                for i, j in symmetric_pairs(self.space.grid.dimension)[:-1]
            ],
            dim=1,
        )

    @cached_property
    def gradient(self) -> list[list[Tensor]]:
        """∂_j u_i at the grid points: row i, column j, each `(batch, *grid)`.

        The last one is minus the sum of the others on the diagonal (incompressibility), which saves its transform.
        """
        dimension = self.space.grid.dimension
        derivative = self.space.derivatives
        # All components at once, then the last entry is dropped: fewer calls than one product for each.
        spectra = (self.spectrum.unsqueeze(2) * derivative).flatten(1, 2)[:, :-1]
        entries = list(self.space.to_physical(spectra).unbind(1))
        diagonal = [entries[i * (dimension + 1)] for i in range(dimension - 1)]
        entries.append(-sum(diagonal[1:], start=diagonal[0]))
        return [entries[i * dimension : (i + 1) * dimension] for i in range(dimension)]


def products(velocity: Tensor) -> Tensor:
    """Return u_i u_j, reduced, `(batch, d(d+1)/2 − 1, *grid)`, of a velocity `(batch, d, *grid)`."""
    u = velocity.unbind(1)
    minus_last = -u[-1] * u[-1]
    return torch.stack(
        [
            torch.addcmul(minus_last, u[i], u[i]) if i == j else u[i] * u[j]
            for i, j in symmetric_pairs(velocity.shape[1])[:-1]
        ],
        dim=1,
    )


def sum_of_products(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """Return Σ_i a_i b_i of fields, in one array."""
    total = first[0] * second[0]
    for a, b in zip(first[1:], second[1:], strict=True):
        total.addcmul_(a, b)
    return total


def reduce_symmetric(entries: list[Tensor]) -> Tensor:
    """Return a symmetric tensor reduced, `(batch, d(d+1)/2 − 1, *grid)`.

    Arguments:
        entries: all its entries i ≤ j, each `(batch, *grid)`.
    """
    dimension = 2 if len(entries) == 3 else 3
    pairs = symmetric_pairs(dimension)[:-1]
    return torch.stack(
        [entry - entries[-1] if i == j else entry for (i, j), entry in zip(pairs, entries[:-1], strict=True)], dim=1
    )


def deviatoric(reduced: Tensor) -> Tensor:
    """Return the deviatoric part of a reduced tensor with all its entries i ≤ j, `(batch, d(d+1)/2, *grid)`."""
    dimension = 2 if reduced.shape[1] == 2 else 3
    pairs = symmetric_pairs(dimension)
    diagonal = [position for position, (i, j) in enumerate(pairs[:-1]) if i == j]
    mean = reduced[:, diagonal].sum(dim=1) / dimension
    entries = [
        reduced[:, position] - mean if i == j else reduced[:, position] for position, (i, j) in enumerate(pairs[:-1])
    ]
    return torch.stack([*entries, -mean], dim=1)


def contract(first: Tensor, second: Tensor) -> Tensor:
    """Return a_ij b_ij of the deviatoric parts of two reduced tensors, `(batch, *grid)`.

    Σ_ij a_ij b_ij = 2 Σ_{i<j} a_ij b_ij + Σ_i a_ii b_ii − (Σ_i a_ii) (Σ_i b_ii) / d with the stored diagonal entries.
    """
    a, b = first.unbind(1), second.unbind(1)
    if len(a) == 2:
        return (0.5 * a[0] * b[0]).addcmul(a[1], b[1], value=2)
    # d = 3: the diagonal part is ⅔ (a₁ b₁ + a₂ b₂) − ⅓ (a₁ b₂ + a₂ b₁).
    total = (a[1] * b[1]).addcmul_(a[2], b[2]).addcmul_(a[4], b[4]).mul_(2)
    if first is second:
        return total.addcmul_(a[0], a[0], value=2 / 3).addcmul_(a[3], a[3] - a[0], value=2 / 3)
    return total.addcmul_(a[0], torch.sub(2 * b[0], b[3]), value=1 / 3).addcmul_(
        a[3], torch.sub(2 * b[3], b[0]), value=1 / 3
    )
