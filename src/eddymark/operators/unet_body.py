"""What U-Nets on periodic grids are made of; fields have their channels last, `(batch, *grid, channel)`."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.operators.resampling import doubled, halved


class SampleNorm(nn.Module):
    """Each sample less its mean, over its standard deviation (all points and channels), times a + b per channel.

    Arguments:
        channels: number of channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, values: Tensor) -> Tensor:
        """Map `(batch, *grid, channel)` to the same shape."""
        return torch.addcmul(self.bias, F.layer_norm(values, values.shape[1:]), self.weight)


class ConvolutionBlock(nn.Module):
    """Two times convolution, norm over the sample and GELU.

    Arguments:
        convolution: makes a map of fields with channels last from its numbers of channels.
        in_channels, out_channels: numbers of channels.
    """

    def __init__(
        self,
        convolution: Callable[[int, int], nn.Module],
        in_channels: int,
        out_channels: int,
    ) -> None:
        super().__init__()
        self.first, self.first_norm = convolution(in_channels, out_channels), SampleNorm(out_channels)
        self.second, self.second_norm = convolution(out_channels, out_channels), SampleNorm(out_channels)

    def forward(self, values: Tensor) -> Tensor:
        """Map `(batch, *grid, in)` to `(batch, *grid, out)`."""
        values = F.gelu(self.first_norm(self.first(values)))
        return F.gelu(self.second_norm(self.second(values)))


def check_sizes(dimension: int, width: int, levels: int) -> None:
    """Raise ValueError unless sizes of a network with several grids are in range."""
    if dimension not in (2, 3):
        raise ValueError(f"dimension must be 2 or 3; got {dimension}")
    if min(width, levels) < 1:
        raise ValueError(f"width and levels must be at least 1; got {width} and {levels}")


def check_points(points: Sequence[int], dimension: int, multiple: int) -> None:
    """Raise ValueError unless a grid has the right number of axes, each with a multiple of some number of points."""
    if len(points) != dimension or any(count % multiple for count in points):
        needed, got = " × ".join([f"{multiple} n"] * dimension), " × ".join(map(str, points))
        raise ValueError(f"levels need a grid of {needed} points with whole n; got {got}")


class UNetBody(nn.Module):
    """The grids of a U-Net: d_0 = B_0(v), d_j = B_j(P d_{j−1}); e_J = L_J(d_J), e_j = C_j([L_j(d_j), I e_{j+1}]).

    B and C are blocks of two convolutions; P is `coarser`, I is `finer` and L is `across`, which other networks
    override.

    Arguments:
        convolution: makes a convolution from its level and its numbers of channels.
        in_channels: channels of v.
        widths: channels of each level.
    """

    def __init__(
        self, convolution: Callable[[int, int, int], nn.Module], in_channels: int, widths: Sequence[int]
    ) -> None:
        super().__init__()
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        for level, (before, here) in enumerate(itertools.pairwise([in_channels, *widths])):
            self.down.append(ConvolutionBlock(functools.partial(convolution, level), before, here))
        for level, (here, below) in enumerate(itertools.pairwise(widths)):
            self.up.append(ConvolutionBlock(functools.partial(convolution, level), here + below, here))

    def coarser(self, values: Tensor, level: int) -> Tensor:
        """Return P v, from the grid of a level to that of the next one."""
        return halved(values)

    def finer(self, values: Tensor, level: int) -> Tensor:
        """Return I v, to the grid of a level from that of the next one."""
        return doubled(values)

    def across(self, values: Tensor, level: int) -> Tensor:
        """Return L v, from the way down to the way up."""
        return values

    def forward(self, values: Tensor) -> Tensor:
        """Map `(batch, *grid, in_channels)` to `(batch, *grid, width)`."""
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            values = block(values if level == 0 else self.coarser(values, level - 1))
            skips.append(self.across(values, level))
        values = skips.pop()
        for level in reversed(range(len(self.up))):
            values = self.up[level](torch.cat([skips.pop(), self.finer(values, level)], dim=-1))
        return values
