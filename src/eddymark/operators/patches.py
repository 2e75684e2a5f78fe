"""Cubes of grid points as channels of a coarser grid, without any arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor


def require_patches(points: Sequence[int], size: int, modes: Sequence[int]) -> None:
    """Raise a ValueError unless a grid consists of patches, more than two for each mode of an axis."""
    if len(points) != len(modes) or any(n % size for n in points):
        raise ValueError(f"the grid must have {len(modes)} axes of whole patches of {size} points")
    least = [size * (2 * m + 1) for m in modes]
    if any(n < needed for n, needed in zip(points, least, strict=True)):
        texts = " × ".join(map(str, least)), " × ".join(map(str, points))
        raise ValueError(f"modes {tuple(modes)} need a grid of at least {texts[0]} points; got {texts[1]}")


def to_patches(field: Tensor, size: int) -> Tensor:
    """Return `(batch, channel, *grid)` as `(batch, channel · sizeᵈ, *patches)`; sizes divide the grid."""
    axes = range(field.dim() - 2)
    split = [n for points in field.shape[2:] for n in (points // size, size)]
    values = field.reshape(*field.shape[:2], *split)
    inside, patches = [3 + 2 * axis for axis in axes], [2 + 2 * axis for axis in axes]
    return values.permute(0, 1, *inside, *patches).flatten(1, 1 + len(inside))


def from_patches(patches: Tensor, size: int) -> Tensor:
    """Return `(batch, channel · sizeᵈ, *patches)` as `(batch, channel, *grid)`, contiguous; undoes `to_patches`."""
    dimension = patches.dim() - 2
    values = patches.unflatten(1, (-1, *[size] * dimension))
    order = [place for axis in range(dimension) for place in (2 + dimension + axis, 2 + axis)]
    grid = [points * size for points in patches.shape[2:]]
    channels = patches.shape[1] // math.prod([size] * dimension)
    return values.permute(0, 1, *order).reshape(len(patches), channels, *grid)
