"""Transform-Once: a network between one Fourier transform and one inverse transform."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.operators.pointwise import GELU_MEAN_SQUARE, START, channels_first, grid_first, pointwise
from eddymark.operators.spectral_convolution import modes_per_axis, require_resolved


@functools.lru_cache(maxsize=64)
def _basis(points: int, modes: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return 1, √2 cos(kx) and √2 sin(kx), k = 1 … m, whose mean squares are 1, `(2 m + 1, points)`."""
    # Not inference tensors, even if first needed in a rollout: training may use the same matrix later.
    with torch.inference_mode(False):
        index = torch.arange(1, modes + 1)
        phase = 2 * math.pi * torch.outer(index, torch.arange(points)).remainder(points).double() / points
        waves = math.sqrt(2) * torch.cat([phase.cos(), phase.sin()])
        return torch.cat([torch.ones(1, points, dtype=torch.float64), waves]).to(device, dtype)


def _along_axes(matrices: Sequence[Tensor], values: Tensor) -> Tensor:
    """Contract each leading axis of `values` with the columns of its matrix."""
    leading, trailing = 1, values.shape[len(matrices) :]
    for matrix in matrices:
        values = torch.matmul(matrix, values.reshape(leading, matrix.shape[1], -1))
        leading *= len(matrix)
    return values.view(*[len(matrix) for matrix in matrices], *trailing)


class SpectralMixing(nn.Module):
    """A layer on coefficients, c ← c + S_x S_y S_z σ(R c).

    R multiplies the channels of each mode by a matrix of its own, S_a mixes the modes along axis a, each channel by a
    matrix of its own.

    Arguments:
        width: channels.
        counts: coefficients per axis, in the order x, y, z.
        variance: that of the branch at the start for coefficients of variance 1.
    """

    # Axis 1: no real and imaginary parts, one matrix per entry of the first axis.
    linear_maps: ClassVar[dict[str, int | None]] = {"channels": 1, "axes": 1}

    def __init__(self, *, width: int, counts: tuple[int, ...], variance: float) -> None:
        super().__init__()
        self.channels = nn.Parameter(torch.randn(math.prod(counts), width, width) / math.sqrt(width))
        gains = [variance / GELU_MEAN_SQUARE] + [1.0] * (len(counts) - 1)
        self.axes = nn.ParameterList(
            torch.randn(width, count, count) * math.sqrt(gain / count)
            for count, gain in zip(reversed(counts), gains, strict=True)
        )

    def forward(self, coefficients: Tensor) -> Tensor:
        """Map `(z, y, x, batch, channel)` to the same shape."""
        shape = coefficients.shape
        mixed = torch.bmm(coefficients.flatten(0, -3), self.channels)
        values = F.gelu(mixed).view(shape).movedim(-1, 0)
        leading = 1
        for axis, matrices in enumerate(self.axes):
            values = values.reshape(shape[-1], leading, shape[axis], -1)
            values = torch.matmul(matrices.unsqueeze(1), values)
            leading *= shape[axis]
        return coefficients + values.reshape(shape[-1], *shape[:-1]).movedim(0, -1)


class TransformOnce(nn.Module):
    """Transform-Once (T1): one Fourier transform, L layers on the lowest coefficients, one inverse transform.

        c₀ = F lift(u),  c ← c + S_x S_y S_z σ(R c) (L times),  output = F⁻¹ W₂ σ(W₁ c)

    c are the real Fourier coefficients of the products of 1, √2 cos k_i x_i and √2 sin k_i x_i with k_i ≤ m_i; all
    other modes are dropped. R multiplies the channels of each mode by a matrix of its own, S_a is a full matrix between
    the modes along axis a for each channel, σ is GELU, W₁ and W₂ act on each coefficient alike. Nothing is evaluated on
    grid points between the transforms: the map is the same on every grid, to rounding, and the mean squared error of
    fields is that of coefficients.

    The map commutes with no translation, as σ acts on the phases of waves. That the dynamics do, and that two waves act
    on their sums and differences only, has to be learned mode by mode from data, where layers on grid points have both
    built in: on the trajectories of this package it learns far more slowly than the others
    (`config/experiments/operators.yaml`).

    Arguments:
        in_channels, out_channels: numbers of channels.
        dimension: number of grid axes, 2 or 3.
        width: channels inside the network (published for two dimensions: 48).
        modes: highest kept Fourier mode m per sign, one for all axes or one per axis.
        layers: number of layers L (published: 8).
        projection_width: channels between W₁ and W₂ (published: 128); default twice the width.

    Raises:
        ValueError: if an argument is out of range, or the input's grid does not resolve the modes (points > 2 m).

    Source: Poli et al., Transform Once: Efficient Operator Learning in Frequency Domain, NeurIPS 2022, and its code.
    There, the transform is a cosine one, whose even continuation a periodic field does not have, and coordinates with
    both end points are further inputs. Initial weights preserve the variance as there: of white noise there, hence a
    mean square of 1/fan-in times points/modes; here of a field with no other modes than those kept, hence 1/fan-in. σ
    between W₁ and W₂ is a sine there.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimension: int,
        width: int,
        modes: int | Sequence[int],
        layers: int = 8,
        projection_width: int | None = None,
    ) -> None:
        super().__init__()
        self.modes = modes_per_axis(modes, dimension)
        hidden = 2 * width if projection_width is None else projection_width
        if min(width, layers, hidden) < 1:
            raise ValueError(
                f"width, layers and projection_width must be at least 1; got {width}, {layers} and {hidden}"
            )
        counts = tuple(2 * m + 1 for m in self.modes)
        # Coefficients of variance 1 belong to a field of variance 1.
        self.scale = math.sqrt(math.prod(counts))
        self.lift = pointwise(in_channels, width, variance=1 / in_channels)
        self.layers = nn.ModuleList(
            SpectralMixing(width=width, counts=counts, variance=1 / layers) for _ in range(layers)
        )
        self.project_in = pointwise(width, hidden, variance=1 / (width * (1 + 1 / layers) ** layers))
        self.project_out = pointwise(hidden, out_channels, variance=START**2 / (hidden * GELU_MEAN_SQUARE))

    def forward(self, field: Tensor) -> Tensor:
        """Map `(batch, in_channels, *grid)` to `(batch, out_channels, *grid)`."""
        points = field.shape[2:]
        require_resolved(self.modes, points)
        bases = [
            _basis(n, m, field.dtype, field.device) for n, m in zip(reversed(points), reversed(self.modes), strict=True)
        ]
        forward = [basis * (self.scale ** (1 / len(points)) / basis.shape[1]) for basis in bases]
        coefficients = _along_axes(forward, self.lift(grid_first(field)))
        for layer in self.layers:
            coefficients = layer(coefficients)
        values = self.project_out(F.gelu(self.project_in(coefficients))) / self.scale
        return channels_first(_along_axes([basis.T for basis in bases], values))
