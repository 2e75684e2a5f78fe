"""Latent spectral model on periodic grids."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.operators.cells import cut, joined
from eddymark.operators.periodic_convolution import PeriodicConvolution, channels_last, channels_second
from eddymark.operators.pointwise import GELU_MEAN_SQUARE, START, pointwise
from eddymark.operators.unet_body import UNetBody, check_points, check_sizes


class NeuralSpectralBlock(nn.Module):
    """A map between functions on patches by way of a few latent tokens, in which it is a trigonometric series.

    In every patch and head: T = t + softmax(t Kᵀ/√c) V with learned tokens t and the keys K and values V of the patch's
    points; T ← T + w_0 + Σ_n [a_n sin(π n T/N) + b_n cos(π n T/N)], n = 1 … N, with w, a and b per channel; and
    v ← v + softmax(Q Tᵀ/√c) T with the queries Q of the points.

    Arguments:
        width: channels, a multiple of the heads.
        patch_size: points of a patch per axis.
        tokens: number of latent tokens.
        basis: number N of sines and of cosines.
        heads: number of heads.
    """

    def __init__(self, width: int, *, patch_size: int, tokens: int, basis: int, heads: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.tokens = nn.Parameter(torch.randn(heads, tokens, width // heads))
        self.keys_and_values = pointwise(width, 2 * width, variance=1 / width)
        self.queries = pointwise(width, width, variance=1 / width)
        self.constant = nn.Parameter(torch.zeros(width))
        self.sines = nn.Parameter(torch.randn(basis, width) / math.sqrt(2 * basis))
        self.cosines = nn.Parameter(torch.randn(basis, width) / math.sqrt(2 * basis))

    def forward(self, values: Tensor) -> Tensor:
        """Map `(batch, *grid, width)` to the same shape; the grid has multiples of the patches' points."""
        grid = values.shape[1:-1]
        sizes = (self.patch_size,) * len(grid)
        heads = self.tokens.shape[0]
        points = cut(values, sizes)

        def by_head(vectors: Tensor) -> Tensor:
            return vectors.unflatten(-1, (heads, -1)).transpose(1, 2)

        keys, contents = self.keys_and_values(points).chunk(2, dim=-1)
        queries = self.tokens.expand(len(points), -1, -1, -1)
        latent = queries + F.scaled_dot_product_attention(queries, by_head(keys), by_head(contents))
        latent = by_head(self._series(latent.transpose(1, 2).flatten(2)))
        decoded = F.scaled_dot_product_attention(by_head(self.queries(points)), latent, latent)
        return joined(points + decoded.transpose(1, 2).flatten(2), grid, sizes)

    def _series(self, tokens: Tensor) -> Tensor:
        """Return tokens plus the trigonometric series, `(patch, token, channel)`."""
        basis = self.sines.shape[0]
        waves = torch.arange(1, basis + 1, device=tokens.device, dtype=tokens.dtype) * (math.pi / basis)
        phase = tokens[:, :, None] * waves[:, None]
        series = (phase.sin() * self.sines + phase.cos() * self.cosines).sum(dim=2)
        return tokens + self.constant + series


class _SpectralBody(UNetBody):
    """Levels of a U-Net with a neural spectral block across each."""

    def __init__(
        self,
        dimension: int,
        in_channels: int,
        widths: Sequence[int],
        *,
        patch_size: int,
        tokens: int,
        basis: int,
        heads: int,
    ) -> None:
        super().__init__(
            lambda level, inputs, outputs: PeriodicConvolution(inputs, outputs, dimension=dimension, gain=1.0),
            in_channels,
            widths,
        )
        self.blocks = nn.ModuleList(
            NeuralSpectralBlock(width, patch_size=patch_size, tokens=tokens, basis=basis, heads=heads)
            for width in widths
        )

    def across(self, values: Tensor, level: int) -> Tensor:
        result: Tensor = self.blocks[level](values)
        return result


class LatentSpectralModel(nn.Module):
    """Latent spectral model: a U-Net on each of whose grids patches go through a few latent tokens.

    Lift; the levels of a U-Net, d_j, with C_j([L_j(d_j), I e_{j+1}]) on the way up; projection through one hidden
    layer. L_j projects every patch by attention onto tokens, adds to each token a trigonometric series of its value
    with learned coefficients, and goes back by attention (`NeuralSpectralBlock`). Channels double from grid to grid but
    for the coarsest one. Everything is periodic.

    Arguments:
        in_channels, out_channels: numbers of channels.
        dimension: number of grid axes, 2 or 3.
        width: channels of the finest level, a multiple of the heads.
        levels: number of grids; the input has multiples of patch_size × 2^(levels − 1) points per axis.
        patch_size: points of a patch per axis, on each grid.
        tokens: latent tokens of a patch.
        basis: number of sines, and of cosines, of a series.
        heads: heads of the attention.
        projection_width: channels of the projection's hidden layer; default twice the width.

    Raises:
        ValueError: if an argument is out of range, or a grid cannot be halved and cut into patches.

    Source: Wu et al., Solving High-Dimensional PDEs with Latent Spectral Models, ICML 2023, and its code. There are
    BatchNorm (which goes on learning from test data), coordinates with both end points, sin(0) among the sines, zero
    padding, and scores which are not divided by √c; none of that is here. Nor are maxima and ReLU, for which averages
    and GELU stand here; each level has as many channels on the way up as on the way down, there half of them.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimension: int,
        width: int,
        levels: int = 5,
        patch_size: int = 4,
        tokens: int = 4,
        basis: int = 12,
        heads: int = 8,
        projection_width: int | None = None,
    ) -> None:
        super().__init__()
        check_sizes(dimension, width, levels)
        if min(patch_size, tokens, basis, heads) < 1:
            got = f"{patch_size}, {tokens}, {basis} and {heads}"
            raise ValueError(f"patch_size, tokens, basis and heads must be at least 1; got {got}")
        if width % heads:
            raise ValueError(f"heads must divide width {width}; got {heads}")
        hidden = 2 * width if projection_width is None else projection_width
        if hidden < 1:
            raise ValueError(f"projection_width must be at least 1; got {projection_width}")
        self.dimension = dimension
        self.multiple = patch_size * 2 ** (levels - 1)
        widths = [width * 2 ** min(level, max(levels - 2, 0)) for level in range(levels)]
        self.lift = pointwise(in_channels, width, variance=1 / in_channels)
        self.body = _SpectralBody(
            dimension, width, widths, patch_size=patch_size, tokens=tokens, basis=basis, heads=heads
        )
        self.project_in = pointwise(width, hidden, variance=1 / (width * GELU_MEAN_SQUARE))
        self.project_out = pointwise(hidden, out_channels, variance=START**2 / (hidden * GELU_MEAN_SQUARE))

    def forward(self, field: Tensor) -> Tensor:
        """Map `(batch, in_channels, *grid)` to `(batch, out_channels, *grid)`."""
        check_points(field.shape[2:], self.dimension, self.multiple)
        values = self.body(self.lift(channels_last(field)))
        return channels_second(self.project_out(F.gelu(self.project_in(values))))
