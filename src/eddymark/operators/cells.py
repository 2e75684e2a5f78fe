"""Grids cut into patches of equal size; fields have their channels last, `(batch, *grid, channel)`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor


def cut(values: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return the patches of `(batch, *grid, channel)`, `(batch × patches, points of a patch, channel)`.

    Arguments:
        values: the field; each axis has a multiple of the patch's points.
        sizes: points of a patch per axis.
    """
    batch, *grid, channels = values.shape
    dimension = len(grid)
    split = [part for points, size in zip(grid, sizes, strict=True) for part in (points // size, size)]
    order = (0, *range(1, 2 * dimension, 2), *range(2, 2 * dimension + 1, 2), 2 * dimension + 1)
    return values.reshape(batch, *split, channels).permute(order).reshape(-1, math.prod(sizes), channels)


def joined(patches: Tensor, grid: Sequence[int], sizes: Sequence[int]) -> Tensor:
    """Return the field `(batch, *grid, channel)` of its patches: the inverse of `cut`."""
    dimension, channels = len(grid), patches.shape[-1]
    counts = [points // size for points, size in zip(grid, sizes, strict=True)]
    order = [place for axis in range(dimension) for place in (1 + axis, 1 + dimension + axis)]
    split = patches.reshape(-1, *counts, *sizes, channels).permute(0, *order, 2 * dimension + 1)
    return split.reshape(-1, *grid, channels)
