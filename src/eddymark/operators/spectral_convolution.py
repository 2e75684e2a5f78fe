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
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from eddymark.operators.axes import Axis

PADDING = 0.25
"""Zeros which follow the field on an axis with walls, as a fraction of the box."""


@functools.lru_cache(maxsize=64)
def transform_matrices(
    points: int,
    modes: int,
    real: bool,
    dtype: torch.dtype,
    device: torch.device,
    axis: Axis | None = None,
    padding: float = PADDING,
) -> tuple[Tensor, Tensor]:
    """Return the matrices of the truncated Fourier transform along one axis and of its inverse.

    On a uniform periodic axis (or without `axis`) this is the discrete transform. On any other, coefficients are
    integrals by the trapezoidal rule over the places of its points; with walls, over a box which is longer by
    `padding` and where the field is zero beyond the second wall.

    They act on real arrays in which real and imaginary parts alternate along an axis of length 2: the forward
    matrix of the real axis has shape `(2 (modes + 1), points)`, that of a full axis `(2 (2 modes + 1), 2
    points)` with columns ordered (part, point) and rows ordered (mode, part). The inverse of the real axis
    counts each mode but zero twice, for its mirror image, and drops the imaginary part of mode zero.
    """
    # Not inference tensors, even if first needed in a rollout: training may use the same matrices later.
    with torch.inference_mode(False):
        positive = torch.arange(modes + 1)
        index = positive if real else torch.cat([positive, positive[1:].flip(0).neg()])
        if axis is None or (axis.periodic and axis.coordinates is None):
            phase = 2 * math.pi * torch.outer(index, torch.arange(points)).remainder(points).double() / points
            weights = torch.full((points,), 1 / points, dtype=torch.float64)
        else:
            side = axis.side if axis.periodic else (1 + padding) * axis.side
            phase = 2 * math.pi * torch.outer(index.double(), axis.places(points)) / side
            weights = axis.weights(points) / side
        cosine, sine = phase.cos(), phase.sin()
        if real:
            forward = torch.stack([cosine, -sine], dim=1).flatten(0, 1) * weights
            twice = torch.where(index == 0, 1.0, 2.0).double()[:, None]
            inverse = torch.stack([twice * cosine, -twice * sine], dim=1).flatten(0, 1).T
        else:
            real_row = torch.stack([cosine, sine], dim=1)
            imaginary_row = torch.stack([-sine, cosine], dim=1)
            unweighted = torch.stack([real_row, imaginary_row], dim=1)
            forward = (unweighted * weights).flatten(2).flatten(0, 1)
            # The transform is unitary up to the factor, so that the inverse is the transpose.
            inverse = unweighted.flatten(2).flatten(0, 1).T
        return forward.to(device, dtype).contiguous(), inverse.to(device, dtype).contiguous()


def modes_per_axis(modes: int | Sequence[int], dimension: int) -> tuple[int, ...]:
    """Return the highest kept mode of each axis.

    Raises:
        ValueError: unless there are two or three axes and `modes` is a positive number or one for each.
    """
    per_axis = (modes,) * dimension if isinstance(modes, int) else tuple(modes)
    if dimension not in (2, 3):
        raise ValueError(f"dimension must be 2 or 3; got {dimension}")
    if len(per_axis) != dimension or min(per_axis) < 1:
        raise ValueError(f"modes must be one positive number or one for each of {dimension} axes; got {modes}")
    return per_axis


def require_resolved(modes: tuple[int, ...], points: Sequence[int]) -> None:
    """Raise a ValueError unless the grid has more than two points for each mode."""
    if len(points) != len(modes) or any(n <= 2 * m for n, m in zip(points, modes, strict=True)):
        needed, got = " × ".join(str(2 * m + 1) for m in modes), " × ".join(map(str, points))
        raise ValueError(f"modes {modes} need a grid of at least {needed} points; got {got}")


def to_spectrum(
    values: Tensor, modes: tuple[int, ...], *, axes: Sequence[Axis] | None = None, padding: float = PADDING
) -> Tensor:
    """Return the Fourier coefficients of the modes |k_i| ≤ m_i.

    Arguments:
        values: `(z, y, x, batch, channel)`.
        modes: m_i in the order x, y, z.
        axes: the box; None: uniform periodic axes.
        padding: zeros which follow the field on an axis with walls, as a fraction of the box. They cost nothing here:
            the matrices have no columns for them and no rows for what is cropped.

    Returns:
        Complex amplitudes `(mode, batch, channel)`; `mode` runs over the kept modes with the last grid axis slowest,
        each full axis in the order 0 … m, −m … −1 and the last one 0 … m.
    """
    if is_autocast(values.device):
        # Amplitudes span more decades than a short mantissa can add up, and no complex numbers have one.
        with torch.autocast(values.device.type, enabled=False):
            return to_spectrum(in_full_precision(values), modes, axes=axes, padding=padding)
    points, (batch, channels) = values.shape[:-2], values.shape[-2:]
    leading = 1
    for number, n in enumerate(points):
        forward, _ = _matrices(number, n, modes, axes, padding, values)
        values = torch.matmul(forward, values.reshape(leading, forward.shape[1], -1))
        leading *= forward.shape[0] // 2
    parts_last = values.view(leading, 2, batch, channels).permute(0, 2, 3, 1)
    return torch.view_as_complex(parts_last.contiguous())


