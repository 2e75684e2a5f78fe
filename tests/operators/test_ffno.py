from __future__ import annotations

from typing import cast

import pytest
import torch
import torch.nn.functional as F

from eddymark.operators.factorised_convolution import FactorisedConvolution
from eddymark.operators.ffno import FactorisedFourierNeuralOperator
from tests.operators.cases import build, random_field
from tests.operators.fourier_reference import assert_same_map, factorised, pointwise, projected, with_biases


@pytest.mark.parametrize("dimension", [2, 3])
def test_equals_its_equation_with_full_transforms(dimension: int) -> None:
    net = cast(FactorisedFourierNeuralOperator, with_biases(build("ffno", dimension)))
    field = random_field("ffno", dimension).requires_grad_()
    values = pointwise(net.lift, field)
    for convolution, mix_in, mix_out in zip(net.convolutions, net.mix_in, net.mix_out, strict=True):
        inner = factorised(cast(FactorisedConvolution, convolution), values)
        values = values + pointwise(mix_out, F.gelu(pointwise(mix_in, inner)))
    assert_same_map(net, field, projected(net, values))


def test_convolution_along_one_axis_leaves_the_others_alone() -> None:
    convolution = FactorisedConvolution(2, modes=(2, 3, 1), variance=1.0).double()
    with torch.no_grad():
        convolution.weights[0].zero_()
        convolution.weights[2].zero_()
    values = torch.zeros(4, 8, 6, 1, 2, dtype=torch.float64)
    values[1, :, 2] = torch.randn(8, 1, 2)
    result = convolution(values).detach()
    assert float(result[1, :, 2].abs().max()) > 0.1
    result[1, :, 2] = 0
    assert float(result.abs().max()) == 0


def test_number_of_parameters_grows_with_the_modes_and_not_with_their_power() -> None:
    net = FactorisedFourierNeuralOperator(3, 3, dimension=3, width=4, modes=(5, 6, 7), layers=2, hidden_width=6)
    spectral = 2 * 4 * 4 * (6 + 7 + 8)
    mixing = 4 * 6 + 6 + 6 * 4 + 4
    assert sum(p.numel() for p in net.parameters()) == 3 * 4 + 4 + 2 * (spectral + mixing) + 4 * 8 + 8 + 8 * 3 + 3
