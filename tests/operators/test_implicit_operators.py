"""IFNO, IU-FNO and F-IFNO: one layer, taken L times in steps of 1/L."""

from __future__ import annotations

from typing import cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.operators.build import build_operator
from eddymark.operators.factorised_convolution import FactorisedConvolution
from eddymark.operators.fifno import FactorisedImplicitFourierNeuralOperator
from eddymark.operators.ifno import ImplicitFourierNeuralOperator
from eddymark.operators.iufno import ImplicitUFourierNeuralOperator
from eddymark.operators.spectral_convolution import SpectralConvolution
from tests.operators.cases import build, random_field
from tests.operators.fourier_reference import (
    assert_same_map,
    factorised,
    pointwise,
    projected,
    spectral,
    unet,
    with_biases,
)

NAMES = ["ifno", "iufno", "fifno"]


def step(net: nn.Module, values: Tensor) -> Tensor:
    """Return the right-hand side of dv/dt, with full transforms."""
    if isinstance(net, FactorisedImplicitFourierNeuralOperator):
        inner = factorised(cast(FactorisedConvolution, net.convolutions[0]), values)
        return F.gelu(pointwise(net.mix_out[0], F.gelu(pointwise(net.mix_in[0], inner))))
    if isinstance(net, ImplicitUFourierNeuralOperator):
        convolved = spectral(net.convolution, values)
        return F.gelu(convolved + pointwise(net.pointwise, values) + unet(net.unet, values - convolved))
    assert isinstance(net, ImplicitFourierNeuralOperator)
    convolved = spectral(cast(SpectralConvolution, net.convolutions[0]), values)
    return F.gelu(convolved + pointwise(net.pointwise[0], values))


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_equals_its_equation_with_full_transforms(name: str, dimension: int) -> None:
    net = cast(ImplicitFourierNeuralOperator, with_biases(build(name, dimension)))
    field = random_field(name, dimension).requires_grad_()
    values = pointwise(net.lift, field)
    for _ in range(net.layers):
        values = values + step(net, values) / net.layers
    assert_same_map(net, field, projected(net, values))


@pytest.mark.parametrize("name", NAMES)
def test_more_steps_share_the_parameters_and_approach_an_equation_of_evolution(name: str) -> None:
    field = random_field(name, 2)

    def deep(layers: int) -> nn.Module:
        torch.manual_seed(0)
        arguments = {"width": 5, "modes": 3, "layers": layers}
        return build_operator(name, arguments, in_channels=3, out_channels=2, dimension=2).double()

    state = deep(1).state_dict()
    with torch.no_grad():
        outputs = []
        for layers in (16, 32, 64):
            net = deep(layers)
            net.load_state_dict(state)
            outputs.append(net(field))
    # Euler's rule is of first order.
    assert float((outputs[2] - outputs[1]).norm() / (outputs[1] - outputs[0]).norm()) == pytest.approx(0.5, abs=0.05)


def test_iufno_without_its_u_net_is_ifno() -> None:
    net, plain = build("iufno", 3), build("ifno", 3)
    with torch.no_grad():
        cast(ImplicitUFourierNeuralOperator, net).unet.last.weight.zero_()
    state = {name: value for name, value in net.state_dict().items() if not name.startswith("unet")}
    plain.load_state_dict(dict(zip(plain.state_dict(), state.values(), strict=True)))
    field = random_field("ifno", 3)
    torch.testing.assert_close(net(field), plain(field), rtol=0, atol=1e-13)


def test_u_net_of_iufno_sees_all_axes_of_the_grid() -> None:
    # Published code flattens the grid, so that neighbours along two axes are far apart.
    net = cast(ImplicitUFourierNeuralOperator, build("iufno", 3))
    with torch.no_grad():
        net.convolution.weight.zero_()
        net.layers = 1
        field = random_field("iufno", 3, batch=1)
        touched = field.clone()
        touched[0, :, 0, 0, 0] += 1
        changed = (net(touched) - net(field))[0].abs().amax(0) > 1e-12
    assert bool(changed[1, 0, 0])
    assert bool(changed[0, -1, 0])
    assert bool(changed[0, 0, 1])


def test_fifno_has_the_published_ratio_of_widths() -> None:
    net = FactorisedImplicitFourierNeuralOperator(3, 3, dimension=3, width=6, modes=2)
    assert cast(nn.Linear, net.mix_in[0]).out_features == 24
