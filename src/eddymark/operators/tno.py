"""Transformer neural operator: attention between all patches of a field."""

from __future__ import annotations

import functools
import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.operators.patches import from_patches, require_patches, to_patches
from eddymark.operators.pointwise import GELU_MEAN_SQUARE, START, pointwise


@functools.lru_cache(maxsize=64)
def _rotations(
    patches: tuple[int, ...], modes: int, pairs: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of the rotary angles of all patches, each `(patch, pairs)`."""
    # Not inference tensors, even if first needed in a rollout: training may use the same angles later.
    with torch.inference_mode(False):
        waves = itertools.cycle(itertools.product(range(1, modes + 1), range(len(patches))))
        places = torch.meshgrid(*[torch.arange(n).double() / n for n in patches], indexing="ij")
        angles = [2 * math.pi * mode * places[axis].flatten() for mode, axis in itertools.islice(waves, pairs)]
        stacked = torch.stack(angles, dim=1)
        return stacked.cos().to(device, dtype), stacked.sin().to(device, dtype)


class SelfAttention(nn.Module):
    """Softmax attention between all patches, which depends on their periodic distances.

        z(x) = W Σ_y exp(q(x)ᵀ R(y − x) k(y) / √d) v(y) / Σ_y exp(q(x)ᵀ R(y − x) k(y) / √d)   for each head

    R turns the pairs of the d entries by the angles 2π m (y_a − x_a)/side_a: the first by mode 1 along each axis a in
    turn, the next by mode 2, and so on to the highest mode, then again from 1.

    Arguments:
        width: channels; `heads` divides it into heads of even width d.
        heads: number of heads.
        modes: highest rotary mode.
        variance: that of the result at the start.
    """

    def __init__(self, *, width: int, heads: int, modes: int, variance: float) -> None:
        super().__init__()
        self.heads = heads
        self.modes = modes
        self.enter = pointwise(width, 3 * width, variance=1 / width)
        self.leave = pointwise(width, width, variance=variance / width)

    def forward(self, values: Tensor, patches: tuple[int, ...]) -> Tensor:
        """Map `(batch, patch, channel)` to the same shape."""
        split = self.enter(values).unflatten(-1, (3, self.heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4)
        pairs = query.shape[-1] // 2
        cosine, sine = _rotations(patches, self.modes, pairs, values.dtype, values.device)
        query, key = _turned(query, cosine, sine), _turned(key, cosine, sine)
        mixed = F.scaled_dot_product_attention(query, key, value.contiguous())
        return self.leave(mixed.transpose(1, 2).flatten(2))


def _turned(vectors: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn the pairs of `(..., patch, entry)`; first entries of all pairs come first."""
    first, second = vectors.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)


class TransformerNeuralOperator(nn.Module):
    """Transformer neural operator (TNO): patches of a field as tokens, and softmax attention between all of them.

        v₀ = E(u),  v ← v + A(LN(v)),  v ← v + M(LN(v)) (L times),  output = D(LN(v))

    E and D map patches of the grid to channels and back, A is softmax attention with several heads whose weights depend
    on the contents and, through rotary angles with the period of the box, on the distance of two patches, M is a
    perceptron with one hidden layer at each patch, LN a layer norm over the channels. The sums of the attention are
    averages over the box: with patches of one point the map converges with resolution; patches tie it to the grid
    spacing. It commutes with translations by whole patches. Its cost grows as the square of the number of patches.

    Arguments:
        in_channels, out_channels: numbers of channels.
        dimension: number of grid axes, 2 or 3.
        width: channels inside the network.
        heads: number of heads; divides `width` into even parts.
        layers: number of layers L.
        modes: highest mode of the rotary angles per axis.
        hidden_width: hidden channels of M; default four times the width.
        patch_size: points of a patch per axis.

    Raises:
        ValueError: if an argument is out of range, or the input's grid is no multiple of the patches or has not more
            than 2 m patches along an axis.

    Source: Li, Liu, Peng, Yuan, Wang, A transformer-based neural operator for large-eddy simulation of turbulence,
    arXiv 2403.16026. Its code is not public, and what could be read of it names no more than a transformer with fewer
    parameters than an FNO which predicts the velocity at the next output. All else is chosen here: attention as an
    average over the domain, and its patches, follow Calvello, Kovachki, Levine, Stuart, Continuum Attention for Neural
    Operators, arXiv 2406.06486; norms before each part, and the perceptron's width, follow the vision transformer;
    positions enter by distances only, so that translations are kept.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimension: int,
        width: int,
        heads: int = 4,
        layers: int = 4,
        modes: int = 3,
        hidden_width: int | None = None,
        patch_size: int = 2,
    ) -> None:
        super().__init__()
        if dimension not in (2, 3):
            raise ValueError(f"dimension must be 2 or 3; got {dimension}")
        hidden = 4 * width if hidden_width is None else hidden_width
        if min(width, layers, modes, hidden, patch_size) < 1:
            raise ValueError(
                "width, layers, modes, hidden_width and patch_size must be at least 1; got "
                f"{width}, {layers}, {modes}, {hidden} and {patch_size}"
            )
        if heads < 1 or width % (2 * heads):
            raise ValueError(f"heads must divide width {width} into even parts; got {heads}")
        self.dimension = dimension
        self.modes = modes
        self.patch_size = patch_size
        patch = patch_size**dimension
        self.lift = pointwise(in_channels * patch, width, variance=1 / (in_channels * patch))
        # The 2 L branches add half of the variance in all.
        share = 1 / (2 * layers)
        self.attentions = nn.ModuleList(
            SelfAttention(width=width, heads=heads, modes=modes, variance=share) for _ in range(layers)
        )
        self.hidden_in = nn.ModuleList(pointwise(width, hidden, variance=1 / width) for _ in range(layers))
        self.hidden_out = nn.ModuleList(
            pointwise(hidden, width, variance=share / (hidden * GELU_MEAN_SQUARE)) for _ in range(layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * layers + 1))
        self.project = pointwise(width, out_channels * patch, variance=START**2 / width)

    def forward(self, field: Tensor) -> Tensor:
        """Map `(batch, in_channels, *grid)` to `(batch, out_channels, *grid)`."""
        points = field.shape[2:]
        require_patches(points, self.patch_size, (self.modes,) * self.dimension)
        patches = tuple(n // self.patch_size for n in points)
        values = self.lift(to_patches(field, self.patch_size).flatten(2).transpose(1, 2))
        *norms, last = self.norms
        for number, attention in enumerate(self.attentions):
            values = values + attention(norms[2 * number](values), patches)
            hidden = F.gelu(self.hidden_in[number](norms[2 * number + 1](values)))
            values = values + self.hidden_out[number](hidden)
        result = self.project(last(values)).transpose(1, 2).unflatten(2, patches)
        return from_patches(result, self.patch_size)
