"""Factorised Fourier neural operator in two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.operators.axes import Axis
from eddymark.operators.factorised_convolution import FactorisedConvolution
from eddymark.operators.lifted import LiftedOperator
from eddymark.operators.pointwise import GELU_MEAN_SQUARE, pointwise
from eddymark.operators.spectral_convolution import PADDING


class FactorisedFourierNeuralOperator(LiftedOperator):
    """Factorised Fourier neural operator: lift, L layers v ← v + W₂ σ(W₁ Σ_d K_d v + b₁) + b₂, projection.

    K_d multiplies the modes 0 … m_d of the transform along axis d alone by learned matrices; W₁, W₂ and the biases act
    at each point, σ is GELU; lift and projection act at each point, the projection through one hidden layer. Weights
    grow with the modes, not with their power d, so that many layers are affordable. The map commutes with translations
    along periodic axes.

    Arguments:
        in_channels, out_channels: numbers of channels.
        dimension: number of grid axes, 2 or 3.
        width: channels inside the network.
        modes: highest kept Fourier mode m per sign, one for all axes or one per axis.
        layers: number of layers L.
        hidden_width: channels between W₁ and W₂; default twice the width.
        projection_width: channels of the projection's hidden layer; default twice the width.
        axes: the box; None: uniform periodic axes.
        padding: zeros which follow the field on an axis with walls, as a fraction of the box.

    Raises:
        ValueError: if an argument is out of range, or the input's grid does not resolve the modes (points > 2 m).

    Source: Tran et al., Factorized Fourier Neural Operators, ICLR 2023, eq. 7. Their code has ReLU and weight
    normalisation, appends coordinates with both end points to periodic fields, and projects the last layer's increment
    instead of the sum; their equation, not their code, has a second σ after W₂.
    """

    implicit: ClassVar[bool] = False
    """Whether all layers share their weights."""
    hidden_ratio: ClassVar[int] = 2
    """Hidden channels over those outside, unless given."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimension: int,
        width: int,
        modes: int | Sequence[int],
        layers: int = 4,
        hidden_width: int | None = None,
        projection_width: int | None = None,
        axes: Sequence[Axis] | None = None,
        padding: float = PADDING,
    ) -> None:
        hidden = self.hidden_ratio * width if hidden_width is None else hidden_width
        counts = {"layers": layers, "hidden_width": hidden}
        super().__init__(in_channels, width, dimension=dimension, modes=modes, counts=counts, axes=axes)
        self.layers = layers
        blocks = 1 if self.implicit else layers
        self.convolutions = nn.ModuleList(
            FactorisedConvolution(width, modes=self.modes, variance=1 / (dimension * width), axes=axes, padding=padding)
            for _ in range(blocks)
        )
        self.mix_in = nn.ModuleList(pointwise(width, hidden, variance=1 / width) for _ in range(blocks))
        # All layers together add about as much as they are given.
        last = 1 / (blocks * hidden * GELU_MEAN_SQUARE)
        self.mix_out = nn.ModuleList(pointwise(hidden, width, variance=last) for _ in range(blocks))
        self.add_projection(width, out_channels, projection_width)

    def transform(self, values: Tensor) -> Tensor:
        """Apply the layers."""
        for convolution, mix_in, mix_out in zip(self.convolutions, self.mix_in, self.mix_out, strict=True):
            values = values + mix_out(F.gelu(mix_in(convolution(values))))
        return values
