"""SineNet on periodic grids: U-Nets in a row."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from eddymark.operators.periodic_convolution import PeriodicConvolution, channels_last, channels_second
from eddymark.operators.pointwise import START, pointwise
from eddymark.operators.resampling import doubled, halved
from eddymark.operators.unet_body import ConvolutionBlock, check_points, check_sizes


class Wave(nn.Module):
    """A U-Net without blocks on the finest grid on the way down, whose coarser grids see its input beside the features.

    d_0 = v, d_j = B_j([P d_{j−1}, P^j v]) + D_j P d_{j−1} (the first without P v beside P d_0, which is the same);
    e_J = d_J, e_j = C_j([d_j, I e_{j+1}]) + E_j I e_{j+1}; the result is e_0. D and E are pointwise.

    Arguments:
        dimension: number of grid axes, 2 or 3.
        widths: channels of each level; the first one's are those of input and output.
    """

    def __init__(self, *, dimension: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.down, self.down_beside, self.up, self.up_beside = (nn.ModuleList() for _ in range(4))

        def convolution(inputs: int, outputs: int) -> nn.Module:
            return PeriodicConvolution(inputs, outputs, dimension=dimension, gain=1.0)

        for level, (finer, coarser) in enumerate(itertools.pairwise(widths)):
            joined = finer + (widths[0] if level else 0)
            self.down.append(ConvolutionBlock(convolution, joined, coarser))
            self.down_beside.append(pointwise(finer, coarser, variance=0.5 / finer))
            self.up.append(ConvolutionBlock(convolution, finer + coarser, finer))
            self.up_beside.append(pointwise(coarser, finer, variance=0.5 / coarser))

    def forward(self, values: Tensor) -> Tensor:
        """Map `(batch, *grid, width)` to the same shape."""
        seen, features = values, [values]
        for level, (block, beside) in enumerate(zip(self.down, self.down_beside, strict=True)):
            seen, values = halved(seen), halved(values)
            joined = torch.cat([values, seen], dim=-1) if level else values
            values = block(joined) + beside(values)
            features.append(values)
        values = features.pop()
        for block, beside in zip(reversed(self.up), reversed(self.up_beside), strict=True):
            values = doubled(values)
            values = block(torch.cat([features.pop(), values], dim=-1)) + beside(values)
        return values


class SineNet(nn.Module):
    """SineNet: a convolution, waves v ← v + U_k(v), a convolution; each wave U_k is a small U-Net.

    One U-Net sends a field through its coarse grids once, and its skip connections carry what flows past them without
    moving it along; many waves move it a little each. Everything is periodic, and levels halve the grid by averages and
    double it by linear interpolation.

    Arguments:
        in_channels, out_channels: numbers of channels.
        dimension: number of grid axes, 2 or 3.
        width: channels between the waves.
        waves: number of U-Nets.
        levels: number of grids; the input has multiples of 2^(levels − 1) points per axis.
        growth: factor by which channels grow from grid to grid, rounded down. 1.425, 1.5, 1.611 and 1.8075 with 8, 6, 4
            and 2 waves of width 64 have the same number of parameters.

    Raises:
        ValueError: if an argument is out of range, or a grid cannot be halved levels − 1 times.

    Source: Zhang et al., SineNet: Learning Temporal Dynamics in Time-Dependent Partial Differential Equations, ICLR
    2024. The published code interpolates with bicubic polynomials, which overshoot, and by default pads with zeros.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimension: int,
        width: int,
        waves: int = 8,
        levels: int = 5,
        growth: float = 1.425,
    ) -> None:
        super().__init__()
        check_sizes(dimension, width, levels)
        if waves < 1:
            raise ValueError(f"waves must be at least 1; got {waves}")
        if levels < 2:
            raise ValueError(f"levels must be at least 2; got {levels}")
        if growth < 1:
            raise ValueError(f"growth must be at least 1; got {growth}")
        self.dimension = dimension
        self.multiple = 2 ** (levels - 1)
        widths = [int(width * growth**level) for level in range(levels)]
        self.encode = PeriodicConvolution(in_channels, width, dimension=dimension, gain=1.0)
        self.waves = nn.ModuleList(Wave(dimension=dimension, widths=widths) for _ in range(waves))
        # Every wave adds about as much as there was at first.
        self.decode = PeriodicConvolution(width, out_channels, dimension=dimension, gain=START**2 / (1 + waves))

    def forward(self, field: Tensor) -> Tensor:
        """Map `(batch, in_channels, *grid)` to `(batch, out_channels, *grid)`."""
        check_points(field.shape[2:], self.dimension, self.multiple)
        values = self.encode(channels_last(field))
        for wave in self.waves:
            values = values + wave(values)
        return channels_second(self.decode(values))
