from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from eddymark.operators.mgno import MultigridNeuralOperator, VCycle, coarsening

both = pytest.mark.parametrize("dimension", [2, 3])


def cycle(dimension: int, channels: int = 1, **arguments: Any) -> VCycle:
    sizes: dict[str, Any] = {"levels": 3, "smoothing_steps": 2, "post_smoothing_steps": 2, "gain": 1.0}
    return VCycle(channels, channels, dimension=dimension, **(sizes | arguments)).double().requires_grad_(False)


def product(*factors: Tensor) -> Tensor:
    result = factors[0]
    for factor in factors[1:]:
        result = result[..., None] * factor
    return result


def classical_multigrid(dimension: int) -> VCycle:
    """A V-cycle with the weights of classical multigrid for −Δ u = f: damped Jacobi, full weighting, interpolation."""
    net = cycle(dimension)
    laplacian = torch.zeros((3,) * dimension, dtype=torch.float64)
    for axis, side in itertools.product(range(dimension), (0, 2)):
        laplacian[tuple(side if a == axis else 1 for a in range(dimension))] = -1.0
    centre = (1,) * dimension
    laplacian[centre] = 2.0 * dimension
    line = torch.tensor([0.5, 1.0, 0.5], dtype=torch.float64)
    for level, equation in enumerate(net.equation):
        equation.weight[0, 0] = laplacian / 4**level
        for smooth in (*net.smooth[level], *(net.post_smooth[level] if level < len(net.restrict) else ())):
            smooth.weight.zero_()
            smooth.weight[(0, 0, *centre)] = 0.8 * 4**level / (2 * dimension)
    for restrict, prolong in zip(net.restrict, net.prolong, strict=True):
        restrict.weight[0, 0] = product(*[line / 2] * dimension)
        prolong.weight[0, 0] = product(*[line] * dimension)
    return net


@both
@pytest.mark.parametrize("points", [(16, 16, 16), (8, 24, 16)])
def test_with_the_weights_of_multigrid_it_solves_poissons_equation_across_the_boundary(
    dimension: int, points: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    net = classical_multigrid(dimension)
    right_side = torch.randn(1, *points[:dimension], 1, dtype=torch.float64)
    right_side -= right_side.mean()
    residual, norms = right_side, []
    # Short axes have a coarsest grid of few points, on which two steps of Jacobi do nearly all.
    for _ in range(4):
        residual = residual - net.equation[0](net(residual))
        norms.append(float(residual.norm()))
    jacobi = right_side
    for _ in range(4 * 4):
        jacobi = jacobi - net.equation[0](net.smooth[0][0](jacobi))
    assert norms[-1] < 0.05 * float(right_side.norm())
    assert norms[-1] < 0.3 * float(jacobi.norm())


@both
def test_v_cycle_is_linear(dimension: int) -> None:
    torch.manual_seed(0)
    net = cycle(dimension, channels=3)
    first, second = torch.randn(2, 1, *(8, 6, 10)[:dimension], 3, dtype=torch.float64)
    torch.testing.assert_close(net(2 * first - 3 * second), 2 * net(first) - 3 * net(second))


def test_v_cycle_equals_its_equations() -> None:
    torch.manual_seed(0)
    net = cycle(2, channels=2, levels=2, smoothing_steps=1, post_smoothing_steps=1)
    f = torch.randn(1, 8, 6, 2, dtype=torch.float64)
    u = net.smooth[0][0](f)
    coarse = net.smooth[1][0](net.restrict[0](f - net.equation[0](u), stride=2))
    u = u + net.prolong[0](coarse, stride=2)
    u = u + net.post_smooth[0][0](f - net.equation[0](u))
    torch.testing.assert_close(net(f), u)


@pytest.mark.parametrize("points", [(6, 10), (12, 14), (2, 4), (22, 7), (6, 4, 10)])
def test_any_size_will_do_and_odd_axes_stay_as_they_are(points: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    net = MultigridNeuralOperator(2, 3, dimension=len(points), width=4, layers=2).double()
    field = torch.randn(1, 2, *points, dtype=torch.float64)
    assert net(field).shape == (1, 3, *points)
    steps = []
    for count in points:
        step, rest = 1, count
        for _ in range(3):
            step, rest = (step * 2, rest // 2) if rest % 2 == 0 else (step, rest)
        steps.append(step)
    axes = tuple(range(2, field.dim()))
    torch.testing.assert_close(net(field.roll(steps, axes)), net(field).roll(steps, axes))
    assert coarsening((6, 3, 2)) == (2, 1, 2)


@both
def test_output_is_small_at_the_start(dimension: int) -> None:
    torch.manual_seed(0)
    net = MultigridNeuralOperator(3, 32, dimension=dimension, width=16)
    with torch.no_grad():
        assert 0.04 < float(net(torch.randn(4, 3, *(8,) * dimension)).square().mean().sqrt()) < 0.2


def test_parameters_are_those_of_the_stated_convolutions() -> None:
    net = MultigridNeuralOperator(3, 2, dimension=3, width=8, layers=2, levels=3)
    per_cycle = [27 * (3 * i * 8 + 2 * 8 * i + 2 * i * i + 2 * 64) + 8 for i in (3, 8)]
    assert sum(parameter.numel() for parameter in net.parameters()) == sum(per_cycle) + 8 * 2 + 2
    assert math.isfinite(sum(float(parameter.detach().sum()) for parameter in net.parameters()))
