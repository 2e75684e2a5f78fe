"""Filters in three dimensions: transfer functions and cut-offs, mode by mode."""

from __future__ import annotations

from typing import Any

from eddymark.solvers.compiled.arrays import Array
from eddymark.solvers.compiled.compilation import compiled
from eddymark.solvers.compiled.modes import times


@compiled
def filter_rows(source: Array, factor: Any, rows: int, row: int, target: Array, kept_rows: int, kept: int) -> None:
    """Copy the modes which a test filter keeps, times a factor, from `rows` rows of modes or points."""
    width = target.shape[0] // kept_rows
    for r in range(kept_rows):
        start = (r if r <= kept_rows // 2 else rows - kept_rows + r) * row
        modes, filtered = source[start : start + kept], target[r * width : r * width + kept]
        for i in range(kept):
            filtered[i] = times(factor, modes[i])


@compiled
def smooth(factor: Array, source: Array, target: Array) -> None:
    """Multiply modes with a transfer function."""
    for i in range(target.shape[0]):
        target[i] = times(factor[i], source[i])


@compiled
def add_similarity(transfer: Array, smooth_products: Array, flux: Array, low: int) -> None:
    """From u_i u_j and ũ_i ũ_j to (1 + G) u_i u_j − ũ_i ũ_j; `low` modes come before the gap of high wavenumbers."""
    one = transfer.dtype.type(1)
    gap = flux.shape[0] - transfer.shape[0]
    for i in range(low):
        flux[i] = times(one + transfer[i], flux[i]) - smooth_products[i]
    for i in range(low, transfer.shape[0]):
        flux[i + gap] = times(one + transfer[i], flux[i + gap]) - smooth_products[i + gap]


@compiled
def subtract_smooth(transfer: Array, scale: Any, flux: Array, target: Array, low: int) -> None:
    """Subtract a transformed flux times a transfer function; `low` modes come before the gap of high wavenumbers."""
    gap = flux.shape[0] - transfer.shape[0]
    for i in range(low):
        target[i] -= times(scale * transfer[i], flux[i])
    for i in range(low, transfer.shape[0]):
        target[i] -= times(scale * transfer[i], flux[i + gap])


@compiled
def weigh(transfer: Array, scale: Any, source: Array, target: Array, low: int) -> None:
    """Multiply transformed lines with a transfer function; zeros stay where it has no modes."""
    gap = target.shape[0] - transfer.shape[0]
    for i in range(low):
        target[i] = times(scale * transfer[i], source[i])
    for i in range(low, transfer.shape[0]):
        target[i + gap] = times(scale * transfer[i], source[i + gap])


@compiled
def add_gathered(source: Array, target: Array, low: int) -> None:
    """Add the kept modes of a transformed array to lines; `low` of them come before the gap of high wavenumbers."""
    gap = source.shape[0] - target.shape[0]
    for i in range(low):
        target[i] += source[i]
    for i in range(low, target.shape[0]):
        target[i] += source[i + gap]


@compiled
def add_multiple(factor: Any, source: Array, out: Array) -> None:
    """Add a real multiple."""
    for i in range(out.shape[0]):
        out[i] += times(factor, source[i])
