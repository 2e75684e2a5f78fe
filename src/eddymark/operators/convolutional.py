"""Plain convolutional network on periodic grids, e.g. the correction of a hybrid stepper."""

from __future__ import annotations

import itertools
import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SMALL = 0.01
"""Scale of the output at the start, so that a correction starts as a small one."""


class ConvolutionalNetwork(nn.Module):
    """Periodic convolutions v ← GELU(w ∗ v + b), the last one without GELU.

    The map commutes with translations by whole grid spacings. Inside, channels are the fastest axis in
    memory, which makes both passes a quarter faster than channels first.

    Arguments:
        in_channels, out_channels: numbers of channels.
        dimension: number of grid axes, 2 or 3.
        width: channels inside the network.
        layers: number of convolutions, at least 2.
        kernel_size: points of a kernel per axis, odd.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimension: int,
        width: int,
        layers: int = 4,
        kernel_size: int = 3,
    ) -> None:
        super().__init__()
        if dimension not in (2, 3):
            raise ValueError(f"dimension must be 2 or 3; got {dimension}")
        if width < 1 or layers < 2:
            raise ValueError(f"width must be at least 1 and layers at least 2; got {width} and {layers}")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and positive; got {kernel_size}")
        convolution = nn.Conv2d if dimension == 2 else nn.Conv3d
        self.padding = (kernel_size // 2,) * (2 * dimension)
        self.memory_format = torch.channels_last if dimension == 2 else torch.channels_last_3d
        channels = [in_channels] + [width] * (layers - 1) + [out_channels]
        self.convolutions = nn.ModuleList()
        for index, (inputs, outputs) in enumerate(itertools.pairwise(channels)):
            layer = convolution(inputs, outputs, kernel_size)
            # Keeps the mean square through GELU (⟨GELU(z)²⟩ = 0.425 for normal z).
            deviation = 1 / math.sqrt(0.425 * inputs * kernel_size**dimension)
            nn.init.normal_(layer.weight, std=deviation if index < layers - 1 else _SMALL * deviation)
            nn.init.zeros_(cast(Tensor, layer.bias))
            self.convolutions.append(layer)

    def forward(self, field: Tensor) -> Tensor:
        """Map `(batch, in_channels, *grid)` to `(batch, out_channels, *grid)`."""
        values = field.contiguous(memory_format=self.memory_format)
        for index, layer in enumerate(self.convolutions):
            values = layer(F.pad(values if index == 0 else F.gelu(values), self.padding, mode="circular"))
        return values.contiguous()
