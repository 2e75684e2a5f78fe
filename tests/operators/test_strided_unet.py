from __future__ import annotations

import pytest
import torch

from eddymark.operators.strided_unet import StridedUNet


def unet(dimension: int, *, levels: int = 2) -> StridedUNet:
    torch.manual_seed(0)
    return StridedUNet(3, 2, periodic=(True,) * dimension, widths=(4, 5)[:levels], variance=1.0).double()


@pytest.mark.parametrize("points", [(6, 14), (5, 9), (2, 3), (1, 8), (6, 2, 7), (10, 12, 14)])
def test_any_grid_will_do(points: tuple[int, ...]) -> None:
    net = unet(len(points))
    field = torch.randn(2, *points, 3, dtype=torch.float64)
    assert net(field).shape == (2, *points, 2)
    walls = StridedUNet(3, 2, periodic=(False,) * len(points), widths=(4, 5), variance=1.0).double()
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
    net = StridedUNet(16, 64, periodic=(True,) * len(points), widths=(16, 16), variance=0.25)
    with torch.no_grad():
        assert 0.3 < float(net(torch.randn(2, *points, 16)).square().mean().sqrt()) < 0.8


def test_every_parameter_gets_a_gradient() -> None:
    net = unet(3)
    net(torch.randn(2, 8, 8, 8, 3, dtype=torch.float64)).square().mean().backward()
    assert all(p.grad is not None and bool((p.grad != 0).all()) for p in net.parameters())
