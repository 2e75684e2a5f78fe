from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from eddymark.operators.periodic_convolution import PeriodicConvolution, PeriodicTransposedConvolution, extended

GRIDS = [pytest.param((8, 12), id="2-D"), pytest.param((4, 6, 10), id="3-D")]


@pytest.mark.parametrize("points", GRIDS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel_size", "dilation", "groups"), [(3, 1, 1), (5, 1, 2), (3, 3, 4)])
def test_convolution_is_the_sum_over_neighbours_around_the_box(
    points: tuple[int, ...], stride: int, kernel_size: int, dilation: int, groups: int
) -> None:
    torch.manual_seed(0)
    dimension = len(points)
    sizes: dict[str, Any] = {"kernel_size": kernel_size, "dilation": dilation, "groups": groups}
    layer = PeriodicConvolution(4, 8, dimension=dimension, gain=1.0, **sizes).double()
    assert layer.bias is not None
    torch.nn.init.normal_(layer.bias)
    field = torch.randn(2, *points, 4, dtype=torch.float64)
    expected = layer.bias.expand(2, *points, 8).clone()
    for place in torch.cartesian_prod(*[torch.arange(kernel_size)] * dimension).tolist():
        shift = [dilation * (kernel_size // 2 - number) for number in place]
        neighbour = field.roll(shift, tuple(range(1, dimension + 1))).unflatten(-1, (groups, -1))
        weight = layer.weight[(..., *place)].unflatten(0, (groups, -1))
        expected += torch.einsum("goi,b...gi->b...go", weight, neighbour).flatten(-2)
    every = (slice(None), *[slice(None, None, stride)] * dimension)
    torch.testing.assert_close(layer(field, stride=stride), expected[every], rtol=0, atol=1e-13)


def test_a_field_is_continued_several_times_around_a_small_box() -> None:
    values = torch.arange(3.0)[None, :, None, None].expand(1, 3, 3, 1)
    assert extended(values, (7, 0), (5, 0))[0, :, 0, 0].tolist() == [(k - 7) % 3 for k in range(15)]


def test_beyond_walls_are_zeros() -> None:
    torch.manual_seed(0)
    field = torch.randn(1, 4, 5, 6, 2)
    expected = F.pad(field, (0, 0, 3, 1, 0, 0, 1, 2))
    assert torch.equal(extended(field, (1, 0, 3), (2, 0, 1), (False, True, False)), expected)
    layer = PeriodicConvolution(2, 2, dimension=3, gain=1.0, periodic=(True, False, True))
    around = PeriodicConvolution(2, 2, dimension=3, gain=1.0)
    around.load_state_dict(layer.state_dict())
    between_walls = F.pad(field, (0, 0, 0, 0, 1, 1))
    torch.testing.assert_close(layer(field), around(between_walls)[:, :, 1:-1])


@pytest.mark.parametrize("points", GRIDS)
@pytest.mark.parametrize("last_stride", [1, 2])
def test_transposed_convolution_is_the_adjoint_of_the_strided_one(points: tuple[int, ...], last_stride: int) -> None:
    torch.manual_seed(0)
    dimension = len(points)
    stride = [2] * (dimension - 1) + [last_stride]
    down = PeriodicConvolution(2, 3, dimension=dimension, gain=1.0, bias=False).double()
    up = PeriodicTransposedConvolution(3, 2, dimension=dimension, gain=1.0).double()
    with torch.no_grad():
        up.weight.copy_(down.weight)
    fine = torch.randn(2, *points, 2, dtype=torch.float64)
    coarse = torch.randn(2, *(n // s for n, s in zip(points, stride, strict=True)), 3, dtype=torch.float64)
    left = (down(fine, stride=stride) * coarse).sum()
    torch.testing.assert_close(left, (fine * up(coarse, stride=stride)).sum())
    torch.testing.assert_close(left, (fine * up(coarse, stride=stride, points=points)).sum())


def test_transposed_convolution_interpolates_around_the_box_and_up_to_walls() -> None:
    up = PeriodicTransposedConvolution(1, 1, dimension=2, gain=1.0, bias=True, periodic=(True, False))
    hat = torch.tensor([0.5, 1.0, 0.5])
    assert up.bias is not None
    with torch.no_grad():
        up.weight.copy_(torch.outer(hat, hat)[None, None])
        up.bias.fill_(7.0)
    coarse = torch.tensor([[0.0, 1.0, 2.0], [4.0, 5.0, 6.0]])[None, ..., None]
    expected = torch.tensor([[0.0, 0.5, 1.0, 1.5, 2.0], [2.0, 2.5, 3.0, 3.5, 4.0], [4.0, 4.5, 5.0, 5.5, 6.0]])
    result = up(coarse, stride=2, points=(4, 5))[0, ..., 0]
    torch.testing.assert_close(result, torch.cat([expected, expected[1:2]]) + 7)


def test_transposed_convolution_without_points_doubles_every_axis() -> None:
    up = PeriodicTransposedConvolution(1, 1, dimension=3, gain=1.0).double()
    hat = torch.tensor([0.5, 1.0, 0.5])
    with torch.no_grad():
        up.weight.copy_((hat[:, None, None] * hat[:, None] * hat)[None, None])
    coarse = torch.randn(2, 4, 2, 6, 1, dtype=torch.float64)
    result = up(coarse)
    assert result.shape == (2, 8, 4, 12, 1)
    torch.testing.assert_close(result[:, ::2, ::2, ::2], coarse)
    torch.testing.assert_close(result[:, 1::2, ::2, ::2], (coarse + coarse.roll(-1, 1)) / 2)


def test_gains_are_those_stated() -> None:
    torch.manual_seed(0)
    values = torch.randn(2, 16, 16, 16, 24)
    layer = PeriodicConvolution(24, 24, dimension=3, gain=0.7)
    assert float(layer(values).detach().square().mean()) == pytest.approx(0.7, rel=0.05)
    transposed = PeriodicTransposedConvolution(24, 24, dimension=3, gain=0.7)
    assert float(transposed(values).detach().square().mean()) == pytest.approx(0.7, rel=0.1)
