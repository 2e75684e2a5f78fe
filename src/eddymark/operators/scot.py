"""scOT, the operator of Poseidon: attention in shifted windows on several grids."""

from __future__ import annotations

import itertools
import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.operators.cells import joined
from eddymark.operators.periodic_convolution import PeriodicConvolution, channels_last, channels_second
from eddymark.operators.pointwise import GELU_MEAN_SQUARE, START, pointwise
from eddymark.operators.published_scot import read_published, take_over
from eddymark.operators.shifted_windows import LeadTimeNorm, WindowLayer, windows
from eddymark.operators.unet_body import check_sizes


def _without_bias(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, std=1 / math.sqrt(inputs))
    return layer


class ConvNeXtBlock(nn.Module):
    """v ← v + γ W' GELU(W N(w ∗ v)) with one kernel w per channel and γ per channel.

    Arguments:
        width: channels.
        dimension: number of grid axes.
        kernel_size: points of w per axis.
    """

    def __init__(self, width: int, *, dimension: int, kernel_size: int) -> None:
        super().__init__()
        self.depthwise = PeriodicConvolution(
            width, width, dimension=dimension, gain=1.0, kernel_size=kernel_size, groups=width
        )
        self.norm = LeadTimeNorm(width)
        self.widen = pointwise(width, 4 * width, variance=1 / width)
        self.narrow = pointwise(4 * width, width, variance=1 / (4 * width * GELU_MEAN_SQUARE))
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, values: Tensor, lead_time: Tensor) -> Tensor:
        """Map `(batch, *grid, width)` to the same shape."""
        return values + self.scale * self.narrow(F.gelu(self.widen(self.norm(self.depthwise(values), lead_time))))


class Coarsening(nn.Module):
    """Joins the channels of 2^d points and maps them to twice the channels of one, then a norm."""

    def __init__(self, width: int, *, dimension: int) -> None:
        super().__init__()
        self.reduce = _without_bias(2**dimension * width, 2 * width)
        self.norm = LeadTimeNorm(2 * width)
        # The first axis runs fastest, as in Swin.
        self.corners = [tuple(reversed(corner)) for corner in itertools.product((0, 1), repeat=dimension)]

    def forward(self, values: Tensor, lead_time: Tensor) -> Tensor:
        """Map `(batch, *grid, width)` to `(batch, *grid / 2, 2 width)`."""
        parts = [values[(slice(None), *(slice(first, None, 2) for first in corner))] for corner in self.corners]
        return cast(Tensor, self.norm(self.reduce(torch.cat(parts, dim=-1)), lead_time))


