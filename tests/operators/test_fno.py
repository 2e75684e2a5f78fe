from __future__ import annotations

import itertools
import math
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.fno import kept_modes, same_in_neuraloperator
from eddymark.operators.fno import FourierNeuralOperator
from eddymark.operators.spectral_convolution import SpectralConvolution
from tests.operators.fourier_reference import pointwise, projected, spectral

CASES = [
    pytest.param((16, 12), (3, 5), id="2-D"),
    pytest.param((12, 8, 10), (2, 3, 4), id="3-D"),
]


def network(modes: tuple[int, ...], *, layers: int = 3, seed: int = 0) -> FourierNeuralOperator:
    torch.manual_seed(seed)
    net = FourierNeuralOperator(3, 2, dimension=len(modes), width=5, modes=modes, layers=layers).double()
    with torch.no_grad():
        net.project_out.weight.mul_(10)
    for layer in [net.lift, *net.pointwise, net.project_in, net.project_out]:
        nn.init.normal_(layer.bias)
    return net


def reference(net: FourierNeuralOperator, field: Tensor) -> Tensor:
    """The network written with full transforms, one mode at a time."""
    values = pointwise(net.lift, field)
    for index, (convolution, beside) in enumerate(zip(net.convolutions, net.pointwise, strict=True)):
        values = spectral(cast(SpectralConvolution, convolution), values) + pointwise(beside, values)
        if index < len(net.convolutions) - 1:
            values = F.gelu(values)
    return projected(net, values)


def band_limited(points: tuple[int, ...], highest: int, *, channels: int = 3) -> Tensor:
    """Return the same field with modes up to `highest` on any grid."""
    torch.manual_seed(11)
    mesh = torch.meshgrid(*[2 * math.pi * torch.arange(n).double() / n for n in points], indexing="ij")
    field = torch.zeros(1, channels, *points, dtype=torch.float64)
    for k in itertools.product(range(-highest, highest + 1), repeat=len(points)):
        phase = sum(number * x for number, x in zip(k, mesh, strict=True))
        amplitude, offset = torch.randn(2, channels, dtype=torch.float64)
        shape = (channels, *[1] * len(points))
        field[0] += amplitude.view(shape) * torch.cos(phase + offset.view(shape)) / (2 * highest + 1) ** 1.5
    return field


@pytest.mark.parametrize(("points", "modes"), CASES)
def test_equals_full_transforms_mode_by_mode(points: tuple[int, ...], modes: tuple[int, ...]) -> None:
    net = network(modes)
    field = torch.randn(2, 3, *points, dtype=torch.float64)
    expected = reference(net, field)
    assert expected.std() > 0.1
    torch.testing.assert_close(net(field), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("points", "modes"), CASES)
