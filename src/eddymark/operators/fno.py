"""Fourier neural operator in two and three dimensions.

Inside the network, a field has its grid axes first and in reverse order, `(z, y, x, batch, channel)`. Every
part of a layer is then one matrix product on contiguous memory: the Fourier transform of an axis contracts
the leading axis with a small matrix which has rows for the kept modes only, the spectrum comes out with the
mode leading, as the batched product with the weights wants it, and the pointwise maps contract the trailing
axis. On the grids of LES (up to about 128 points per axis) this is two to four times faster than fast
Fourier transforms which compute all modes and drop most of them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_GELU_MEAN_SQUARE = 0.425
"""⟨GELU(z)²⟩ of a standard normal z: initial weights after an activation make up for it."""

_START = 0.1
"""Root mean square of the output before training, so that a surrogate starts near the physics it already knows."""


@functools.lru_cache(maxsize=64)
def _transform_matrices(
    points: int, modes: int, real: bool, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the matrices of the truncated Fourier transform along one axis and of its inverse.

    They act on real arrays in which real and imaginary parts alternate along an axis of length 2: the forward
    matrix of the real axis has shape `(2 (modes + 1), points)`, that of a full axis `(2 (2 modes + 1), 2
    points)` with columns ordered (part, point) and rows ordered (mode, part). The inverse of the real axis
    counts each mode but zero twice, for its mirror image, and drops the imaginary part of mode zero.
    """
    # Not inference tensors, even if first needed in a rollout: training may use the same matrices later.
    with torch.inference_mode(False):
        positive = torch.arange(modes + 1)
        index = positive if real else torch.cat([positive, positive[1:].flip(0).neg()])
        phase = 2 * math.pi * torch.outer(index, torch.arange(points)).remainder(points).double() / points
        cosine, sine = phase.cos(), phase.sin()
        if real:
            forward = torch.stack([cosine, -sine], dim=1).flatten(0, 1) / points
            twice = torch.where(index == 0, 1.0, 2.0).double()[:, None]
            inverse = torch.stack([twice * cosine, -twice * sine], dim=1).flatten(0, 1).T
        else:
            real_row = torch.stack([cosine, sine], dim=1)
            imaginary_row = torch.stack([-sine, cosine], dim=1)
            forward = torch.stack([real_row, imaginary_row], dim=1).flatten(2).flatten(0, 1) / points
            # The transform is unitary up to the factor, so that the inverse is the transpose.
            inverse = forward.T * points
        return forward.to(device, dtype).contiguous(), inverse.to(device, dtype).contiguous()


class SpectralConvolution(nn.Module):
    """Multiplication of the lowest Fourier modes by learned matrices, û_k → R_k û_k, and of all others by 0.

    The weight has shape `(mode, in, out, 2)`, real and imaginary parts last; `mode` runs over the kept modes
    with the last grid axis slowest, each full axis in the order 0 … m, −m … −1 and the last one 0 … m.

    Arguments:
        in_channels, out_channels: numbers of channels.
        modes: highest kept mode per axis.
        variance: variance of the entries of R_k at the start.
    """

    def __init__(self, in_channels: int, out_channels: int, *, modes: tuple[int, ...], variance: float) -> None:
        super().__init__()
        self.modes = modes
        count = math.prod(2 * m + 1 for m in modes[:-1]) * (modes[-1] + 1)
        self.weight = nn.Parameter(torch.randn(count, in_channels, out_channels, 2) * math.sqrt(variance / 2))

    def spectrum(self, values: Tensor) -> Tensor:
        """Return the kept coefficients `(mode, batch, channel)` of `(z, y, x, batch, channel)`."""
        points, (batch, channels) = values.shape[:-2], values.shape[-2:]
        leading = 1
        for axis, n in enumerate(points):
            modes = self.modes[-1 - axis]
            forward, _ = _transform_matrices(n, modes, axis == 0, values.dtype, values.device)
            values = torch.matmul(forward, values.reshape(leading, forward.shape[1], -1))
            leading *= forward.shape[0] // 2
        parts_last = values.view(leading, 2, batch, channels).permute(0, 2, 3, 1)
        return torch.view_as_complex(parts_last.contiguous())

    def forward(self, values: Tensor, beside: Tensor) -> Tensor:
        """Return the convolution of `(z, y, x, batch, in)` plus `beside`, both `(z, y, x, batch, out)`."""
        points = values.shape[:-2]
        weight = torch.view_as_complex(self.weight)
        # One batched complex product; real products with stacked or block weights took two to four times as long.
        product = torch.bmm(self.spectrum(values), weight)
        spectrum = torch.view_as_real(product).permute(0, 3, 1, 2)
        leading = spectrum.shape[0]
        for axis in reversed(range(1, len(points))):
            modes = self.modes[-1 - axis]
            _, inverse = _transform_matrices(points[axis], modes, False, spectrum.dtype, spectrum.device)
            leading //= 2 * modes + 1
            spectrum = torch.matmul(inverse, spectrum.reshape(leading, inverse.shape[1], -1))
        _, inverse = _transform_matrices(points[0], self.modes[-1], True, spectrum.dtype, spectrum.device)
        summed = torch.addmm(beside.reshape(points[0], -1), inverse, spectrum.reshape(inverse.shape[1], -1))
        return summed.view(beside.shape)


