"""Dilated residual network on periodic grids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.operators.periodic_convolution import PeriodicConvolution, channels_last, channels_second
from eddymark.operators.pointwise import START


class DilatedResidualNetwork(nn.Module):
    """Dilated residual network: encoder, blocks v ← v + R_n(… R_2(R_1(v))), decoder.

    R_i(v) = ReLU(w_i ∗ v + b_i) with kernels of 3^d points at a distance of `dilations[i]` grid spacings; encoder and
    decoder are convolutions of 3^d neighbouring points. Everything is periodic; no norms. With a distance of half a
    grid both outer points of a kernel are the same one, and the network learns far more slowly: on 16 points take
    1, 2, 4, 2, 1.

    Arguments:
        in_channels, out_channels: numbers of channels.
        dimension: number of grid axes, 2 or 3.
        width: channels inside the network.
        blocks: number of blocks.
        dilations: distances of the kernels' points in the layers of a block, grid spacings.

    Raises:
        ValueError: if an argument is out of range.

    Source: Stachenfeld et al., Learned coarse models for efficient turbulence simulation, ICLR 2022 (Dil-ResNet: four
    blocks, width 48, on grids of 32 points and more).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimension: int,
        width: int,
        blocks: int = 4,
        dilations: Sequence[int] = (1, 2, 4, 8, 4, 2, 1),
    ) -> None:
        super().__init__()
        if dimension not in (2, 3):
            raise ValueError(f"dimension must be 2 or 3; got {dimension}")
        if min(width, blocks) < 1:
            raise ValueError(f"width and blocks must be at least 1; got {width} and {blocks}")
        if not dilations or any(not isinstance(dilation, int) or dilation < 1 for dilation in dilations):
            raise ValueError(f"dilations must be a list of whole numbers of at least 1; got {list(dilations)}")
        self.encode = PeriodicConvolution(in_channels, width, dimension=dimension, gain=1.0)
        self.blocks = nn.ModuleList()
        for _ in range(blocks):
            layers = nn.ModuleList()
            for number, dilation in enumerate(dilations):
                # A gain of two keeps the mean square through ReLU; that of the sum of all branches is one.
                gain = 2.0 if number < len(dilations) - 1 else 2.0 / blocks
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
