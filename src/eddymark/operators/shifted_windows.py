"""Attention within windows which are shifted from layer to layer, and norms that know the lead time.

Fields have their channels last, `(batch, *grid, channel)`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.operators.cells import cut, joined
from eddymark.operators.pointwise import GELU_MEAN_SQUARE, pointwise

POSITION_WIDTH = 512
"""Hidden channels of the network that makes a bias of a distance, as in Swin V2."""


class LeadTimeNorm(nn.Module):
    """Norm over the channels of each point, then times a t + b plus c t + d with the lead time t.

    Arguments:
        channels: number of channels.
        size: b at the start, where d is zero and a and c are small.
    """

    def __init__(self, channels: int, *, size: float = 1.0) -> None:
        super().__init__()
        self.scale, self.shift = nn.Linear(1, channels), nn.Linear(1, channels)
        for layer, constant in ((self.scale, size), (self.shift, 0.0)):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.constant_(layer.bias, constant)

    def forward(self, values: Tensor, lead_time: Tensor) -> Tensor:
        """Map `(batch, *grid, channel)` to the same shape, lead times `(batch, 1)`."""
        shape = (lead_time.shape[0], *(1,) * (values.dim() - 2), values.shape[-1])
        scale, shift = self.scale(lead_time).view(shape), self.shift(lead_time).view(shape)
        return F.layer_norm(values, values.shape[-1:]) * scale + shift


def windows(points: Sequence[int], window_size: int) -> tuple[int, ...]:
    """Return the points of a window per axis: `window_size`, or the axis if it is shorter.

    Raises:
        ValueError: if an axis is no whole number of windows.
    """
    sizes = tuple(min(count, window_size) for count in points)
    if any(count % size for count, size in zip(points, sizes, strict=True)):
        raise ValueError(
            f"window_size: a level of {' × '.join(map(str, points))} points needs axes of at most {window_size} points "
            f"or whole windows"
        )
    return sizes


@functools.lru_cache(maxsize=64)
def _offsets(sizes: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the distances in a window on a logarithmic scale, and for each pair of points which one is theirs."""
    # Not inference tensors, even if first needed in a rollout: training may use the same ones later.
    with torch.inference_mode(False):
        axes = [torch.arange(1 - size, size).double() * (8 / max(size - 1, 1)) for size in sizes]
        table = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)
        table = table.sign() * (table.abs() + 1).log2() / 3
        places = torch.stack(torch.meshgrid(*[torch.arange(size) for size in sizes], indexing="ij")).flatten(1)
        index = torch.zeros(places.shape[1], places.shape[1], dtype=torch.long)
        for axis, size in enumerate(sizes):
            index = index * (2 * size - 1) + (places[axis][:, None] - places[axis] + size - 1)
        return table.to(device, dtype), index.to(device)


class WindowAttention(nn.Module):
    """Attention among the points of a window, softmax(s cos(q, k) + 16 sigmoid(β)) V, head by head.

    s is learned for each head, at most 100; β is a network of the distance, sign(δ) log₂(1 + 8 |δ|)/3 per axis with the
    distance δ over that of the window's ends.

    Arguments:
        width: channels, a multiple of the heads.
        dimension: number of grid axes.
        heads: number of heads.
    """

    def __init__(self, width: int, *, dimension: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.logit_scale = nn.Parameter(torch.full((heads, 1, 1), math.log(10)))
        self.position_in = pointwise(dimension, POSITION_WIDTH, variance=1 / dimension)
        self.position_out = nn.Linear(POSITION_WIDTH, heads, bias=False)
        nn.init.normal_(self.position_out.weight, std=1 / math.sqrt(POSITION_WIDTH))
        self.query = pointwise(width, width, variance=1 / width)
        self.key = nn.Linear(width, width, bias=False)
        nn.init.normal_(self.key.weight, std=1 / math.sqrt(width))
        self.value = pointwise(width, width, variance=1 / width)
        self.project = pointwise(width, width, variance=1 / width)

    def forward(self, values: Tensor, sizes: tuple[int, ...], shifted: bool) -> Tensor:
        """Map `(batch, *grid, width)` to the same shape.

        Arguments:
            values: the field.
            sizes: points of a window per axis.
            shifted: whether windows are shifted by half of their points along axes which have several. On a periodic
                grid the field is rolled, and no pair of points needs a mask.
        """
        grid = values.shape[1:-1]
        axes = tuple(range(1, values.dim() - 1))
        shifts = tuple(size // 2 if shifted and n > size else 0 for n, size in zip(grid, sizes, strict=True))
        if any(shifts):
            values = values.roll([-shift for shift in shifts], axes)
        points = cut(values, sizes)
        query, key, value = (
            layer(points).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        scale = self.logit_scale.clamp(max=math.log(100)).exp()
        attended = F.scaled_dot_product_attention(
            scale * F.normalize(query, dim=-1), F.normalize(key, dim=-1), value, attn_mask=self._bias(sizes), scale=1.0
        )
        result = joined(self.project(attended.transpose(1, 2).flatten(2)), grid, sizes)
        return result.roll(shifts, axes) if any(shifts) else result

    def _bias(self, sizes: tuple[int, ...]) -> Tensor:
        """Return what is added to the scores, `(head, point, point)`."""
        weight = self.position_in.weight
        table, index = _offsets(sizes, weight.dtype, weight.device)
        by_distance = 16 * torch.sigmoid(self.position_out(F.relu(self.position_in(table))))
        return by_distance[index].permute(2, 0, 1)


class WindowLayer(nn.Module):
    """v ← v + N(attention(v)), v ← v + N'(W' GELU(W v)), with norms that know the lead time.

    Arguments:
        width: channels.
        dimension: number of grid axes.
        heads: heads of the attention.
        shifted: whether its windows are shifted.
        size: root mean square of what each of the two adds at the start.
    """

    def __init__(self, width: int, *, dimension: int, heads: int, shifted: bool, size: float) -> None:
        super().__init__()
        self.shifted = shifted
        self.attention = WindowAttention(width, dimension=dimension, heads=heads)
        self.attention_norm = LeadTimeNorm(width, size=size)
        self.widen = pointwise(width, 4 * width, variance=1 / width)
        self.narrow = pointwise(4 * width, width, variance=1 / (4 * width * GELU_MEAN_SQUARE))
        self.output_norm = LeadTimeNorm(width, size=size)

    def forward(self, values: Tensor, lead_time: Tensor, sizes: tuple[int, ...]) -> Tensor:
        """Map `(batch, *grid, width)` to the same shape."""
        values = values + self.attention_norm(self.attention(values, sizes, self.shifted), lead_time)
        return values + self.output_norm(self.narrow(F.gelu(self.widen(values))), lead_time)
