"""Spectral convolution along each axis by itself."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from eddymark.operators.axes import Axis
from eddymark.operators.spectral_convolution import PADDING, transform_matrices


@functools.lru_cache(maxsize=64)
def _inverses(
    points: int, modes: int, dtype: torch.dtype, device: torch.device, axis: Axis | None, padding: float
) -> tuple[Tensor, Tensor]:
    """Return the inverse transform of a spectrum and that of i times the spectrum, both `(points, 2 (modes + 1))`."""
    _, inverse = transform_matrices(points, modes, True, dtype, device, axis, padding)
    with torch.inference_mode(False):
        parts = inverse.view(points, modes + 1, 2)
        return inverse, torch.stack([parts[..., 1], -parts[..., 0]], dim=-1).flatten(1)


class FactorisedConvolution(nn.Module):
    """Sum over the axes of one-dimensional spectral convolutions, Σ_d F_d⁻¹ R_d F_d v.

    F_d transforms axis d alone, and R_d multiplies its modes 0 … m_d by learned matrices; it is the same at all points
    of the other axes. The weight of an axis has shape `(2, m + 1, in, out)`, real and imaginary parts first, so that
    everything is a product of real matrices: the inverse transform adds up the products with both parts.

    Arguments:
        channels: number of channels.
        modes: highest kept mode per axis.
        variance: variance of the entries of each R_d at the start.
        axes: the box; None: uniform periodic axes.
        padding: zeros which follow the field on an axis with walls, as a fraction of the box.
    """

    linear_maps: ClassVar[dict[str, int | None]] = {"weights": 0}

    def __init__(
        self,
        channels: int,
        *,
        modes: tuple[int, ...],
        variance: float,
        axes: Sequence[Axis] | None = None,
        padding: float = PADDING,
    ) -> None:
        super().__init__()
        self.modes = modes
        self.axes = (None,) * len(modes) if axes is None else tuple(axes)
        self.padding = padding
        deviation = math.sqrt(variance / 2)
        self.weights = nn.ParameterList(torch.randn(2, m + 1, channels, channels) * deviation for m in modes)

    def forward(self, values: Tensor) -> Tensor:
        """Return the convolution of `(z, y, x, batch, channel)`, in the same shape."""
        total: Tensor | None = None
        for number, weight in enumerate(self.weights):
            place = len(self.modes) - 1 - number
            leading = values.movedim(place, 0)
            part = self._along(number, weight, leading.reshape(leading.shape[0], -1))
            part = part.view(leading.shape).movedim(0, place)
            total = part if total is None else total + part
        assert total is not None
        return total

    def _along(self, number: int, weight: Tensor, values: Tensor) -> Tensor:
        """Return the convolution along the leading axis of `(points, others × channel)`."""
        points, modes, axis = values.shape[0], self.modes[number], self.axes[number]
        kind = (values.dtype, values.device, axis, self.padding)
        forward, _ = transform_matrices(points, modes, True, *kind)
        inverse, turned = _inverses(points, modes, *kind)
        spectrum = torch.mm(forward, values).view(modes + 1, -1, weight.shape[-1])
        real = torch.bmm(spectrum, weight[0]).view(2 * (modes + 1), -1)
        imaginary = torch.bmm(spectrum, weight[1]).view(2 * (modes + 1), -1)
        return torch.addmm(torch.mm(inverse, real), turned, imaginary)
