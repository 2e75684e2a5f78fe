"""U-Net whose kernels are functions of physical distance: the same operator on every grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from eddymark.operators.axes import Axis
from eddymark.operators.periodic_convolution import PeriodicConvolution, channels_last, channels_second
from eddymark.operators.pointwise import GELU_MEAN_SQUARE, START, pointwise
from eddymark.operators.resampling import along_axes, spline_matrix
from eddymark.operators.unet_body import UNetBody, check_points, check_sizes

_TOLERANCE = 1e-6
"""How far a ratio of lengths may be from a whole number, for sides such as 4π and 2π have rounding errors."""


def smoothed(values: Tensor, nodes: Sequence[float], *, factor: float = 1.0) -> Tensor:
    """Return the convolution with a cubic B-spline on a grid with `factor` times the points.

    Arguments:
        values: `(batch, *grid, channel)`.
        nodes: how often the width of the spline fits into each side.
        factor: ratio of the numbers of points.
    """
    return along_axes(
        values,
        [
            spline_matrix(points, round(points * factor), count, values.dtype, values.device)
            for points, count in zip(values.shape[1:-1], nodes, strict=True)
        ],
    )


class SplineConvolution(nn.Module):
    """Convolution with a kernel in physical units, (K v)(x) = W v(x) + Σ_m w_m ∫ B((x + m δ − y)/δ) v(y) dy/δ^d.

    m runs over {−1, 0, 1}^d. B is a product of cubic B-splines. The integral is the trapezoidal sum over the grid;
    since the nodes m δ are grid points, it is taken once for all m, and the rest is a convolution with dilation δ/h: as
    fast on every grid as on the coarsest one.

    Arguments:
        in_channels, out_channels: numbers of channels.
        nodes: how often δ fits into each side.
    """

    def __init__(self, in_channels: int, out_channels: int, *, nodes: Sequence[float]) -> None:
        super().__init__()
        self.nodes = tuple(nodes)
        # B-splines on all points of a grid with spacing δ keep 1/2 of the variance of white noise per axis.
        self.convolution = PeriodicConvolution(
            in_channels, out_channels, dimension=len(self.nodes), gain=0.5 * 2.0 ** len(self.nodes)
        )
        self.beside = nn.Linear(in_channels, out_channels, bias=False)
        nn.init.normal_(self.beside.weight, std=math.sqrt(0.5 / in_channels))

    def forward(self, values: Tensor) -> Tensor:
        """Map `(batch, *grid, in)` to `(batch, *grid, out)`."""
        spacings = [round(n / count) for n, count in zip(values.shape[1:-1], self.nodes, strict=True)]
        result: Tensor = self.convolution(smoothed(values, self.nodes), dilation=spacings)
        return result + self.beside(values)


class _SplineBody(UNetBody):
    """Levels of a U-Net between which B-splines of the coarser one's width interpolate, down and up."""

    def __init__(self, nodes: Sequence[Sequence[float]], in_channels: int, widths: Sequence[int]) -> None:
        super().__init__(
            lambda level, inputs, outputs: SplineConvolution(inputs, outputs, nodes=nodes[level]), in_channels, widths
        )
        self.nodes = [tuple(counts) for counts in nodes]

    def coarser(self, values: Tensor, level: int) -> Tensor:
        return smoothed(values, self.nodes[level + 1], factor=0.5)

    def finer(self, values: Tensor, level: int) -> Tensor:
        return smoothed(values, self.nodes[level + 1], factor=2.0)


class ContinuousUNet(nn.Module):
    """U-Net whose weights describe the same operator on every grid, to which its output converges.

    As `unet`, but level j has kernels K v(x) = W v(x) + Σ_m w_m ∫ B((x + 2^j m δ − y)/(2^j δ)) v(y) dy/(2^j δ)^d with
    nodes m ∈ {−1, 0, 1}^d and cubic B-splines B, by the trapezoidal rule; the integrals of B with width 2^{j+1} δ,
    taken at the points of the other grid, also lead from level j to j + 1 and back. Norms over the sample are averages
    over the volume. δ is the shortest side over `points`; on a grid of that spacing h = δ kernels have the 3^d points
    of `unet`, and the error falls with the fourth power of h/δ.

    Arguments:
        in_channels, out_channels: numbers of channels.
        dimension: number of grid axes, 2 or 3.
        axes: the box, periodic.
        width: channels of the finest level.
        points: kernel nodes along the shortest side; the input has this many points or a multiple of it.
        levels: number of grids, J + 1; the input has multiples of 2^J points per axis.

    Raises:
        ValueError: if an argument is out of range, a side is no multiple of δ, or a grid has no points at the nodes.

    Source: kernels in physical units as in Raonić et al., Convolutional Neural Operators, NeurIPS 2023, with splines
    instead of a band limit, for they have compact support and need no second grid.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimension: int,
        axes: Sequence[Axis],
        width: int,
        points: int,
        levels: int = 3,
    ) -> None:
        super().__init__()
        check_sizes(dimension, width, levels)
        if points < 1:
            raise ValueError(f"points must be at least 1; got {points}")
        if not all(axis.periodic for axis in axes):
            raise ValueError("a U-Net with kernels in physical units needs periodic axes")
        shortest = min(axis.side for axis in axes)
        self.nodes = [round(points * axis.side / shortest) for axis in axes]
        for axis, nodes in zip(axes, self.nodes, strict=True):
            if abs(points * axis.side / shortest - nodes) > _TOLERANCE * nodes:
                raise ValueError(f"points: no whole number of nodes fits into the side {axis.side:g}; got {points}")
        self.multiple = 2 ** (levels - 1)
        levels_of_nodes = [[count / 2**level for count in self.nodes] for level in range(levels)]
        self.body = _SplineBody(levels_of_nodes, in_channels, [width * 2**level for level in range(levels)])
        self.project = pointwise(width, out_channels, variance=START**2 / (width * GELU_MEAN_SQUARE))

    def forward(self, field: Tensor) -> Tensor:
        """Map `(batch, in_channels, *grid)` to `(batch, out_channels, *grid)`."""
        got = field.shape[2:]
        check_points(got, len(self.nodes), self.multiple)
        if any(count % nodes for count, nodes in zip(got, self.nodes, strict=True)):
            needed = " × ".join(map(str, self.nodes))
            raise ValueError(f"points: the grid needs multiples of {needed} points; got {' × '.join(map(str, got))}")
        return channels_second(self.project(self.body(channels_last(field))))
