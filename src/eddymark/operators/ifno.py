"""Implicit Fourier neural operator in two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from eddymark.operators.axes import Axis
from eddymark.operators.lifted import LiftedOperator
from eddymark.operators.pointwise import pointwise
from eddymark.operators.spectral_convolution import PADDING, SpectralConvolution


class ImplicitFourierNeuralOperator(LiftedOperator):
    """Implicit Fourier neural operator: lift, v ← v + (1/L) σ(K v + W v + b) L times, projection.

    The L layers share one K, W and b: they are steps of 1/L of the equation dv/dt = σ(K v + W v + b), and more of them
    cost no parameters. K multiplies the modes |k_i| ≤ m_i by learned matrices (all 2^(d−1) corner blocks), W and b act
    at each point, σ is GELU; lift and projection act at each point, the projection through one hidden layer. The map
    commutes with translations along periodic axes.

    Arguments:
        in_channels, out_channels: numbers of channels.
        dimension: number of grid axes, 2 or 3.
        width: channels inside the network.
        modes: highest kept Fourier mode m per sign, one for all axes or one per axis; an axis
            keeps −m … m.
        layers: number of steps L.
        projection_width: channels of the projection's hidden layer; default twice the width.
        axes: the box; None: uniform periodic axes.
        padding: zeros which follow the field on an axis with walls, as a fraction of the box.

    Raises:
        ValueError: if an argument is out of range, or the input's grid does not resolve the modes (points > 2 m).

    Source: You et al., Learning deep implicit Fourier neural operators, CMAME 398 (2022) 115296, eq. 14. The code of
    LESnets leaves σ out of the last step.
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
        axes: Sequence[Axis] | None = None,
        padding: float = PADDING,
    ) -> None:
        super().__init__(in_channels, width, dimension=dimension, modes=modes, counts={"layers": layers}, axes=axes)
        self.layers = layers
        # The two branches share the variance evenly.
        self.convolution = SpectralConvolution(
            width, width, modes=self.modes, variance=0.5 / width, axes=axes, padding=padding
        )
        self.pointwise = pointwise(width, width, variance=0.5 / width)
        self.add_projection(width, out_channels, projection_width)

    def transform(self, values: Tensor) -> Tensor:
        """Take the steps."""
        for _ in range(self.layers):
            values = values.add(F.gelu(self.convolution(values, self.pointwise(values))), alpha=1 / self.layers)
        return values
