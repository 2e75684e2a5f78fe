from __future__ import annotations

import math
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.fno import kept_modes
from eddymark.operators.sfno import SpatiotemporalFourierNeuralOperator, TimeWindow
from eddymark.operators.spectral_convolution import SpectralConvolution
from tests.operators.fourier_reference import assert_same_map, with_biases
from tests.operators.test_fno import band_limited

PADDING = 0.25
GRIDS = [pytest.param((8, 10), id="2-D"), pytest.param((6, 6, 8), id="3-D")]


def network(*, times: tuple[int, int], dimension: int = 2, static: int = 1, **changes: Any) -> nn.Module:
    """Return an operator of states with two components in double precision, with an output of the order of one."""
    torch.manual_seed(0)
    sizes = {"in_channels": times[0] * 2 + static, "out_channels": times[1] * 2, "dimension": dimension}
    arguments: dict[str, Any] = {"width": 4, "modes": 2, "time_modes": 2, "latent_frames": 5, "layers": 2} | changes
    net = SpatiotemporalFourierNeuralOperator(**sizes, input_times=times[0], output_times=times[1], **arguments)
    with torch.no_grad():
        net.last.weight.mul_(10)
    return with_biases(net.double())


def convolved(convolution: nn.Module, values: Tensor, times: int) -> Tensor:
    """Return K v of `(batch, channel, t, *grid)` written with sums over frames and full transforms in space."""
    spectral = cast(SpectralConvolution, convolution)
    *modes, time_modes = spectral.modes
    weight = torch.view_as_complex(spectral.weight)
    weight = weight.view(time_modes + 1, -1, *weight.shape[1:])
    axes = tuple(range(3, values.dim()))
    spectrum = torch.fft.fftn(values.to(torch.complex128), dim=axes, norm="forward")
    frames, period = values.shape[2], 1 + PADDING
    given = torch.arange(1, frames + 1).double() / frames
    wanted = torch.arange(1, times + 1).double() / times
    # Every axis of space is a full one here, its modes in the order 0 … m, −m … −1, the last axis slowest.
    order = [[*range(m + 1), *range(-m, 0)] for m in modes]
    result = torch.zeros(len(values), weight.shape[-1], times, *values.shape[3:], dtype=torch.complex128)
    for omega in range(time_modes + 1):
        forward = torch.exp(-2j * math.pi * omega * given / period) / (frames * period)
        inverse = torch.exp(2j * math.pi * omega * wanted / period) * (2 if omega else 1)
        coefficients = torch.einsum("bct...,t->bc...", spectrum, forward)
        product = torch.zeros(len(values), weight.shape[-1], *values.shape[3:], dtype=torch.complex128)
        for number, k in enumerate(_product(order)):
            at = (slice(None), slice(None), *k)
            product[at] = torch.einsum("bi,io->bo", coefficients[at], weight[omega, number])
        in_space = torch.fft.ifftn(product, dim=tuple(range(2, product.dim())), norm="forward")
        result += torch.einsum("bc...,t->bct...", in_space, inverse)
    return result.real


