"""Dilated residual network on periodic grids."""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.operators.periodic_convolution import PeriodicConvolution, channels_last, channels_second
from eddymark.operators.pointwise import START

DILATIONS = (1, 2, 4, 8, 4, 2, 1)
"""Distances of the kernels' points in a block, grid spacings."""


class DilatedResidualNetwork(nn.Module):
    """Dilated residual network: encoder, blocks v ← v + R_7(… R_2(R_1(v))), decoder.

    R_i(v) = ReLU(w_i ∗ v + b_i) with kernels of 3^d points at distances 1, 2, 4, 8, 4, 2, 1 in grid spacings; encoder
    and decoder are convolutions of 3^d neighbouring points. Everything is periodic; no norms. Kernels that reach around
    a small box see points of the same place twice.

    Arguments:
        in_channels, out_channels: numbers of channels.
        dimension: number of grid axes, 2 or 3.
        width: channels inside the network.
        blocks: number of blocks.

    Raises:
        ValueError: if an argument is out of range.

    Source: Stachenfeld et al., Learned coarse models for efficient turbulence simulation, ICLR 2022 (Dil-ResNet: four
    blocks, width 48).
    """

    def __init__(self, in_channels: int, out_channels: int, *, dimension: int, width: int, blocks: int = 4) -> None:
        super().__init__()
        if dimension not in (2, 3):
            raise ValueError(f"dimension must be 2 or 3; got {dimension}")
        if min(width, blocks) < 1:
            raise ValueError(f"width and blocks must be at least 1; got {width} and {blocks}")
        self.encode = PeriodicConvolution(in_channels, width, dimension=dimension, gain=1.0)
        self.blocks = nn.ModuleList()
        for _ in range(blocks):
            layers = nn.ModuleList()
            for number, dilation in enumerate(DILATIONS):
                # A gain of two keeps the mean square through ReLU; that of the sum of all branches is one.
                gain = 2.0 if number < len(DILATIONS) - 1 else 2.0 / blocks
                layers.append(PeriodicConvolution(width, width, dimension=dimension, gain=gain, dilation=dilation))
            self.blocks.append(layers)
        self.decode = PeriodicConvolution(width, out_channels, dimension=dimension, gain=START**2 / 2)

    def forward(self, field: Tensor) -> Tensor:
        """Map `(batch, in_channels, *grid)` to `(batch, out_channels, *grid)`."""
        values = self.encode(channels_last(field))
        for block in self.blocks:
            branch = values
            for layer in cast(nn.ModuleList, block):
                branch = F.relu(layer(branch))
            values = values + branch
        return channels_second(self.decode(values))
