"""U-Net on periodic grids, and the convolutions that it is made of.

Fields have shape `(batch, *grid, channel)` here. Kernels have three points per axis; they wrap around periodic axes and
see zeros beyond walls.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.operators.pointwise import GELU_MEAN_SQUARE


class PeriodicConvolution(nn.Module):
    """Convolution w ∗ v + b, `(batch, *grid, in)` to `(batch, *coarse, out)`, centred at every stride-th point.

    Arguments:
        in_channels, out_channels: numbers of channels.
        periodic: for each axis of the grid, whether it is periodic.
        variance: mean square of the output at the start over that of the input.
    """

    def __init__(self, in_channels: int, out_channels: int, *, periodic: Sequence[bool], variance: float) -> None:
        super().__init__()
        self.periodic = tuple(periodic)
        deviation = math.sqrt(variance / (in_channels * 3 ** len(self.periodic)))
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, *(3,) * len(self.periodic)) * deviation)
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, values: Tensor, stride: Sequence[int] | None = None) -> Tensor:
        """Return the convolution at every point, or at every `stride`-th point of each axis."""
        convolution = F.conv2d if len(self.periodic) == 2 else F.conv3d
        padded = _padded(values, self.periodic).movedim(-1, 1)
        result = convolution(padded, self.weight, self.bias, stride=1 if stride is None else tuple(stride))
        return result.movedim(1, -1)


class PeriodicTransposedConvolution(nn.Module):
    """Convolution of a coarse field with zeros between its points, `(batch, *coarse, in)` to `(batch, *grid, out)`.

    Coarse points are every second point of the grid, so that nothing is shifted; with the kernel 1/2, 1, 1/2 the map
    is linear interpolation.

    Arguments:
        in_channels, out_channels: numbers of channels.
        periodic: for each axis of the grid, whether it is periodic.
        variance: mean square of the output at the start over that of the input, if all axes are halved.
    """

    def __init__(self, in_channels: int, out_channels: int, *, periodic: Sequence[bool], variance: float) -> None:
        super().__init__()
        self.periodic = tuple(periodic)
        # Every other point of an axis is reached by one point of the kernel, those between by two.
        deviation = math.sqrt(variance / (in_channels * 1.5 ** len(self.periodic)))
        self.weight = nn.Parameter(torch.randn(in_channels, out_channels, *(3,) * len(self.periodic)) * deviation)
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, values: Tensor, points: Sequence[int], stride: Sequence[int]) -> Tensor:
        """Return the field on the grid with `points`, of which the coarse one has every `stride`-th point."""
        transposed = F.conv_transpose2d if len(self.periodic) == 2 else F.conv_transpose3d
        padded = _padded(values, self.periodic).movedim(-1, 1)
        result = transposed(padded, self.weight, self.bias, stride=tuple(stride))
        # The first coarse point is behind one point of padding and at the centre of its kernel.
        for axis, (n, step) in enumerate(zip(points, stride, strict=True)):
            result = result.narrow(2 + axis, step + 1, n)
        return result.movedim(1, -1)


class PeriodicUNet(nn.Module):
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
        self.down, self.beside, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for level, (coming, width) in enumerate(itertools.pairwise([in_channels, *widths])):
            scale = kept if level else 1.0
            self.down.append(PeriodicConvolution(coming, width, periodic=periodic, variance=scale))
            self.beside.append(PeriodicConvolution(width, width, periodic=periodic, variance=kept))
            # The lowest level has nothing to append.
            joined = width if level == len(widths) - 1 else 2 * width
            back = widths[max(level - 1, 0)]
            self.up.append(PeriodicTransposedConvolution(joined, back, periodic=periodic, variance=kept))
        # Of the two halves of the last input one went through GELU.
        joined = in_channels + widths[0]
        last = variance * joined / (in_channels + GELU_MEAN_SQUARE * widths[0])
        self.last = PeriodicConvolution(joined, out_channels, periodic=periodic, variance=last)

    def forward(self, values: Tensor) -> Tensor:
        """Map `(batch, *grid, in)` to `(batch, *grid, out)`."""
        skipped, strides = [values], []
        for down, beside in zip(self.down, self.beside, strict=True):
            points = skipped[-1].shape[1:-1]
            strides.append([_stride(n, periodic) for n, periodic in zip(points, self.periodic, strict=True)])
            skipped.append(F.gelu(beside(F.gelu(down(skipped[-1], strides[-1])))))
        result = skipped.pop()
        for up, stride in zip(reversed(self.up), reversed(strides), strict=True):
            finer = skipped.pop()
            result = torch.cat([finer, F.gelu(up(result, finer.shape[1:-1], stride))], dim=-1)
        return self.last(result)


def _stride(points: int, periodic: bool) -> int:
    """Return 2 if every second point of an axis makes a coarser one, otherwise 1."""
    return 2 if points > 2 and (points % 2 == 0 or not periodic) else 1


def _padded(values: Tensor, periodic: tuple[bool, ...]) -> Tensor:
    """Return `(batch, *grid, channel)` with one more point at both ends of each axis."""
    batch, *points, channels = values.shape
    walls = tuple(count for wraps in reversed(periodic) for count in (0 if wraps else 1,) * 2)
    if any(walls):
        values = F.pad(values, (0, 0, *walls))
        points = [n if wraps else n + 2 for n, wraps in zip(points, periodic, strict=True)]
    # One channel with rows of points × channels: the padding keeps the layout, which `F.pad` of fields with the
    # channels in front would not, and convolutions of it are twice as fast.
    rows = values.reshape(batch, 1, *points[:-1], points[-1] * channels)
    last = channels if periodic[-1] else 0
    around = tuple(count for wraps in reversed(periodic[:-1]) for count in (1 if wraps else 0,) * 2)
    padded = F.pad(rows, (last, last, *around), mode="circular")
    return padded.view(batch, *(n + 2 if wraps else n for n, wraps in zip(points, periodic, strict=True)), channels)
