"""Factorised implicit Fourier neural operator in two and three dimensions."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from eddymark.operators.ffno import FactorisedFourierNeuralOperator


class FactorisedImplicitFourierNeuralOperator(FactorisedFourierNeuralOperator):
    """F-IFNO: lift, v ← v + (1/L) σ(W₂ σ(W₁ Σ_d K_d v + b₁) + b₂) L times, projection.

    The layer of the factorised operator in the iteration of the implicit one; all L steps share it. K_d multiplies the
    modes 0 … m_d of the transform along axis d alone by learned matrices; W₁, W₂ and the biases act at each point, σ
    is GELU; lift and projection act at each point, the projection through one hidden layer. The map commutes with
    translations along periodic axes.

    Arguments:
        layers: number of steps L.
        hidden_width: channels between W₁ and W₂; default four times the width, as published.
        all others: as for `FactorisedFourierNeuralOperator`.

    Raises:
        ValueError: as there.

    Source: Zou et al., Uncertainty quantification and stability of neural operators for prediction of
    three-dimensional turbulence, JCP 549 (2026) 114640 (arXiv:2506.04898). A public program built on its code has tanh
    in place of the outer σ and after the lift, a linear projection and a decoder trained to return the input.
    """

    implicit = True
    hidden_ratio = 4

    def transform(self, values: Tensor) -> Tensor:
        """Take the steps."""
        (convolution,), (mix_in,), (mix_out,) = self.convolutions, self.mix_in, self.mix_out
        for _ in range(self.layers):
            mixed = mix_out(F.gelu(mix_in(convolution(values))))
            values = values.add(F.gelu(mixed), alpha=1 / self.layers)
        return values