def to_grid(
    spectrum: Tensor,
    modes: tuple[int, ...],
    points: Sequence[int],
    *,
    beside: Tensor | None = None,
    axes: Sequence[Axis] | None = None,
    padding: float = PADDING,
) -> Tensor:
    """Return the real field of some Fourier coefficients, plus another field if given.

    Coefficients of the plane where the last wavenumber is 0 need not be those of a real field; the imaginary part of
    what they make is left out.

    Arguments:
        spectrum: complex amplitudes `(mode, batch, channel)` in the order of `to_spectrum`.
        modes: m_i in the order x, y, z.
        points: grid in the order z, y, x.
        beside: field to add, `(z, y, x, batch, channel)`.
        axes, padding: as of `to_spectrum`.
    """
    if is_autocast(spectrum.device):
        with torch.autocast(spectrum.device.type, enabled=False):
            beside = None if beside is None else in_full_precision(beside)
            return to_grid(spectrum, modes, points, beside=beside, axes=axes, padding=padding)
    values = torch.view_as_real(spectrum).permute(0, 3, 1, 2)
    leading = values.shape[0]
    for number in reversed(range(1, len(points))):
        _, inverse = _matrices(number, points[number], modes, axes, padding, values)
        leading //= inverse.shape[1] // 2
        values = torch.matmul(inverse, values.reshape(leading, inverse.shape[1], -1))
    _, inverse = _matrices(0, points[0], modes, axes, padding, values)
    values = values.reshape(inverse.shape[1], -1)
    if beside is None:
        return torch.mm(inverse, values).view(*points, *spectrum.shape[1:])
    return torch.addmm(beside.reshape(points[0], -1), inverse, values).view(beside.shape)


def _matrices(
    number: int, points: int, modes: tuple[int, ...], axes: Sequence[Axis] | None, padding: float, like: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the matrices of a grid axis of an array `(z, y, x, …)`."""
    axis = None if axes is None else axes[-1 - number]
    return transform_matrices(points, modes[-1 - number], number == 0, like.dtype, like.device, axis, padding)


def is_autocast(device: torch.device) -> bool:
    """Return whether autocast is on for a device; it knows nothing of torch's meta device."""
    return device.type != "meta" and torch.is_autocast_enabled(device.type)


def in_full_precision(values: Tensor) -> Tensor:
    """Return an array in single precision if it has less."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


class SpectralConvolution(nn.Module):
    """Multiplication of the lowest Fourier modes by learned matrices, û_k → R_k û_k, and of all others by 0.

    The weight has shape `(mode, in, out, 2)`, real and imaginary parts last, modes in the order of `to_spectrum`.

    Arguments:
        in_channels, out_channels: numbers of channels.
        modes: highest kept mode per axis.
        variance: variance of the entries of R_k at the start.
        axes, padding: as of `to_spectrum`.
    """

    linear_maps: ClassVar[dict[str, int | None]] = {"weight": -1}

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        modes: tuple[int, ...],
        variance: float,
        axes: Sequence[Axis] | None = None,
        padding: float = PADDING,
    ) -> None:
        super().__init__()
        self.modes = modes
        self.axes = None if axes is None else tuple(axes)
        self.padding = padding
        count = math.prod(2 * m + 1 for m in modes[:-1]) * (modes[-1] + 1)
        self.weight = nn.Parameter(torch.randn(count, in_channels, out_channels, 2) * math.sqrt(variance / 2))

    def forward(self, values: Tensor, beside: Tensor | None = None, *, points: Sequence[int] | None = None) -> Tensor:
        """Return the convolution of `(z, y, x, batch, in)`, plus `beside` if given, both `(z, y, x, batch, out)`.

        Arguments:
            values, beside: as above.
            points: grid of the result in the order z, y, x; default: that of the values.
        """
        spectrum = to_spectrum(values, self.modes, axes=self.axes, padding=self.padding)
        # One batched complex product; real products with stacked or block weights took two to four times as long.
        product = torch.bmm(spectrum, torch.view_as_complex(self.weight))
        points = values.shape[:-2] if points is None else points
        return to_grid(product, self.modes, points, beside=beside, axes=self.axes, padding=self.padding)
