"""Factorised implicit Fourier neural operator in two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from eddymark.operators.axes import Axis
from eddymark.operators.factorised_convolution import FactorisedConvolution
from eddymark.operators.lifted import LiftedOperator
from eddymark.operators.pointwise import GELU_MEAN_SQUARE, pointwise
from eddymark.operators.spectral_convolution import PADDING


class FactorisedImplicitFourierNeuralOperator(LiftedOperator):
    """F-IFNO: lift, v ← v + (1/L) σ(W₂ σ(W₁ Σ_d K_d v + b₁) + b₂) L times, projection.

    The layer of the factorised operator in the iteration of the implicit one; all L steps share it. K_d multiplies the
    modes 0 … m_d of the transform along axis d alone by learned matrices; W₁, W₂ and the biases act at each point, σ
    is GELU; lift and projection act at each point, the projection through one hidden layer. The map commutes with
    translations along periodic axes.

    Arguments:
        in_channels, out_channels: numbers of channels.
        dimension: number of grid axes, 2 or 3.
        width: channels inside the network.
        modes: highest kept Fourier mode m per sign, one for all axes or one per axis.
        layers: number of steps L.
        hidden_width: channels between W₁ and W₂; default four times the width, as published.
        projection_width: channels of the projection's hidden layer; default twice the width.
        axes: the box; None: uniform periodic axes.
        padding: zeros which follow the field on an axis with walls, as a fraction of the box.

    Raises:
        ValueError: if an argument is out of range, or the input's grid does not resolve the modes (points > 2 m).

    Source: Zou et al., Uncertainty quantification and stability of neural operators for prediction of
    three-dimensional turbulence, JCP 549 (2026) 114640 (arXiv:2506.04898). A public program built on its code has tanh
    in place of the outer σ and after the lift, a linear projection and a decoder trained to return the input.
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
        hidden_width: int | None = None,
        projection_width: int | None = None,
        axes: Sequence[Axis] | None = None,
        padding: float = PADDING,
    ) -> None:
        hidden = 4 * width if hidden_width is None else hidden_width
        counts = {"layers": layers, "hidden_width": hidden}
        super().__init__(in_channels, width, dimension=dimension, modes=modes, counts=counts, axes=axes)
        self.layers = layers
        self.convolution = FactorisedConvolution(
            width, modes=self.modes, variance=1 / (dimension * width), axes=axes, padding=padding
        )
        self.mix_in = pointwise(width, hidden, variance=1 / width)
        self.mix_out = pointwise(hidden, width, variance=1 / (hidden * GELU_MEAN_SQUARE))
        self.add_projection(width, out_channels, projection_width)

    def transform(self, values: Tensor) -> Tensor:
        """Take the steps."""
        for _ in range(self.layers):
            mixed = self.mix_out(F.gelu(self.mix_in(self.convolution(values))))
            values = values.add(F.gelu(mixed), alpha=1 / self.layers)
        return values
