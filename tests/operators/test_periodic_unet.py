from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from eddymark.operators.periodic_unet import PeriodicConvolution, PeriodicTransposedConvolution, PeriodicUNet

GRIDS = [pytest.param((8, 12), id="2-D"), pytest.param((4, 6, 10), id="3-D")]


def unet(dimension: int, *, levels: int = 2) -> PeriodicUNet:
    torch.manual_seed(0)
    return PeriodicUNet(3, 2, periodic=(True,) * dimension, widths=(4, 5)[:levels], variance=1.0).double()


@pytest.mark.parametrize("points", GRIDS)
@pytest.mark.parametrize("step", [1, 2])
def test_convolution_is_the_sum_over_neighbours_around_the_box(points: tuple[int, ...], step: int) -> None:
    torch.manual_seed(0)
    dimension = len(points)
    layer = PeriodicConvolution(3, 2, periodic=(True,) * dimension, variance=1.0).double()
    torch.nn.init.normal_(layer.bias)
    field = torch.randn(2, *points, 3, dtype=torch.float64)
    expected = layer.bias.expand(2, *points, 2).clone()
    for offset in torch.cartesian_prod(*[torch.arange(3)] * dimension).tolist():
        neighbour = field.roll([1 - shift for shift in offset], tuple(range(1, dimension + 1)))
        expected += torch.einsum("oi,b...i->b...o", layer.weight[(..., *offset)], neighbour)
    every = (slice(None), *[slice(None, None, step)] * dimension)
    result = layer(field, [step] * dimension)
    torch.testing.assert_close(result, expected[every], rtol=0, atol=1e-13)


@pytest.mark.parametrize("points", GRIDS)
def test_transposed_convolution_is_the_adjoint_of_the_strided_one(points: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    dimension = len(points)
    # One axis is not halved.
    stride = [2] * (dimension - 1) + [1]
    down = PeriodicConvolution(3, 2, periodic=(True,) * dimension, variance=1.0).double()
    up = PeriodicTransposedConvolution(2, 3, periodic=(True,) * dimension, variance=1.0).double()
    with torch.no_grad():
        up.weight.copy_(down.weight)
    fine = torch.randn(2, *points, 3, dtype=torch.float64)
    coarse = torch.randn(2, *(n // s for n, s in zip(points, stride, strict=True)), 2, dtype=torch.float64)
    torch.testing.assert_close((down(fine, stride) * coarse).sum(), (up(coarse, points, stride) * fine).sum())


def test_transposed_convolution_interpolates() -> None:
    up = PeriodicTransposedConvolution(1, 1, periodic=(True, False), variance=1.0)
    hat = torch.tensor([0.5, 1.0, 0.5])
    with torch.no_grad():
        up.weight.copy_(torch.outer(hat, hat)[None, None])
    coarse = torch.tensor([[0.0, 1.0, 2.0], [4.0, 5.0, 6.0]])[None, ..., None]
    expected = torch.tensor([[0.0, 0.5, 1.0, 1.5, 2.0], [2.0, 2.5, 3.0, 3.5, 4.0], [4.0, 4.5, 5.0, 5.5, 6.0]])
    result = up(coarse, (4, 5), (2, 2))[0, ..., 0]
    torch.testing.assert_close(result, torch.cat([expected, expected[1:2]]))


def test_beyond_walls_are_zeros() -> None:
    torch.manual_seed(0)
    layer = PeriodicConvolution(2, 2, periodic=(True, False, True), variance=1.0)
    field = torch.randn(1, 4, 5, 6, 2)
    walls = F.pad(field, (0, 0, 0, 0, 1, 1))
    around = PeriodicConvolution(2, 2, periodic=(True,) * 3, variance=1.0)
    around.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(field), around(walls)[:, :, 1:-1])


@pytest.mark.parametrize("points", [(6, 14), (5, 9), (2, 3), (1, 8), (6, 2, 7), (10, 12, 14)])
def test_any_grid_will_do(points: tuple[int, ...]) -> None:
    net = unet(len(points))
    field = torch.randn(2, *points, 3, dtype=torch.float64)
    assert net(field).shape == (2, *points, 2)
    walls = PeriodicUNet(3, 2, periodic=(False,) * len(points), widths=(4, 5), variance=1.0).double()
    assert walls(field).shape == (2, *points, 2)


@pytest.mark.parametrize("points", [(8, 16), (4, 8, 12)])
def test_commutes_with_translations_by_points_of_the_coarsest_grid(points: tuple[int, ...]) -> None:
    net, axes = unet(len(points)), tuple(range(1, len(points) + 1))
    field = torch.randn(2, *points, 3, dtype=torch.float64)
    shifts = tuple(4 * count for count in axes)
    torch.testing.assert_close(net(field.roll(shifts, axes)), net(field).roll(shifts, axes), rtol=0, atol=1e-13)


def test_coarser_levels_reach_farther() -> None:
    def reach(levels: int) -> int:
        net = unet(2, levels=levels)
        field = torch.zeros(1, 64, 4, 3, dtype=torch.float64)
        touched = field.clone()
        touched[0, 32] = 1
        changed = (net(touched) - net(field)).abs().amax(dim=(0, 2, 3)) > 1e-12
        return int(changed.sum())

    assert reach(1) < reach(2) < 64


@pytest.mark.parametrize("points", [(32, 32), (16, 16, 16)])
def test_variance_at_the_start(points: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    net = PeriodicUNet(16, 64, periodic=(True,) * len(points), widths=(16, 16), variance=0.25)
    with torch.no_grad():
        assert 0.3 < float(net(torch.randn(2, *points, 16)).square().mean().sqrt()) < 0.8


def test_every_parameter_gets_a_gradient() -> None:
    net = unet(3)
    net(torch.randn(2, 8, 8, 8, 3, dtype=torch.float64)).square().mean().backward()
    assert all(p.grad is not None and bool((p.grad != 0).all()) for p in net.parameters())
