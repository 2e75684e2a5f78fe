"""U-Net with learned coarsening: convolutions with strides and their transposes, for grids of any size and walls.

Fields have their channels last here, `(batch, *grid, channel)`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.operators.periodic_convolution import PeriodicConvolution, PeriodicTransposedConvolution
from eddymark.operators.pointwise import GELU_MEAN_SQUARE


class StridedUNet(nn.Module):
    """U-Net: convolutions on ever coarser grids and back, joined by skip connections.

    On the way down, each level halves the grid by a convolution at every second point and adds a second convolution;
    on the way up, transposed convolutions double it, and what came down from the same level is appended to the
    channels; a last convolution sees the input again. GELU follows every convolution but the last. An axis is halved
    as long as its number of points is even and more than two (along a wall: more than two), so that every grid will
    do. The map commutes with translations by multiples of 2^levels points where axes are halved that often.

    Arguments:
        in_channels, out_channels: numbers of channels.
        periodic: for each axis of the grid, whether it is periodic; two or three.
        widths: channels of each level, finest first; their number is that of the halvings.
        variance: mean square of the output at the start over that of the input.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, periodic: Sequence[bool], widths: Sequence[int], variance: float
    ) -> None:
        super().__init__()
        self.periodic = tuple(periodic)
        kept = 1 / GELU_MEAN_SQUARE
        convolution = partial(PeriodicConvolution, dimension=len(self.periodic), periodic=self.periodic)
        transposed = partial(
            PeriodicTransposedConvolution, dimension=len(self.periodic), bias=True, periodic=self.periodic
        )
        self.down, self.beside, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for level, (coming, width) in enumerate(itertools.pairwise([in_channels, *widths])):
            scale = kept if level else 1.0
            self.down.append(convolution(coming, width, gain=scale))
            self.beside.append(convolution(width, width, gain=kept))
            # The lowest level has nothing to append.
            joined = width if level == len(widths) - 1 else 2 * width
            back = widths[max(level - 1, 0)]
            self.up.append(transposed(joined, back, gain=kept))
        # Of the two halves of the last input one went through GELU.
        joined = in_channels + widths[0]
        last = variance * joined / (in_channels + GELU_MEAN_SQUARE * widths[0])
        self.last = convolution(joined, out_channels, gain=last)

    def forward(self, values: Tensor) -> Tensor:
        """Map `(batch, *grid, in)` to `(batch, *grid, out)`."""
        skipped, strides = [values], []
        for down, beside in zip(self.down, self.beside, strict=True):
            points = skipped[-1].shape[1:-1]
            strides.append([_stride(n, periodic) for n, periodic in zip(points, self.periodic, strict=True)])
            skipped.append(F.gelu(beside(F.gelu(down(skipped[-1], stride=strides[-1])))))
        result = skipped.pop()
        for up, stride in zip(reversed(self.up), reversed(strides), strict=True):
            finer = skipped.pop()
            result = torch.cat([finer, F.gelu(up(result, stride=stride, points=finer.shape[1:-1]))], dim=-1)
        return self.last(result)


class UNetBranch(StridedUNet):
    """U-Net beside a Fourier layer, `(z, y, x, batch, width)` to the same shape, with the same width on all levels.

    Arguments:
        width: number of channels.
        periodic: whether the axes x, y, z are periodic.
        levels: number of halvings.
        variance: mean square of the output at the start over that of the input.
    """

    def __init__(self, width: int, *, periodic: Sequence[bool], levels: int, variance: float) -> None:
        axes = tuple(reversed(periodic))
        super().__init__(width, width, periodic=axes, widths=(width,) * levels, variance=variance)

    def forward(self, values: Tensor) -> Tensor:
        """Return U v."""
        return super().forward(values.movedim(-2, 0)).movedim(0, -2)


def _stride(points: int, periodic: bool) -> int:
    """Return 2 if every second point of an axis makes a coarser one, otherwise 1."""
    return 2 if points > 2 and (points % 2 == 0 or not periodic) else 1