def test_gradients_equal_those_of_full_transforms(points: tuple[int, ...], modes: tuple[int, ...]) -> None:
    net = network(modes, layers=2)
    field = torch.randn(2, 3, *points, dtype=torch.float64, requires_grad=True)
    inputs = [field, *net.parameters()]
    for gradient, expected in zip(
        torch.autograd.grad(net(field).square().mean(), inputs),
        torch.autograd.grad(reference(net, field).square().mean(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("points", "modes"), CASES)
def test_commutes_with_translations(points: tuple[int, ...], modes: tuple[int, ...]) -> None:
    net = network(modes)
    field = torch.randn(2, 3, *points, dtype=torch.float64)
    axes = tuple(range(2, field.dim()))
    shifts = tuple(range(1, len(axes) + 1))
    torch.testing.assert_close(net(field.roll(shifts, axes)), net(field).roll(shifts, axes), rtol=0, atol=1e-13)


def test_convolution_is_the_same_on_every_grid() -> None:
    torch.manual_seed(0)
    convolution = SpectralConvolution(3, 3, modes=(3, 3), variance=1.0).double()

    def apply(points: int) -> Tensor:
        values = band_limited((points, points), 5).permute(3, 2, 0, 1).contiguous()
        return convolution(values, torch.zeros_like(values)).permute(2, 3, 1, 0)

    torch.testing.assert_close(apply(32)[..., ::2, ::2], apply(16), rtol=0, atol=1e-13)


def test_network_converges_with_resolution() -> None:
    # GELU makes harmonics without end, which alias on every grid; they fall off quickly for a smooth input.
    net = network((3, 3)).requires_grad_(False)
    reference_values = net(band_limited((128, 128), 2))[..., ::16, ::16]

    def error(points: int) -> float:
        values = net(band_limited((points, points), 2))[..., :: points // 8, :: points // 8]
        return float((values - reference_values).norm() / reference_values.norm())

    errors = [error(points) for points in (8, 16, 32)]
    assert errors[1] < 0.1 * errors[0]
    assert errors[2] < 0.1 * errors[1]
    assert errors[2] < 1e-3


@pytest.mark.parametrize(("points", "modes"), CASES)
def test_every_parameter_gets_a_gradient(points: tuple[int, ...], modes: tuple[int, ...]) -> None:
    net = network(modes)
    net(torch.randn(2, 3, *points, dtype=torch.float64)).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None
        zero = parameter.grad == 0
        if name.startswith("convolutions"):
            # The mean of a real field is real: the imaginary part of its weight has no effect.
            assert bool(zero[0, :, :, 1].all())
            zero[0, :, :, 1] = False
        assert not bool(zero.any()), name


@pytest.mark.parametrize("signs", list(itertools.product([1, -1], repeat=2)))
def test_each_corner_block_acts_on_its_own_modes(signs: tuple[int, int]) -> None:
    convolution = SpectralConvolution(1, 1, modes=(2, 2, 2), variance=1.0).double()
    mine = (2 * signs[0], signs[1], 2)
    nn.init.zeros_(convolution.weight)
    convolution.weight.data[kept_modes((2, 2, 2)).index(mine), 0, 0, 0] = 3.0
    x, y, z = torch.meshgrid(*[2 * math.pi * torch.arange(8).double() / 8] * 3, indexing="ij")
    for other in itertools.product([1, -1], repeat=2):
        wave = torch.cos(2 * other[0] * x + other[1] * y + 2 * z)
        values = wave.permute(2, 1, 0)[..., None, None]
        result = convolution(values, torch.zeros_like(values))
        torch.testing.assert_close(result, 3.0 * values if other == signs else 0 * values)


def test_imaginary_weight_turns_the_phase() -> None:
    convolution = SpectralConvolution(1, 1, modes=(2, 2), variance=1.0).double()
    nn.init.zeros_(convolution.weight)
    convolution.weight.data[kept_modes((2, 2)).index((1, 2)), 0, 0, 1] = 1.0
    x, y = torch.meshgrid(*[2 * math.pi * torch.arange(8).double() / 8] * 2, indexing="ij")
    result = convolution(torch.cos(x + 2 * y).T[..., None, None], torch.zeros(8, 8, 1, 1).double())
    torch.testing.assert_close(result[..., 0, 0].T, -torch.sin(x + 2 * y))


def test_equals_the_convolution_of_neuraloperator() -> None:
    layers = pytest.importorskip("neuralop.layers.spectral_convolution")
    modes, points = (2, 3, 2), (8, 10, 6)
    torch.manual_seed(0)
    mine = SpectralConvolution(3, 4, modes=modes, variance=1.0)
    theirs = layers.SpectralConv(3, 4, n_modes=tuple(2 * m + 1 for m in modes), bias=False)
    # Theirs is (in, out, x, y, z) with the full axes in ascending order −m … m.
    weight = torch.view_as_complex(mine.weight.detach())
    with torch.no_grad():
        for number, k in enumerate(kept_modes(modes)):
            at = (k[0] + modes[0], k[1] + modes[1], k[2])
            theirs.weight.tensor[(slice(None), slice(None), *at)] = weight[number]
    field = torch.randn(2, 3, *points)
    beside = torch.zeros(*reversed(points), 2, 4)
    result = mine(field.permute(4, 3, 2, 0, 1).contiguous(), beside).permute(3, 4, 2, 1, 0)
    torch.testing.assert_close(result, theirs(field), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("points", "modes"), CASES)
def test_equals_the_network_of_neuraloperator(points: tuple[int, ...], modes: tuple[int, ...]) -> None:
    pytest.importorskip("neuralop")
    torch.manual_seed(0)
    mine = FourierNeuralOperator(3, 2, dimension=len(modes), width=6, modes=modes, layers=3)
    theirs = same_in_neuraloperator(mine, 3, 2)
    assert sum(p.numel() * (2 if p.is_complex() else 1) for p in theirs.parameters()) == sum(
        p.numel() for p in mine.parameters()
    )
    inputs = [torch.randn(2, 3, *points, requires_grad=True) for _ in range(2)]
    inputs[1].data.copy_(inputs[0].data)
    outputs = mine(inputs[0]), theirs(inputs[1])
    scale = float(outputs[0].detach().square().mean().sqrt())
    torch.testing.assert_close(outputs[0] / scale, outputs[1] / scale, rtol=0, atol=1e-5)
    for output in outputs:
        (output / scale).square().sum().backward()
    pairs = [(inputs[0].grad, inputs[1].grad)]
    for index, beside in enumerate(mine.pointwise):
        skip, convolution = theirs.fno_blocks.fno_skips[index], theirs.fno_blocks.convs[index]
        pairs.append((cast(nn.Linear, beside).weight.grad, skip.conv.weight.grad[..., 0]))
        weight = cast(SpectralConvolution, mine.convolutions[index]).weight.grad
        gradient = torch.view_as_real(convolution.weight.tensor.grad)
        at = [(*(m + i for m, i in zip(modes[:-1], k[:-1], strict=True)), k[-1]) for k in kept_modes(modes)]
        pairs.append((weight, torch.stack([gradient[(slice(None), slice(None), *k)] for k in at])))
    for own, other in pairs:
        assert own is not None
        assert other is not None
        torch.testing.assert_close(own / own.abs().max(), other / own.abs().max(), rtol=0, atol=1e-5)


def test_inference_is_deterministic_and_leaves_training_possible() -> None:
    torch.manual_seed(0)
    net = FourierNeuralOperator(2, 2, dimension=2, width=4, modes=6, layers=2)
    field = torch.randn(2, 2, 14, 14)
    with torch.inference_mode():
        first, second = net(field), net(field)
    assert torch.equal(first, second)
    net(field).sum().backward()
    assert net.convolutions[0].weight.grad is not None


@pytest.mark.parametrize("dimension", [2, 3])
def test_variance_is_kept_at_the_start_up_to_the_small_output(dimension: int) -> None:
    torch.manual_seed(0)
    modes = 5
    net = FourierNeuralOperator(3, 64, dimension=dimension, width=24, modes=modes, layers=4)
    points = (2 * modes + 2,) * dimension
    with torch.no_grad():
        rms = float(net(torch.randn(4, 3, *points)).square().mean().sqrt())
    assert 0.05 < rms < 0.15


def test_output_has_not_changed() -> None:
    # Weights and input from formulas, so that the numbers do not depend on a random generator.
    net = FourierNeuralOperator(1, 1, dimension=2, width=3, modes=2, layers=2).double()
    with torch.no_grad():
        for number, parameter in enumerate(net.parameters()):
            index = torch.arange(parameter.numel(), dtype=torch.float64).view_as(parameter)
            parameter.copy_(torch.sin(1.3 * index + number))
        x = torch.arange(6, dtype=torch.float64)
        result = net((torch.sin(x)[:, None] + torch.cos(2 * x)[None, :])[None, None])
    stored = [-1.4627678284, -2.4680921834, -2.2854885651, -2.3145294977, -2.8591438026, -0.1251720558]
    assert result[0, 0].diagonal().tolist() == pytest.approx(stored, abs=1e-9)
