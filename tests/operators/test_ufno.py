from __future__ import annotations

from typing import cast

import pytest
import torch.nn.functional as F

from eddymark.operators.spectral_convolution import SpectralConvolution
from eddymark.operators.ufno import UFourierNeuralOperator
from tests.operators.cases import build, random_field
from tests.operators.fourier_reference import assert_same_map, pointwise, projected, spectral, unet, with_biases


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
    assert_same_map(net, field, projected(net, values))
