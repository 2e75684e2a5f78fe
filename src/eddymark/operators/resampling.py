"""From one periodic grid to another: averages, interpolation and smoothing, axis by axis.

Fields have their channels last, `(batch, x, y, z, channel)`: a map of one axis is then a batched product of a small
matrix with contiguous memory, whichever axis it is.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor


def along_axes(values: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Return `(batch, *new_grid, channel)`: each grid axis of `(batch, *grid, channel)` multiplied by its matrix."""
    batch, *points, channels = values.shape
    leading = batch
    values = values.contiguous()
    for axis, matrix in enumerate(matrices):
        values = torch.matmul(matrix, values.view(leading, points[axis], -1))
        leading *= matrix.shape[0]
    return values.view(batch, *(matrix.shape[0] for matrix in matrices), channels)


def halved(values: Tensor) -> Tensor:
    """Return averages over cells of two points per axis, `(batch, *grid / 2, channel)`."""
    batch, *points, channels = values.shape
    pairs = [size for count in points for size in (count // 2, 2)]
    return values.reshape(batch, *pairs, channels).mean(dim=tuple(range(2, 2 * len(points) + 1, 2)))


def doubled(values: Tensor) -> Tensor:
    """Return linear interpolation to twice the points per axis, `(batch, *2 grid, channel)`.

    A coarse point stands in the middle of two fine ones, as after `halved`. The boundary is no exception: the first and
    the last point are neighbours.
    """
    return along_axes(values, [_doubling(n, values.dtype, values.device) for n in values.shape[1:-1]])


@functools.lru_cache(maxsize=64)
def _doubling(points: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    # Not inference tensors, even if first needed in a rollout: training may use the same matrices later.
    with torch.inference_mode(False):
        near = torch.eye(points, dtype=dtype, device=device).repeat_interleave(2, dim=0)
        far = torch.stack([near[::2].roll(-1, 1), near[::2].roll(1, 1)], dim=1).flatten(0, 1)
        return 0.75 * near + 0.25 * far


@functools.lru_cache(maxsize=256)
def spline_matrix(source: int, target: int, nodes: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the matrix of a convolution with a cubic B-spline, by the trapezoidal rule on a periodic axis.

    (M v)_t = (1/δ) Σ_s h B((x_t − x_s)/δ) v_s ≈ ∫ B((x_t − x)/δ) v(x) dx/δ with the grid spacing h and the width δ,
    for points of another grid, finer or coarser. Rows add up to one where δ is a multiple of h.

    Arguments:
        source, target: numbers of points of the two grids.
        nodes: how often δ fits into the side.
        dtype, device: of the matrix, `(target, source)`.
    """
    with torch.inference_mode(False):
        places = torch.arange(target).double() / target, torch.arange(source).double() / source
        distance = (places[0][:, None] - places[1]).remainder(1.0) * nodes
        # Images of the points: the spline reaches over two widths to both sides.
        reach = int(2 / nodes) + 2
        matrix = sum(cubic_spline(distance + image * nodes) for image in range(-reach, reach + 1))
        assert isinstance(matrix, Tensor)
        return (matrix * (nodes / source)).to(device, dtype).contiguous()


def cubic_spline(x: Tensor) -> Tensor:
    """Return the cubic B-spline with knots at −2, −1, 0, 1, 2, whose integral is one."""
    x = x.abs()
    inner = 2 / 3 - x.square() + x.pow(3) / 2
    return torch.where(x < 1, inner, (2 - x).clamp(min=0).pow(3) / 6)
