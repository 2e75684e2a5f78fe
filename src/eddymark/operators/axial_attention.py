"""Attention along one axis of a grid at a time, without softmax: kernels which a field learns from its own averages.

Fields have their channels first here, `(batch, channel, *grid)`. Then the kernels, which differ from sample to sample
and from head to head, act by batched matrix products on memory as it lies, and so do maps of channels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.operators.axes import Axis
from eddymark.operators.pointwise import GELU_MEAN_SQUARE, pointwise
from eddymark.operators.spectral_convolution import in_full_precision, is_autocast

_WALL_FREQUENCY = 64.0
_WALL_RATIO = 1e4
"""Highest rotary frequency of the published code, and its ratio to the lowest one."""


@functools.lru_cache(maxsize=64)
def quadrature_weights(axis: Axis, points: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the weights of an average along an axis, `(points,)`, which add up to 1."""
    # Not inference tensors, even if first needed in a rollout: training may use the same weights later.
    with torch.inference_mode(False):
        weights = axis.weights(points)
        return (weights / weights.sum()).to(device, dtype)


@functools.lru_cache(maxsize=64)
def _rotations(
    axis: Axis, points: int, modes: int, pairs: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of the rotary angles, each `(points, pairs)`."""
    with torch.inference_mode(False):
        index = torch.arange(pairs).double()
        if axis.periodic:
            frequencies = 2 * math.pi / axis.side * index.remainder(modes + 1)
        else:
            frequencies = _WALL_FREQUENCY * _WALL_RATIO ** (-index / pairs)
        angles = torch.outer(axis.places(points), frequencies)
        return angles.cos().to(device, dtype), angles.sin().to(device, dtype)


def average(values: Tensor, weights: Sequence[Tensor | None], *, first: int, but: int | None = None) -> Tensor:
    """Return the average of an array over its grid axes.

    Arguments:
        values: what is averaged.
        weights: of the points of each grid axis, None where all are alike.
        first: place of the first grid axis in the array; the others follow it.
        but: a grid axis which stays.
    """
    for number in reversed(range(len(weights))):
        if number == but:
            continue
        place, weight = first + number, weights[number]
        values = values.mean(dim=place) if weight is None else torch.tensordot(values, weight, dims=([place], [0]))
    return values


def instance_normalised(values: Tensor, weights: Sequence[Tensor | None]) -> Tensor:
    """Return `(batch, channel, *grid)` with mean 0 and variance 1 over the field, per sample and channel."""
    if all(weight is None for weight in weights):
        return F.instance_norm(values.flatten(2)).view(values.shape)
    shape = (*values.shape[:2], *[1] * len(weights))
    centred = values - average(values, weights, first=2).view(shape)
    return centred * torch.rsqrt(average(centred.square(), weights, first=2) + 1e-5).view(shape)


class AxialKernel(nn.Module):
    """A kernel along one axis for each sample and head, K(x, y) = √((2 m + 1) / d) q(x)ᵀ R(y − x) k(y).

    Queries q and keys k come from the average of the field over the other axes, through two linear maps, a layer norm
    and a gated perceptron W₂ (GELU(W₁ a) ∘ W₁' a). R turns the pairs of their d entries by the angles ω (y − x). On a
    periodic axis the frequencies ω are 2π/side times 0 … m, so that R has the period of the box; at walls they are
    those of the published code, 64 · 10⁻⁴⁽ʲᐟᵖᵃⁱʳˢ⁾. The factor makes an average with the kernel keep about the variance
    of a field of these modes.

    Arguments:
        axis: the axis.
        width: channels of the field.
        heads: number of kernels.
        key_width: d, even.
        modes: m.
    """

    def __init__(self, axis: Axis, *, width: int, heads: int, key_width: int, modes: int) -> None:
        super().__init__()
        self.axis = axis
        self.heads = heads
        self.modes = modes
        self.enter = pointwise(width, width, variance=1 / width, bias=False)
        self.reduce = pointwise(width, width, variance=1 / width, bias=False)
        self.norm = nn.LayerNorm(width)
        self.gate = pointwise(width, 2 * width, variance=1 / width)
        self.summarise = pointwise(width, width, variance=1 / (width * GELU_MEAN_SQUARE))
        self.query = pointwise(width, heads * key_width, variance=1 / width, bias=False)
        self.key = pointwise(width, heads * key_width, variance=1 / width, bias=False)

    def forward(self, averages: Tensor) -> Tensor:
        """Return the kernels `(batch, head, point, point)` of averages `(batch, point, channel)`."""
        if is_autocast(averages.device):
            # What becomes of the rounding of small averages acts on the whole field, and they cost next to nothing.
            with torch.autocast(averages.device.type, enabled=False):
                return self.forward(in_full_precision(averages))
        batch, points = averages.shape[:2]
        gate, value = self.gate(self.norm(self.reduce(self.enter(averages)))).chunk(2, dim=-1)
        summary = self.summarise(F.gelu(gate) * value)
        query, key = (
            self._rotated(layer(summary).view(batch, points, self.heads, -1)) for layer in (self.query, self.key)
        )
        scale = math.sqrt((2 * self.modes + 1) / query.shape[-1])
        return torch.matmul(query * scale, key.transpose(-1, -2))

    def _rotated(self, vectors: Tensor) -> Tensor:
        """Turn the pairs of `(batch, point, head, key)` and put heads before points."""
        first, second = vectors.transpose(1, 2).chunk(2, dim=-1)
        points, pairs = first.shape[-2:]
        cosine, sine = _rotations(self.axis, points, self.modes, pairs, vectors.dtype, vectors.device)
        return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)


def apply_along(axis: int, kernels: Tensor, values: Tensor) -> Tensor:
    """Return Σ_j K_ij v_j along one grid axis.

    Arguments:
        axis: number of the grid axis.
        kernels: K, `(batch, head, point, point)`.
        values: v, `(batch, head, channel, *grid)`.
    """
    batch, heads, points = *values.shape[:2], values.shape[3 + axis]
    before, after = math.prod(values.shape[2 : 3 + axis]), math.prod(values.shape[4 + axis :])
    if after == 1:
        product = torch.matmul(values.reshape(batch, heads, before, points), kernels.transpose(-1, -2))
    else:
        product = torch.matmul(kernels.unsqueeze(2), values.reshape(batch, heads, before, points, after))
    return product.view(values.shape)
