"""Fourier neural operator in two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.operators.axes import Axis
from eddymark.operators.lifted import LiftedOperator
from eddymark.operators.pointwise import GELU_MEAN_SQUARE, pointwise
from eddymark.operators.spectral_convolution import PADDING, SpectralConvolution


class FourierNeuralOperator(LiftedOperator):
    """Fourier neural operator: lift, L layers v ← σ(K v + W v + b), projection.

    K multiplies the modes |k_i| ≤ m_i by learned matrices (all 2^(d−1) corner blocks), W and b act at each
    point, σ is GELU and absent in the last layer; lift and projection act at each point, the projection
    through one hidden layer. Coefficients are amplitudes (`norm="forward"`), hence the same weights describe
    the same operator on every grid which resolves the modes. The map commutes with translations along periodic axes. On
    an axis with walls every K continues the field by zeros; the published code pads once and carries what its layers
    make of the padding along.

    Arguments:
        in_channels, out_channels: numbers of channels.
        dimension: number of grid axes, 2 or 3.
        width: channels inside the network.
        modes: highest kept Fourier mode m per sign, one for all axes or one per axis; an axis keeps −m … m.
        layers: number of layers L.
        projection_width: channels of the projection's hidden layer; default twice the width.
        axes: the box; None: uniform periodic axes.
        padding: zeros which follow the field on an axis with walls, as a fraction of the box.

    Raises:
        ValueError: if an argument is out of range, or the input's grid does not resolve the modes (points > 2
        m).

    Source: Li et al., Fourier Neural Operator for Parametric Partial Differential Equations, ICLR 2021,
    definitions 1 and 3.
    """

    implicit: ClassVar[bool] = False
    """Whether all layers share their weights."""

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
        axes: Sequence[Axis] | None = None,
        padding: float = PADDING,
    ) -> None:
        super().__init__(in_channels, width, dimension=dimension, modes=modes, counts={"layers": layers}, axes=axes)
        self.layers = layers
        # The two branches of a layer share the variance evenly.
        variances = [0.5 / width] + [0.5 / (width * GELU_MEAN_SQUARE)] * (layers - 1)
        if self.implicit:
            variances = variances[:1]
        self.convolutions = nn.ModuleList(
            SpectralConvolution(width, width, modes=self.modes, variance=variance, axes=axes, padding=padding)
            for variance in variances
        )
        self.pointwise = nn.ModuleList(pointwise(width, width, variance=variance) for variance in variances)
        self.add_projection(width, out_channels, projection_width)

    def transform(self, values: Tensor) -> Tensor:
        """Apply the Fourier layers."""
        last = len(self.convolutions) - 1
        for index, (convolution, beside) in enumerate(zip(self.convolutions, self.pointwise, strict=True)):
            values = convolution(values, beside(values))
            if index < last:
                values = F.gelu(values)
        return values
