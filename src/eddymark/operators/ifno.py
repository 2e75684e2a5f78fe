"""Implicit Fourier neural operator in two and three dimensions."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from eddymark.operators.fno import FourierNeuralOperator


class ImplicitFourierNeuralOperator(FourierNeuralOperator):
    """Implicit Fourier neural operator: lift, v ← v + (1/L) σ(K v + W v + b) L times, projection.

    The L layers share one K, W and b: they are steps of 1/L of the equation dv/dt = σ(K v + W v + b), and more of them
    cost no parameters. K multiplies the modes |k_i| ≤ m_i by learned matrices (all 2^(d−1) corner blocks), W and b act
    at each point, σ is GELU; lift and projection act at each point, the projection through one hidden layer. The map
    commutes with translations along periodic axes.

    Arguments:
        layers: number of steps L.
        all others: as for `FourierNeuralOperator`.

    Raises:
        ValueError: as there.

    Source: You et al., Learning deep implicit Fourier neural operators, CMAME 398 (2022) 115296. The code of LESnets
    leaves σ out of the last step.
    """

    implicit = True

    def transform(self, values: Tensor) -> Tensor:
        """Take the steps."""
        (convolution,), (beside,) = self.convolutions, self.pointwise
        for _ in range(self.layers):
            values = values.add(F.gelu(convolution(values, beside(values))), alpha=1 / self.layers)
        return values
