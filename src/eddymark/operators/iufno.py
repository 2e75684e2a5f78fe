"""Implicit Fourier neural operator with a U-Net in two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from eddymark.operators.axes import Axis
from eddymark.operators.lifted import LiftedOperator
from eddymark.operators.pointwise import pointwise
from eddymark.operators.spectral_convolution import PADDING, SpectralConvolution
from eddymark.operators.strided_unet import UNetBranch


class ImplicitUFourierNeuralOperator(LiftedOperator):
    """IU-FNO: lift, v ← v + (1/L) σ(K v + W v + b + U(v − K v)) L times, projection.

    The L layers share one K, W, b and U. K multiplies the modes |k_i| ≤ m_i by learned matrices (all 2^(d−1) corner
    blocks), W and b act at each point, U is a U-Net of d-dimensional convolutions
    (`strided_unet.py`) which sees what K leaves, above all the small scales, σ is
    GELU; lift and projection act at each point, the projection through one hidden layer. The map commutes with
    translations by 2^levels points along periodic axes which are halved that often. U has kernels of three points:
    other grids are other operators.

    Arguments:
        in_channels, out_channels: numbers of channels.
        dimension: number of grid axes, 2 or 3.
        width: channels inside the network.
        modes: highest kept Fourier mode m per sign, one for all axes or one per axis; an axis
            keeps −m … m.
        layers: number of steps L.
        levels: how often the U-Net halves the grid.
        projection_width: channels of the projection's hidden layer; default twice the width.
        axes: the box; None: uniform periodic axes.
        padding: zeros which follow the field on an axis with walls, as a fraction of the box.

    Raises:
        ValueError: if an argument is out of range, or the input's grid does not resolve the modes (points > 2 m).

    Source: Li et al., Long-term predictions of turbulence by implicit U-Net enhanced Fourier neural operator, Physics
    of Fluids 35 (2023) 075145. Published code of the group (for channels) treats velocity components as a fourth axis
    of the grid, of which it learns half of the corner blocks, flattens the grid for one-dimensional convolutions,
    does not pad between the walls, appends coordinates with both end points, and leaves σ out of the last step.
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
        levels: int = 2,
        projection_width: int | None = None,
        axes: Sequence[Axis] | None = None,
        padding: float = PADDING,
    ) -> None:
        counts = {"layers": layers, "levels": levels}
        super().__init__(in_channels, width, dimension=dimension, modes=modes, counts=counts, axes=axes)
        self.layers = layers
        # The three branches share the variance evenly; U is given v and K v.
        share = 1 / 3
        self.convolution = SpectralConvolution(
            width, width, modes=self.modes, variance=share / width, axes=axes, padding=padding
        )
        self.pointwise = pointwise(width, width, variance=share / width)
        self.unet = UNetBranch(width, periodic=self.periodic, levels=levels, variance=share / (1 + share))
        self.add_projection(width, out_channels, projection_width)

    def transform(self, values: Tensor) -> Tensor:
        """Take the steps."""
        for _ in range(self.layers):
            convolved = self.convolution(values)
            rest = self.unet(values - convolved)
            step = F.gelu(self.pointwise(values) + convolved + rest)
            values = values.add(step, alpha=1 / self.layers)
        return values