def _product(order: list[list[int]]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = [()]
    for axis in reversed(order):
        found = [(k, *others) for others in found for k in axis]
    return found


def reference(net: nn.Module, field: Tensor) -> Tensor:
    """Return the operator's equation written out."""
    operator = cast(SpatiotemporalFourierNeuralOperator, net)
    states, static = field[:, : 2 * operator.input_times], field[:, 2 * operator.input_times :]
    frames = [torch.cat([frame, static], dim=1) for frame in states.split(2, dim=1)]
    values = torch.stack([_pointwise(operator.lift, frame) for frame in frames], dim=2)
    for index, (convolution, beside) in enumerate(zip(operator.convolutions, operator.pointwise, strict=True)):
        direct = _pointwise(beside, values[:, :, -1:] if index == 0 else values)
        values = F.gelu(convolved(convolution, values, operator.latent_frames) + direct)
    output = convolved(operator.last, values, operator.output_times)
    if operator.add_last_state:
        output = output + states[:, -2:].unsqueeze(2)
    return output.transpose(1, 2).flatten(1, 2)


def _pointwise(layer: nn.Module, values: Tensor) -> Tensor:
    linear = cast(nn.Linear, layer)
    return torch.einsum("oi,bi...->bo...", linear.weight, values) + linear.bias.view(-1, *[1] * (values.dim() - 2))


@pytest.mark.parametrize("add_last_state", [False, True])
@pytest.mark.parametrize("points", GRIDS)
def test_equals_sums_over_frames_and_modes(points: tuple[int, ...], add_last_state: bool) -> None:
    net = network(times=(3, 2), dimension=len(points), add_last_state=add_last_state)
    field = torch.randn(2, 7, *points, dtype=torch.float64, requires_grad=True)
    expected = reference(net, field)
    assert expected.detach().std() > 0.1
    assert_same_map(net, field, expected)


def test_kept_modes_are_in_the_order_of_the_reference() -> None:
    # The last axis of a field is a half one for the FNO; time is that here.
    assert _product([[0, 1, -1], [0, 1, -1]])[:4] == [(0, 0), (1, 0), (-1, 0), (0, 1)]
    assert len(_product([[0, 1, -1]] * 2)) == 9 > len(list(kept_modes((1, 1))))


def smooth_history(count: int) -> Tensor:
    """Return frames of a field that changes smoothly over a window of length 1, at the ends of its parts."""
    one, other = band_limited((8, 8), 2, channels=4).split(2, dim=1)
    times = [(number + 1) / count for number in range(count)]
    return torch.cat([math.cos(2 * t) * one + math.sin(3 * t) * other for t in times], dim=1)


def with_weights_of(net: nn.Module, **sizes: Any) -> nn.Module:
    other = network(static=0, **sizes)
    other.load_state_dict(net.state_dict())
    return other


def test_the_same_weights_take_any_number_of_input_frames_and_converge() -> None:
    net = network(times=(1, 2), static=0)

    def output(count: int) -> Tensor:
        return with_weights_of(net, times=(count, 2))(smooth_history(count)).detach()

    finest = output(64)
    errors = [float((output(count) - finest).norm() / finest.norm()) for count in (4, 8, 16)]
    # Sums over the ends of parts are of first order.
    assert errors[0] < 0.5
    assert errors[1] < 0.6 * errors[0]
    assert errors[2] < 0.6 * errors[1]


def test_a_steady_past_is_the_same_in_one_frame_and_in_many() -> None:
    frame = band_limited((8, 8), 2, channels=2)
    net = network(times=(1, 2), static=0)
    # Of a steady past, the mode of frequency 0 is the same in any number of frames; others are sums of a few phases.
    with torch.no_grad():
        weight = cast(nn.ModuleList, net.convolutions)[0].weight
        weight.view(3, -1, *weight.shape[1:])[1:] = 0
    many = with_weights_of(net, times=(5, 2))(frame.repeat(1, 5, 1, 1))
    torch.testing.assert_close(many, net(frame), rtol=0, atol=1e-13)


def test_the_same_weights_give_any_number_of_output_frames_of_one_function_of_time() -> None:
    net = network(times=(2, 2), static=0)
    past = smooth_history(2)
    few = net(past).unflatten(1, (2, 2))
    for count in (1, 4, 6):
        many = with_weights_of(net, times=(2, count))(past).unflatten(1, (count, 2))
        torch.testing.assert_close(many[:, -1], few[:, -1], rtol=0, atol=1e-13)
        if count > 1:
            torch.testing.assert_close(many[:, count // 2 - 1], few[:, 0], rtol=0, atol=1e-13)
            assert float((many[:, 0] - many[:, 1]).detach().abs().max()) > 1e-3


def test_every_frame_of_the_past_matters() -> None:
    field = torch.randn(1, 7, 8, 10, dtype=torch.float64, requires_grad=True)
    network(times=(3, 2))(field).square().mean().backward()
    assert field.grad is not None
    assert bool((field.grad.abs().amax(dim=(0, 2, 3)) > 1e-4).all())


def test_the_last_layer_is_linear() -> None:
    net = network(times=(2, 3))
    field = torch.randn(1, 5, 8, 10, dtype=torch.float64)
    with torch.no_grad():
        before = net(field)
        cast(SpectralConvolution, net.last).weight.mul_(-3)
        torch.testing.assert_close(net(field), -3 * before, rtol=0, atol=1e-12)


def test_frames_stand_at_the_ends_of_equal_parts_and_weigh_alike() -> None:
    window = TimeWindow()
    assert window.places(4).tolist() == [0.25, 0.5, 0.75, 1]
    assert window.places(1).tolist() == [1]
    assert window.weights(4).tolist() == [0.25] * 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"times": (0, 1)}, "input_times must be at least 1; got 0"),
        ({"times": (2, 0)}, "output_times must be at least 1; got 0"),
        ({"times": (2, 2), "latent_frames": 4}, r"latent_frames must be above 2 time_modes \(4\); got 4"),
        ({"times": (3, 1), "static": -1}, "5 channels in and 2 out are not 3 and 1 frames"),
    ],
)
def test_frames_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network(**changes)