class Refinement(nn.Module):
    """Maps the channels of a point to those of 2^d, half as many each; then a norm and a pointwise map."""

    def __init__(self, width: int, *, dimension: int) -> None:
        super().__init__()
        self.expand = _without_bias(width, 2**dimension * (width // 2))
        self.norm = LeadTimeNorm(width // 2)
        self.mix = _without_bias(width // 2, width // 2)

    def forward(self, values: Tensor, lead_time: Tensor) -> Tensor:
        """Map `(batch, *grid, width)` to `(batch, *2 grid, width / 2)`."""
        grid, sizes = values.shape[1:-1], (2,) * (values.dim() - 2)
        points = self.expand(values).unflatten(-1, (2 ** len(sizes), -1))
        finer = joined(points.flatten(0, -3), [2 * count for count in grid], sizes)
        return cast(Tensor, self.mix(self.norm(finer, lead_time)))


class Stage(nn.Module):
    """The layers of one level; every other one has shifted windows."""

    def __init__(self, width: int, *, dimension: int, heads: int, shifts: list[bool]) -> None:
        super().__init__()
        size = 1 / math.sqrt(2 * len(shifts))
        self.blocks = nn.ModuleList(
            WindowLayer(width, dimension=dimension, heads=heads, shifted=shifted, size=size) for shifted in shifts
        )

    def forward(self, values: Tensor, lead_time: Tensor, window_size: int) -> Tensor:
        """Map `(batch, *grid, width)` to the same shape."""
        sizes = windows(values.shape[1:-1], window_size)
        for block in self.blocks:
            values = block(values, lead_time, sizes)
        return values


class ScalableOperatorTransformer(nn.Module):
    """Scalable operator transformer (scOT): patches, then levels of attention in shifted windows, down and up again.

    Patches become tokens of `width` channels; stage j on the way down has layers of attention in windows, shifted by
    half a window in every other layer, and sends d_j = S_j(v_j) across through ConvNeXt blocks and v_{j+1} = M_j(v_j +
    d_j) to the next level, with half the points per axis and twice the channels; the way up adds what comes across.
    Tokens become patches again, then a convolution of 5^d points. All norms are scaled and shifted by linear functions
    of the lead time. Everything is periodic: shifted windows reach over the boundary without masks.

    Arguments:
        in_channels, out_channels: numbers of channels.
        dimension: number of grid axes, 2 or 3.
        width: channels of the finest level, a multiple of twice the heads.
        levels: number of levels; the input has multiples of patch_size × 2^(levels − 1) points per axis.
        layers: layers of a level, down and up alike.
        heads: heads of the finest level; each further one has twice as many.
        patch_size: points of a patch per axis.
        window_size: points of a window per axis; a level has whole windows, or fewer points than one.
        skip_blocks: ConvNeXt blocks across each level but the coarsest.
        kernel_size: points of their kernels per axis, odd.
        published_weights: file in the format of the published Poseidon models, with which training starts (2-D). The
            sizes must be theirs, and what has other numbers of channels than theirs, at both ends, is not read.

    Raises:
        ValueError: if an argument is out of range, or a grid has no whole patches or windows.
        EddymarkError: if the file cannot be used.

    Source: Herde et al., Poseidon: Efficient Foundation Models for PDEs, NeurIPS 2024; attention and its bias from Liu
    et al., Swin Transformer V2, CVPR 2022. The published code masks windows that reach over the boundary and pads with
    zeros, which is wrong on periodic axes and tells a network where the boundary is; its residual branches start at
    1e-6.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimension: int,
        width: int = 48,
        levels: int = 4,
        layers: int = 4,
        heads: int = 3,
        patch_size: int = 4,
        window_size: int = 16,
        skip_blocks: int = 2,
        kernel_size: int = 7,
        published_weights: str | None = None,
    ) -> None:
        super().__init__()
        check_sizes(dimension, width, levels)
        if min(layers, heads, patch_size, window_size, skip_blocks) < 1:
            got = f"{layers}, {heads}, {patch_size}, {window_size} and {skip_blocks}"
            raise ValueError(f"layers, heads, patch_size, window_size and skip_blocks must be at least 1; got {got}")
        if width % (2 * heads):
            raise ValueError(f"heads must divide half of width {width}; got {heads}")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and positive; got {kernel_size}")
        self.dimension, self.window_size, self.patch_size = dimension, window_size, patch_size
        self.multiple = patch_size * 2 ** (levels - 1)
        widths = [width * 2**level for level in range(levels)]
        convolution, transposed = (nn.Conv2d, nn.ConvTranspose2d) if dimension == 2 else (nn.Conv3d, nn.ConvTranspose3d)
        self.embed = convolution(in_channels, width, patch_size, stride=patch_size)
        self.embed_norm = LeadTimeNorm(width)
        shifts = [layer % 2 == 1 for layer in range(layers)]

        def stage(level: int, shifts: list[bool]) -> nn.Module:
            return Stage(widths[level], dimension=dimension, heads=heads * 2**level, shifts=shifts)

        self.encoder = nn.ModuleList(stage(level, shifts) for level in range(levels))
        self.coarsen = nn.ModuleList(Coarsening(w, dimension=dimension) for w in widths[:-1])
        self.across = nn.ModuleList(
            nn.ModuleList(ConvNeXtBlock(w, dimension=dimension, kernel_size=kernel_size) for _ in range(skip_blocks))
            for w in widths[:-1]
        )
        # Coarsest first.
        self.decoder = nn.ModuleList(stage(level, shifts[::-1]) for level in reversed(range(levels)))
        self.refine = nn.ModuleList(Refinement(w, dimension=dimension) for w in reversed(widths[1:]))
        self.recover = transposed(width, out_channels, patch_size, stride=patch_size)
        # What arrives there is the sum of four of mean square one: two from the embedding on, refinement and stage.
        nn.init.normal_(self.recover.weight, std=0.5 / math.sqrt(width))
        nn.init.zeros_(cast(Tensor, self.recover.bias))
        self.mix = PeriodicConvolution(
            out_channels, out_channels, dimension=dimension, gain=START**2, kernel_size=5, bias=False
        )
        if published_weights is not None:
            take_over(self, read_published(published_weights), published_weights, other_channels=True)

    def forward(self, field: Tensor, lead_time: Tensor | None = None) -> Tensor:
        """Map `(batch, in_channels, *grid)` to `(batch, out_channels, *grid)`.

        Arguments:
            field: the input.
            lead_time: time from input to output of each sample, `(batch,)`; None: one.
        """
        points = field.shape[2:]
        if len(points) != self.dimension or any(count % self.multiple for count in points):
            needed, got = " × ".join([f"{self.multiple} n"] * self.dimension), " × ".join(map(str, points))
            raise ValueError(f"patches and levels need a grid of {needed} points with whole n; got {got}")
        time = field.new_ones(len(field), 1) if lead_time is None else lead_time.to(field).view(-1, 1)
        values = self.embed_norm(channels_last(self.embed(field)), time)
        skips: list[Tensor] = []
        for level, stage in enumerate(self.encoder):
            after = stage(values, time, self.window_size)
            if level < len(self.coarsen):
                values = self.coarsen[level](values + after, time)
                for block in cast(nn.ModuleList, self.across[level]):
                    after = block(after, time)
            skips.append(after)
        values = self.decoder[0](skips.pop(), time, self.window_size)
        for refine, stage in zip(self.refine, list(self.decoder)[1:], strict=True):
            values = stage(refine(values, time) + skips.pop(), time, self.window_size)
        patches = channels_last(self.recover(channels_second(values)))
        return channels_second(self.mix(patches))


def load_published(path: str, *, window_size: int = 16) -> ScalableOperatorTransformer:
    """Return a published Poseidon model, all sizes from its file.

    Its norms were trained with lead times over 20 and its fields normalised; on periodic grids it is not exactly the
    published map, which is masked and padded at the boundary.

    Arguments:
        path: `model.safetensors` or `pytorch_model.bin`.
        window_size: points of a window per axis, which the file does not say; 16 in all published models.

    Raises:
        EddymarkError: if the file cannot be used.
    """
    state = read_published(path)
    levels = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("encoder."))
    layers = 1 + max(int(name.split(".")[3]) for name in state if name.startswith("encoder.0.blocks."))
    blocks = [int(name.split(".")[2]) for name in state if name.startswith("across.0.")]
    width, in_channels, patch_size, _ = state["embed.weight"].shape
    operator = ScalableOperatorTransformer(
        in_channels,
        state["recover.weight"].shape[1],
        dimension=2,
        width=width,
        levels=levels,
        layers=layers,
        heads=state["encoder.0.blocks.0.attention.logit_scale"].shape[0],
        patch_size=patch_size,
        window_size=window_size,
        skip_blocks=1 + max(blocks, default=0),
        kernel_size=state["across.0.0.depthwise.weight"].shape[-1] if blocks else 7,
    )
    take_over(operator, state, path, other_channels=False)
    return operator
