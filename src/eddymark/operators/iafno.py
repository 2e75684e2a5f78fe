"""Implicit adaptive Fourier neural operator in two and three dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.operators.patches import from_patches, require_patches, to_patches
from eddymark.operators.pointwise import GELU_MEAN_SQUARE, START, channels_first, grid_first, pointwise
from eddymark.operators.spectral_convolution import modes_per_axis, to_grid, to_spectrum

_THRESHOLD_AT_START = 0.5
_THRESHOLD_MEAN_SQUARE = 0.354
"""⟨max(|z| − ½, 0)²⟩ of a complex normal z with ⟨|z|²⟩ = 1."""


class SpectralPerceptron(nn.Module):
    """Complex perceptron which acts on each Fourier mode alike, c → S_λ(W₂ S_b(W₁ c)).

    S_b(z) = z/|z| max(|z| − b, 0) shrinks the modulus and keeps the phase. W₁ and W₂ are block-diagonal. The mean
    square of all kept coefficients c is 1 if that of the field is.

    Arguments:
        width: channels of the field.
        hidden: channels of the hidden layer.
        blocks: number of blocks; divides both.
        threshold: λ.
    """

    linear_maps: ClassVar[dict[str, int | None]] = {"weight_in": -1, "weight_out": -1}

    def __init__(self, *, width: int, hidden: int, blocks: int, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold
        first, second = width // blocks, hidden // blocks
        self.weight_in = nn.Parameter(torch.randn(blocks, first, second, 2) / math.sqrt(2 * first))
        spread = 1 / math.sqrt(2 * second * _THRESHOLD_MEAN_SQUARE)
        self.weight_out = nn.Parameter(torch.randn(blocks, second, first, 2) * spread)
        self.thresholds = nn.Parameter(torch.full((blocks, 1, second), _THRESHOLD_AT_START))

    def forward(self, coefficients: Tensor) -> Tensor:
        """Map complex `(mode, batch, channel)` to the same shape."""
        blocks = len(self.weight_in)
        values = coefficients.flatten(0, 1).unflatten(-1, (blocks, -1)).transpose(0, 1)
        values = soft_shrink(torch.bmm(values, torch.view_as_complex(self.weight_in)), self.thresholds)
        values = torch.bmm(values, torch.view_as_complex(self.weight_out)).transpose(0, 1)
        return soft_shrink(values.reshape(coefficients.shape), self.threshold)


def soft_shrink(values: Tensor, threshold: Tensor | float) -> Tensor:
    """Return z/|z| max(|z| − threshold, 0) of complex values."""
    modulus = values.abs()
    # The gradient of |z| is 0 at z = 0, and nothing is divided by less than the smallest normal number.
    return values * (F.relu(modulus - threshold) / modulus.clamp_min(torch.finfo(modulus.dtype).tiny))


class ImplicitAdaptiveFourierNeuralOperator(nn.Module):
    """Implicit adaptive Fourier neural operator: one block, which mixes all Fourier modes alike, for all L layers.

        v₀ = E(u),  v ← v + B(v) / L (L times),  output = D(v)
        r = v + n + F⁻¹ S_λ(W₂ S_b(W₁ F n)),  n = LN(v),  B(v) = r + M(LN(r))

    E and D map patches of the grid to channels and back, F is the Fourier transform on the grid of patches with modes
    |k_i| ≤ m_i, W₁ and W₂ are complex block-diagonal matrices shared by all modes, S_b(z) = z/|z| max(|z| − b, 0) is a
    soft shrinkage, with learned b and small fixed λ, M a perceptron with one hidden layer at each patch, LN a layer
    norm over the channels. The map commutes with translations by whole patches.

    Arguments:
        in_channels, out_channels: numbers of channels.
        dimension: number of grid axes, 2 or 3.
        width: channels inside the network (published: 200).
        modes: highest kept Fourier mode m per sign of the grid of patches, one for all axes or one per axis.
        layers: number of layers L (published: 20).
        blocks: number of blocks of W₁ and W₂ (published: 1); divides `width` and `spectral_width`.
        spectral_width: hidden channels between W₁ and W₂; default three times the width, as published.
        hidden_width: hidden channels of M; default four times the width, as published.
        patch_size: points of a patch per axis (published: 2).
        threshold: λ, in units of the rms of the coefficients of a field with rms 1 (published: 0.01).

    Raises:
        ValueError: if an argument is out of range, or the input's grid is no multiple of the patches or has not more
            than 2 m patches along an axis.

    Source: Jiang, Li, Wang, Yang, Wang, arXiv 2501.12740, and its code; Guibas et al., Adaptive Fourier Neural
    Operators, ICLR 2022. In that code, real and imaginary parts have biases, a rectifier and a shrinkage of their own,
    which do not commute with translations: here phases are kept. Nor does its learned field of positions, which is left
    out. All modes are kept there, in a normalisation where λ depends on the number of points.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimension: int,
        width: int,
        modes: int | Sequence[int],
        layers: int = 20,
        blocks: int = 1,
        spectral_width: int | None = None,
        hidden_width: int | None = None,
        patch_size: int = 2,
        threshold: float = 0.01,
    ) -> None:
        super().__init__()
        self.modes = modes_per_axis(modes, dimension)
        spectral = 3 * width if spectral_width is None else spectral_width
        hidden = 4 * width if hidden_width is None else hidden_width
        if min(width, layers, hidden, patch_size) < 1:
            raise ValueError(
                f"width, layers, hidden_width and patch_size must be at least 1; got {width}, {layers}, {hidden} and "
                f"{patch_size}"
            )
        if blocks < 1 or width % blocks or spectral < 1 or spectral % blocks:
            raise ValueError(f"blocks must divide width {width} and spectral_width {spectral}; got {blocks}")
        if threshold < 0:
            raise ValueError(f"threshold must not be negative; got {threshold}")
        self.layers = layers
        self.patch_size = patch_size
        patch = patch_size**dimension
        self.lift = pointwise(in_channels * patch, width, variance=1 / (in_channels * patch))
        self.norm_in = nn.LayerNorm(width)
        self.mix = SpectralPerceptron(width=width, hidden=spectral, blocks=blocks, threshold=threshold)
        self.norm_out = nn.LayerNorm(width)
        self.hidden_in = pointwise(width, hidden, variance=1 / width)
        self.hidden_out = pointwise(hidden, width, variance=1 / (hidden * GELU_MEAN_SQUARE))
        # Adding B(v) / L ∼ v / L again and again makes about e of 1, and what the block adds is as large.
        self.project = pointwise(width, out_channels * patch, variance=START**2 / (width * 2 * math.e**2))

    def forward(self, field: Tensor) -> Tensor:
        """Map `(batch, in_channels, *grid)` to `(batch, out_channels, *grid)`."""
        require_patches(field.shape[2:], self.patch_size, self.modes)
        values = self.lift(grid_first(to_patches(field, self.patch_size)))
        for _ in range(self.layers):
            values = torch.add(values, self._block(values), alpha=1 / self.layers)
        return from_patches(channels_first(self.project(values)), self.patch_size)

    def _block(self, values: Tensor) -> Tensor:
        normalised = self.norm_in(values)
        # Amplitudes of a field with rms 1 become coefficients with rms 1.
        scale = math.sqrt(math.prod(2 * m + 1 for m in self.modes))
        coefficients = self.mix(to_spectrum(normalised, self.modes) * scale) / scale
        values = to_grid(coefficients, self.modes, values.shape[:-2], beside=values + normalised)
        return values + self.hidden_out(F.gelu(self.hidden_in(self.norm_out(values))))
