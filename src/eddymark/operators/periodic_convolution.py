"""Convolutions on grids with periodic axes, and walls.

Fields have their channels last here, `(batch, x, y, z, channel)`. Pointwise maps and norms then act on contiguous
memory, continuing a field over its boundary copies whole rows, and torch's convolutions need no copy: for them the same
memory is a `channels_last` tensor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def channels_last(field: Tensor) -> Tensor:
    """Return `(batch, channel, *grid)` as `(batch, *grid, channel)`, contiguous."""
    return field.movedim(1, -1).contiguous()


def channels_second(values: Tensor) -> Tensor:
    """Return `(batch, *grid, channel)` as `(batch, channel, *grid)`, contiguous."""
    return values.movedim(-1, 1).contiguous()


def extended(
    values: Tensor, before: Sequence[int], after: Sequence[int], periodic: Sequence[bool] | None = None
) -> Tensor:
    """Return a field with some more points at both ends of each grid axis: its own around the box, zeros beyond walls.

    Arguments:
        values: `(batch, *grid, channel)`.
        before, after: how many points per axis; they may be more than the axis has.
        periodic: whether each axis is periodic; None: all are.
    """
    wraps = (True,) * len(before) if periodic is None else periodic
    if not all(wraps):
        ends = zip(reversed(before), reversed(after), reversed(wraps), strict=True)
        beyond = [count for left, right, here in ends for count in ((0, 0) if here else (left, right))]
        values = F.pad(values, (0, 0, *beyond))
    for axis, (left, right, here) in enumerate(zip(before, after, wraps, strict=True), start=1):
        points = values.shape[axis]
        if here and max(left, right) > points:
            index = torch.arange(-left, points + right, device=values.device).remainder(points)
            values = values.index_select(axis, index)
        elif here and (left or right):
            last, first = values.narrow(axis, points - left, left), values.narrow(axis, 0, right)
            values = torch.cat([last, values, first], axis)
    return values


def _strides(stride: int | Sequence[int], dimension: int) -> tuple[int, ...]:
    return (stride,) * dimension if isinstance(stride, int) else tuple(stride)


class PeriodicConvolution(nn.Module):
    """Convolution on a periodic grid, (w ∗ v)(x) = Σ_m w_m v(x + m r), m = −(n − 1)/2 … (n − 1)/2 along each axis.

    Beyond walls, if there are any, v is zero.

    Arguments:
        in_channels, out_channels: numbers of channels.
        dimension: number of grid axes, 2 or 3.
        gain: mean square of the output at the start where the input is white with mean square one.
        kernel_size: points n of the kernel per axis, odd.
        dilation: distance r of the kernel's points in grid spacings.
        groups: into how many parts the channels are split, each with maps of its own.
        bias: whether a constant is added to each channel, zero at the start.
        periodic: whether each axis is periodic; None: all are.
    """

    linear_maps: ClassVar[dict[str, int | None]] = {"weight": None}

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimension: int,
        gain: float,
        kernel_size: int = 3,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        periodic: Sequence[bool] | None = None,
    ) -> None:
        super().__init__()
        self.dimension = dimension
        self.periodic = periodic
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.groups = groups
        shape = (out_channels, in_channels // groups, *(kernel_size,) * dimension)
        deviation = math.sqrt(gain / math.prod(shape[1:]))
        self.weight = nn.Parameter(torch.randn(shape) * deviation)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, values: Tensor, *, stride: int | Sequence[int] = 1, dilation: int | Sequence[int] = 1) -> Tensor:
        """Map `(batch, *grid, in)` to `(batch, *grid / stride, out)`.

        Arguments:
            values: the field.
            stride: every how many points the output has one, one number or one per axis; divides the points of
                periodic axes.
            dilation: factors of the kernel's dilation, one number or one per axis.
        """
        dilations = [self.dilation * factor for factor in _strides(dilation, self.dimension)]
        reach = [spacing * (self.kernel_size // 2) for spacing in dilations]
        convolve = F.conv2d if self.dimension == 2 else F.conv3d
        return convolve(
            extended(values, reach, reach, self.periodic).movedim(-1, 1),
            self.weight,
            self.bias,
            stride=_strides(stride, self.dimension),
            dilation=dilations,
            groups=self.groups,
        ).movedim(1, -1)


class PeriodicTransposedConvolution(nn.Module):
    """Transpose of a convolution of three points per axis with a stride: from a coarse grid to a fine one.

    A coarse point j adds its values times w_m to the fine points s j + m, m = −1, 0, 1. With w = (½, 1, ½) per axis
    and stride 2 that is linear interpolation.

    Arguments:
        in_channels, out_channels: numbers of channels.
        dimension: number of grid axes, 2 or 3.
        gain: mean square of the output at the start where the input is white with mean square one, for stride 2.
        bias: whether a constant is added to each channel, zero at the start.
        periodic: whether each axis is periodic; None: all are.
    """

    linear_maps: ClassVar[dict[str, int | None]] = {"weight": None}

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimension: int,
        gain: float,
        bias: bool = False,
        periodic: Sequence[bool] | None = None,
    ) -> None:
        super().__init__()
        self.dimension = dimension
        self.periodic = periodic
        # With stride 2 a fine point has 1.5 coarse neighbours per axis in the mean.
        deviation = math.sqrt(gain / (in_channels * 1.5**dimension))
        self.weight = nn.Parameter(torch.randn(in_channels, out_channels, *(3,) * dimension) * deviation)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(
        self, values: Tensor, *, stride: int | Sequence[int] = 2, points: Sequence[int] | None = None
    ) -> Tensor:
        """Map `(batch, *coarse, in)` to `(batch, *points, out)`.

        Arguments:
            values: the field.
            stride: 1 or 2, one number or one per axis.
            points: of the fine grid, of which the coarse one has every `stride`-th point; None: stride times as many.
        """
        strides = _strides(stride, self.dimension)
        fine = points or [s * n for s, n in zip(strides, values.shape[1:-1], strict=True)]
        transposed = F.conv_transpose2d if self.dimension == 2 else F.conv_transpose3d
        result = transposed(
            extended(values, [2 - s for s in strides], [1] * self.dimension, self.periodic).movedim(-1, 1),
            self.weight,
            self.bias,
            stride=strides,
            padding=[3 - s for s in strides],
        ).movedim(1, -1)
        for axis, n in enumerate(fine, start=1):
            result = result.narrow(axis, 0, n)
        return result
