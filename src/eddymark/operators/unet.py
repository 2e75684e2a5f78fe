"""U-Net on periodic grids."""

from __future__ import annotations

from torch import Tensor, nn

from eddymark.operators.periodic_convolution import PeriodicConvolution, channels_last, channels_second
from eddymark.operators.pointwise import GELU_MEAN_SQUARE, START, pointwise
from eddymark.operators.unet_body import UNetBody, check_points, check_sizes


class UNet(nn.Module):
    """U-Net: blocks on ever coarser grids, then back, each time beside what the grid had on the way down.

    d_0 = B_0(u), d_j = B_j(P d_{j−1}); e_J = d_J, e_j = C_j([d_j, I e_{j+1}]); the output is a pointwise linear map of
    e_0. B and C are two convolutions, each followed by a norm over the sample and GELU; P averages over 2^d points, I
    interpolates linearly; level j has 2^j times the width. Everything is periodic.

    Arguments:
        in_channels, out_channels: numbers of channels.
        dimension: number of grid axes, 2 or 3.
        width: channels of the finest level.
        levels: number of grids, J + 1; the input has multiples of 2^J points per axis.
        kernel_size: points of a kernel per axis, odd.

    Raises:
        ValueError: if an argument is out of range, or a grid cannot be halved J times.

    Source: Ronneberger, Fischer, Brox, U-Net, MICCAI 2015; with averages instead of maxima, which would shift smooth
    fields, and linear interpolation instead of transposed convolutions, which leave a checkerboard.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimension: int,
        width: int,
        levels: int = 3,
        kernel_size: int = 3,
    ) -> None:
        super().__init__()
        check_sizes(dimension, width, levels)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and positive; got {kernel_size}")
        self.dimension = dimension

        self.multiple = 2 ** (levels - 1)

        def convolution(level: int, inputs: int, outputs: int) -> nn.Module:
            return PeriodicConvolution(inputs, outputs, dimension=dimension, gain=1.0, kernel_size=kernel_size)

        self.body = UNetBody(convolution, in_channels, [width * 2**level for level in range(levels)])
        self.project = pointwise(width, out_channels, variance=START**2 / (width * GELU_MEAN_SQUARE))

    def forward(self, field: Tensor) -> Tensor:
        """Map `(batch, in_channels, *grid)` to `(batch, out_channels, *grid)`."""
        check_points(field.shape[2:], self.dimension, self.multiple)
        return channels_second(self.project(self.body(channels_last(field))))