class FourierNeuralOperator(nn.Module):
    """Fourier neural operator: lift, L layers v ← σ(K v + W v + b), projection.

    K multiplies the modes |k_i| ≤ m_i by learned matrices (all 2^(d−1) corner blocks), W and b act at each
    point, σ is GELU and absent in the last layer; lift and projection act at each point, the projection
    through one hidden layer. Coefficients are amplitudes (`norm="forward"`), hence the same weights describe
    the same operator on every grid which resolves the modes. The map commutes with translations.

    Arguments:
        in_channels, out_channels: numbers of channels.
        dimension: number of grid axes, 2 or 3.
        width: channels inside the network.
        modes: highest kept Fourier mode m per sign, one for all axes or one per axis; an axis keeps −m … m.
        layers: number of layers L.
        projection_width: channels of the projection's hidden layer; default twice the width.

    Raises:
        ValueError: if an argument is out of range, or the input's grid does not resolve the modes (points > 2
        m).

    Source: Li et al., Fourier Neural Operator for Parametric Partial Differential Equations, ICLR 2021, eqs.
    2–5.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimension: int,
        width: int,
        modes: int | Sequence[int],
        layers: int = 4,
        projection_width: int | None = None,
    ) -> None:
        super().__init__()
        self.modes = (modes,) * dimension if isinstance(modes, int) else tuple(modes)
        if dimension not in (2, 3):
            raise ValueError(f"dimension must be 2 or 3; got {dimension}")
        if len(self.modes) != dimension or min(self.modes) < 1:
            raise ValueError(f"modes must be one positive number or one for each of {dimension} axes; got {modes}")
        if min(width, layers) < 1:
            raise ValueError(f"width and layers must be at least 1; got {width} and {layers}")
        hidden = 2 * width if projection_width is None else projection_width
        if hidden < 1:
            raise ValueError(f"projection_width must be at least 1; got {projection_width}")
        self.lift = _pointwise(in_channels, width, variance=1 / in_channels)
        # The two branches of a layer share the variance evenly.
        variances = [0.5 / width] + [0.5 / (width * _GELU_MEAN_SQUARE)] * (layers - 1)
        self.convolutions = nn.ModuleList(
            SpectralConvolution(width, width, modes=self.modes, variance=variance) for variance in variances
        )
        self.pointwise = nn.ModuleList(_pointwise(width, width, variance=variance) for variance in variances)
        self.project_in = _pointwise(width, hidden, variance=1 / width)
        self.project_out = _pointwise(hidden, out_channels, variance=_START**2 / (hidden * _GELU_MEAN_SQUARE))

    def forward(self, field: Tensor) -> Tensor:
        """Map `(batch, in_channels, *grid)` to `(batch, out_channels, *grid)`."""
        points = field.shape[2:]
        if len(points) != len(self.modes) or any(n <= 2 * m for n, m in zip(points, self.modes, strict=True)):
            needed, got = " × ".join(str(2 * m + 1) for m in self.modes), " × ".join(map(str, points))
            raise ValueError(f"modes {self.modes} need a grid of at least {needed} points; got {got}")
        values = self.lift(field.permute(*reversed(range(field.dim()))).transpose(-1, -2).contiguous())
        last = len(self.convolutions) - 1
        for index, (convolution, pointwise) in enumerate(zip(self.convolutions, self.pointwise, strict=True)):
            values = convolution(values, pointwise(values))
            if index < last:
                values = F.gelu(values)
        result: Tensor = self.project_out(F.gelu(self.project_in(values)))
        return result.transpose(-1, -2).permute(*reversed(range(field.dim()))).contiguous()


def _pointwise(in_channels: int, out_channels: int, *, variance: float) -> nn.Linear:
    """Return a linear map of the trailing axis with normal weights and zero bias."""
    layer = nn.Linear(in_channels, out_channels)
    nn.init.normal_(layer.weight, std=math.sqrt(variance))
    nn.init.zeros_(layer.bias)
    return layer
