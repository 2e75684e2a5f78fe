"""Fourier neural operator with U-Nets in two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.operators.axes import Axis
from eddymark.operators.lifted import LiftedOperator
from eddymark.operators.pointwise import GELU_MEAN_SQUARE, pointwise
from eddymark.operators.spectral_convolution import PADDING, SpectralConvolution
from eddymark.operators.strided_unet import UNetBranch


class UFourierNeuralOperator(LiftedOperator):
    """U-FNO: lift, Fourier layers v ← σ(K v + W v + b), U-Fourier layers v ← σ(K v + U v + W v + b), projection.

    K multiplies the modes |k_i| ≤ m_i by learned matrices (all 2^(d−1) corner blocks), W and b act at each point, U is
    a U-Net of d-dimensional convolutions (`strided_unet.py`) for what K cuts off, σ
    is GELU; lift and projection act at each point, the projection through one hidden layer. The map commutes with
    translations by 2^levels points along periodic axes which are halved that often. U has kernels of three points:
    other grids are other operators.

    Arguments:
        in_channels, out_channels: numbers of channels.
        dimension: number of grid axes, 2 or 3.
        width: channels inside the network.
        modes: highest kept Fourier mode m per sign, one for all axes or one per axis; an axis
            keeps −m … m.
        layers: number of all layers.
        unet_layers: how many of them, the last ones, have a U-Net.
        levels: how often a U-Net halves the grid.
        projection_width: channels of the projection's hidden layer; default twice the width.
        axes: the box; None: uniform periodic axes.
        padding: zeros which follow the field on an axis with walls, as a fraction of the box.

    Raises:
        ValueError: if an argument is out of range, or the input's grid does not resolve the modes (points > 2 m).

    Source: Wen et al., U-FNO, Advances in Water Resources 163 (2022) 104180, and its code, which has batch
    normalisation, padding and ReLU, and appends coordinates; its transposed convolutions of four points are half a cell
    beside the strided ones, and the first halving of its U-Net has no second convolution.
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
        unet_layers: int = 2,
        levels: int = 2,
        projection_width: int | None = None,
        axes: Sequence[Axis] | None = None,
        padding: float = PADDING,
    ) -> None:
        counts = {"layers": layers, "unet_layers": unet_layers, "levels": levels}
        super().__init__(in_channels, width, dimension=dimension, modes=modes, counts=counts, axes=axes)
        if unet_layers > layers:
            raise ValueError(f"unet_layers must be at most layers ({layers}); got {unet_layers}")
        self.convolutions, self.pointwise, self.unets = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for index in range(layers):
            has_unet = index >= layers - unet_layers
            # The branches share the variance evenly.
            share = 1 / ((3 if has_unet else 2) * (GELU_MEAN_SQUARE if index else 1))
            self.convolutions.append(
                SpectralConvolution(width, width, modes=self.modes, variance=share / width, axes=axes, padding=padding)
            )
            self.pointwise.append(pointwise(width, width, variance=share / width))
            if has_unet:
                self.unets.append(UNetBranch(width, periodic=self.periodic, levels=levels, variance=share))
        self.add_projection(width, out_channels, projection_width)

    def transform(self, values: Tensor) -> Tensor:
        """Apply the layers."""
        plain = len(self.convolutions) - len(self.unets)
        for index, (convolution, beside) in enumerate(zip(self.convolutions, self.pointwise, strict=True)):
            added = beside(values)
            if index >= plain:
                added = added + self.unets[index - plain](values)
            values = F.gelu(convolution(values, added))
        return values
