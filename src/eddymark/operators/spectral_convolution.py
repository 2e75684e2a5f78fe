"""Multiplication of the lowest Fourier modes by learned matrices.

A field has its grid axes first and in reverse order here, `(z, y, x, batch, channel)`. Every part of a Fourier layer
is then one matrix product on contiguous memory: the Fourier transform of an axis contracts the leading axis with a
small matrix which has rows for the kept modes only, the spectrum comes out with the mode leading, as the batched
product with the weights wants it, and the pointwise maps contract the trailing axis. On the grids of LES (up to about
128 points per axis) this is two to four times faster than fast Fourier transforms which compute all modes and drop
most of them.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor, nn


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


def to_spectrum(values: Tensor, modes: tuple[int, ...]) -> Tensor:
    """Return the Fourier coefficients of the modes |k_i| ≤ m_i.

    Arguments:
        values: `(z, y, x, batch, channel)`.
        modes: m_i in the order x, y, z.

    Returns:
        Complex amplitudes `(mode, batch, channel)`; `mode` runs over the kept modes with the last grid axis slowest,
        each full axis in the order 0 … m, −m … −1 and the last one 0 … m.
    """
    if torch.is_autocast_enabled(values.device.type):
        # Amplitudes span more decades than a short mantissa can add up, and no complex numbers have one.
        with torch.autocast(values.device.type, enabled=False):
            return to_spectrum(_full(values), modes)
    points, (batch, channels) = values.shape[:-2], values.shape[-2:]
    leading = 1
    for axis, n in enumerate(points):
        forward, _ = _transform_matrices(n, modes[-1 - axis], axis == 0, values.dtype, values.device)
        values = torch.matmul(forward, values.reshape(leading, forward.shape[1], -1))
        leading *= forward.shape[0] // 2
    parts_last = values.view(leading, 2, batch, channels).permute(0, 2, 3, 1)
    return torch.view_as_complex(parts_last.contiguous())


def to_grid(spectrum: Tensor, modes: tuple[int, ...], beside: Tensor) -> Tensor:
    """Return the real field of some Fourier coefficients plus another field.

    Coefficients of the plane where the last wavenumber is 0 need not be those of a real field; the imaginary part of
    what they make is left out.

    Arguments:
        spectrum: complex amplitudes `(mode, batch, channel)` in the order of `to_spectrum`.
        modes: m_i in the order x, y, z.
        beside: field to add, `(z, y, x, batch, channel)`.
    """
    if torch.is_autocast_enabled(beside.device.type):
        with torch.autocast(beside.device.type, enabled=False):
            return to_grid(spectrum, modes, _full(beside))
    points = beside.shape[:-2]
    values = torch.view_as_real(spectrum).permute(0, 3, 1, 2)
    leading = values.shape[0]
    for axis in reversed(range(1, len(points))):
        _, inverse = _transform_matrices(points[axis], modes[-1 - axis], False, values.dtype, values.device)
        leading //= 2 * modes[-1 - axis] + 1
        values = torch.matmul(inverse, values.reshape(leading, inverse.shape[1], -1))
    _, inverse = _transform_matrices(points[0], modes[-1], True, values.dtype, values.device)
    summed = torch.addmm(beside.reshape(points[0], -1), inverse, values.reshape(inverse.shape[1], -1))
    return summed.view(beside.shape)


def _full(values: Tensor) -> Tensor:
    """Return a field in single precision if it has less."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


class SpectralConvolution(nn.Module):
    """Multiplication of the lowest Fourier modes by learned matrices, û_k → R_k û_k, and of all others by 0.

    The weight has shape `(mode, in, out, 2)`, real and imaginary parts last, modes in the order of `to_spectrum`.

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

    def forward(self, values: Tensor, beside: Tensor) -> Tensor:
        """Return the convolution of `(z, y, x, batch, in)` plus `beside`, both `(z, y, x, batch, out)`."""
        # One batched complex product; real products with stacked or block weights took two to four times as long.
        product = torch.bmm(to_spectrum(values, self.modes), torch.view_as_complex(self.weight))
        return to_grid(product, self.modes, beside)
