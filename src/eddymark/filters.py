"""Filters between the DNS and the LES grid."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from eddymark.config.schema import Filter as FilterConfiguration
from eddymark.grid import Grid, SpectralSpace


class GridFilter:
    """Filters fields of a fine grid and restricts them to a coarse grid of the same box.

    ū̂_k = G(k) û_k for the modes that the coarse grid resolves without aliasing, |k_i| ≤ (points_i − 1) // 3, and zero
    beyond, with

        sharp:     G = 1
        gaussian:  G = exp(−Δ² |k|² / 24)
        box:       G = Π_i sin(k_i Δ / 2) / (k_i Δ / 2)

    Arguments:
        fine: spectral space of the fine grid.
        coarse: coarse grid, which resolves no mode that the fine space lacks.
        configuration: type and width Δ (default: twice the coarse grid's spacing).

    Raises:
        ValueError: if the coarse grid is another box or resolves more than the fine space.

    Source: Pope, Turbulent Flows (2000), Table 13.2.
    """

    def __init__(self, fine: SpectralSpace, coarse: Grid, configuration: FilterConfiguration) -> None:
        finer = any(c > f for c, f in zip(coarse.dealiased_cutoff, fine.cutoff, strict=True))
        if coarse.sides != fine.grid.sides or finer:
            raise ValueError(f"cannot restrict {fine.grid} to {coarse}")
        self.fine = fine
        self.coarse = SpectralSpace(coarse, dtype=fine.dtype, device=fine.device)
        self.transfer = transfer_function(self.coarse, configuration)

    def __call__(self, spectrum: Tensor) -> Tensor:
        """Return the filtered field at the coarse grid's points, `(..., *coarse grid)`, from a fine spectrum."""
        return self.coarse.to_physical(self.spectrum(spectrum))

    def spectrum(self, spectrum: Tensor) -> Tensor:
        """Return the spectrum of the filtered field, `(..., *coarse modes)`, from a fine spectrum."""
        return self.transfer * self.fine.resample(spectrum, self.coarse)


def transfer_function(space: SpectralSpace, configuration: FilterConfiguration) -> Tensor:
    """Return G(k) per mode of a space, `(*modes)`."""
    width = configuration.width or 2 * max(space.grid.spacing)
    match configuration.type:
        case "gaussian":
            return gaussian(space, width)
        case "box":
            return torch.sinc(space.wavenumbers * (width / (2 * math.pi))).prod(dim=0)
        case _:
            return torch.ones_like(space.wavenumber_squared)


def gaussian(space: SpectralSpace, width: float) -> Tensor:
    """Return G(k) = exp(−Δ² |k|² / 24) of the Gaussian filter of width Δ per mode of a space, `(*modes)`."""
    return torch.exp(-(width**2) * space.wavenumber_squared / 24)


def filter_width(grid: Grid) -> float:
    """Return the width Δ = π / k_c of what a dealiased grid resolves (geometric mean over the axes).

    Source: Pope (2000), Sec. 13.2: a sharp filter of width Δ keeps |k| < π / Δ.
    """
    return math.prod(_filter_widths(grid)) ** (1 / grid.dimension)


def relative_widths(grid: Grid) -> tuple[float, ...]:
    """Return Δ_i / Δ, the width of what a grid resolves along each axis over their geometric mean."""
    width = filter_width(grid)
    return tuple(along / width for along in _filter_widths(grid))


def _filter_widths(grid: Grid) -> tuple[float, ...]:
    return tuple(side / (2 * m) for m, side in zip(grid.dealiased_cutoff, grid.sides, strict=True))
