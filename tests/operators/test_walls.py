"""Fourier layers between walls and on stretched axes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from eddymark.operators.axes import Axis
from eddymark.operators.factorised_convolution import FactorisedConvolution
from eddymark.operators.spectral_convolution import SpectralConvolution
from tests.operators.cases import CASES, build, random_field

FAMILY = ["fno", "ffno", "ifno", "ufno", "iufno", "fifno", "sfno"]


def stretched(points: int) -> tuple[float, ...]:
    """Return places between 0 and 2 which are dense at both walls."""
    return tuple(1 - math.cos(math.pi * j / (points - 1)) for j in range(points))


def smooth(*places: Tensor) -> Tensor:
    """Return a smooth field of three channels at a product of places, `(y, x, 1, 3)`."""
    x, y = torch.meshgrid(*places, indexing="ij")
    channels = [torch.exp(torch.sin(x + c)) * torch.cos(0.7 * (c + 1) * y + c) for c in range(3)]
    return torch.stack(channels).permute(2, 1, 0)[:, :, None]


@pytest.mark.parametrize("kind", ["full", "factorised"])
@pytest.mark.parametrize("walls_last", [True, False])
def test_convolution_is_the_same_on_uniform_and_stretched_axes(kind: str, walls_last: bool) -> None:
    def apply(points: int, coordinates: tuple[float, ...] | None) -> Tensor:
        axes = [Axis(2 * math.pi), Axis(2.0, periodic=False, coordinates=coordinates)]
        places = [axes[0].places(16), axes[1].places(points)]
        values = smooth(*places)
        if not walls_last:
            axes, values = axes[::-1], values.transpose(0, 1).contiguous()
        torch.manual_seed(0)
        convolution: SpectralConvolution | FactorisedConvolution
        if kind == "full":
            convolution = SpectralConvolution(3, 3, modes=(3, 3), variance=1.0, axes=axes).double()
        else:
            convolution = FactorisedConvolution(3, modes=(3, 3), variance=1.0, axes=axes).double()
        result = convolution(values).detach()
        return result if walls_last else result.transpose(0, 1)

    # At the middle between the walls, which both have.
    fine, coarse = apply(257, stretched(257))[128], apply(33, stretched(33))[16]
    uniform, coarse_uniform = apply(257, None)[128], apply(33, None)[16]
    scale = fine.abs().max()
    assert float((uniform - fine).abs().max() / scale) < 2e-4
    for error in (coarse - fine, coarse_uniform - uniform):
        assert 1e-6 < float(error.abs().max() / scale) < 1e-2


def test_padding_is_what_zeros_beyond_the_wall_would_be() -> None:
    torch.manual_seed(0)
    walls = [Axis(2 * math.pi), Axis(16.0, periodic=False)]
    # 17 points between the walls, 4 of a quarter of the box beyond: 20 spacings in all, of which the last closes.
    convolution = SpectralConvolution(2, 2, modes=(3, 3), variance=1.0, axes=walls).double()
    around = SpectralConvolution(2, 2, modes=(3, 3), variance=1.0).double()
    around.load_state_dict(convolution.state_dict())
    values = torch.randn(17, 8, 1, 2, dtype=torch.float64)
    values[[0, -1]] = 0
    padded = torch.cat([values, torch.zeros(3, 8, 1, 2, dtype=torch.float64)])
    torch.testing.assert_close(convolution(values), around(padded)[:17], rtol=0, atol=1e-13)


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("name", FAMILY)
def test_operator_with_walls_commutes_with_translations_along_the_other_axes_alone(name: str, dimension: int) -> None:
    axes = [Axis(2 * math.pi)] * dimension
    axes[1] = Axis(2.0, periodic=False)
    operator, field = build(name, dimension, axes=axes), random_field(name, dimension)
    step = CASES[name].equivariant_shift
    with torch.no_grad():
        output = operator(field)
        along = operator(field.roll(step, 2))
        across = operator(field.roll(step, 3))
    torch.testing.assert_close(along / output.std(), output.roll(step, 2) / output.std(), rtol=0, atol=1e-11)
    assert float((across - output.roll(step, 3)).abs().max() / output.std()) > 1e-3


@pytest.mark.parametrize("name", FAMILY)
def test_uniform_periodic_axes_are_the_default(name: str) -> None:
    field = random_field(name, 3)
    with torch.no_grad():
        assert torch.equal(build(name, 3, axes=[Axis(3.0)] * 3)(field), build(name, 3, axes=None)(field))


@pytest.mark.parametrize("name", FAMILY)
def test_a_grid_first_seen_in_inference_can_be_trained_on(name: str) -> None:
    # Matrices are cached; those made in inference mode must not be inference tensors.
    operator, field = build(name, 2), torch.randn(1, 3, 22, 26, dtype=torch.float64)
    with torch.inference_mode():
        first = operator(field)
    second = operator(field)
    second.sum().backward()
    assert torch.equal(first, second.detach())
