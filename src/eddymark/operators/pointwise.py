"""Maps that act at each point, and the layout of fields in which they are fastest."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

GELU_MEAN_SQUARE = 0.425
"""⟨GELU(z)²⟩ of a standard normal z: initial weights after an activation make up for it."""

START = 0.1
"""Root mean square of the output before training, so that a surrogate starts near the physics it already knows."""


def pointwise(in_channels: int, out_channels: int, *, variance: float, bias: bool = True) -> nn.Linear:
    """Return a linear map of the trailing axis with normal weights of a given variance and zero bias, or none."""
    layer = nn.Linear(in_channels, out_channels, bias=bias)
    nn.init.normal_(layer.weight, std=math.sqrt(variance))
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def map_channels(layer: nn.Linear, values: Tensor) -> Tensor:
    """Return a linear map of the channels of `(batch, channel, *grid)`."""
    flat = values.flatten(2)
    weight = layer.weight.expand(len(flat), -1, -1)
    bias = cast("Tensor | None", layer.bias)
    product = torch.bmm(weight, flat) if bias is None else torch.baddbmm(bias[:, None], weight, flat)
    return product.unflatten(2, values.shape[2:])


def grid_first(field: Tensor) -> Tensor:
    """Return `(batch, channel, x, y, z)` as `(z, y, x, batch, channel)`, contiguous."""
    return field.permute(*reversed(range(field.dim()))).transpose(-1, -2).contiguous()


def channels_first(values: Tensor) -> Tensor:
    """Return `(z, y, x, batch, channel)` as `(batch, channel, x, y, z)`, contiguous."""
    return values.transpose(-1, -2).permute(*reversed(range(values.dim()))).contiguous()
