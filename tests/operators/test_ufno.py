from __future__ import annotations

from typing import cast

import pytest
import torch
import torch.nn.functional as F

from eddymark.operators.spectral_convolution import SpectralConvolution
from eddymark.operators.ufno import UFourierNeuralOperator
from tests.operators.cases import build, random_field
from tests.operators.fourier_reference import pointwise, projected, spectral, unet, with_biases


@pytest.mark.parametrize("dimension", [2, 3])
def test_equals_its_equation_with_full_transforms(dimension: int) -> None:
    net = cast(UFourierNeuralOperator, with_biases(build("ufno", dimension)))
    assert (len(net.convolutions), len(net.unets)) == (3, 2)
    field = random_field("ufno", dimension).requires_grad_()
    values = pointwise(net.lift, field)
    for index, (convolution, beside) in enumerate(zip(net.convolutions, net.pointwise, strict=True)):
        new = spectral(cast(SpectralConvolution, convolution), values) + pointwise(beside, values)
        if index >= 1:
            new = new + unet(net.unets[index - 1], values)
        values = F.gelu(new)
    expected, output = projected(net, values), net(field)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    inputs = [field, *net.parameters()]
    gradients = [torch.autograd.grad(y.square().mean(), inputs, retain_graph=True) for y in (output, expected)]
    for gradient, other in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, other, rtol=0, atol=1e-12)
