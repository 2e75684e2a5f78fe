from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from eddymark.operators.transform_once import TransformOnce
from tests.operators.test_fno import band_limited

CASES = [
    pytest.param((12, 9), (2, 4), id="2-D"),
    pytest.param((7, 8, 10), (2, 3, 1), id="3-D"),
]


def network(modes: tuple[int, ...], **arguments: Any) -> TransformOnce:
    torch.manual_seed(0)
    sizes = {"width": 4, "layers": 3} | arguments
    net = TransformOnce(3, 2, dimension=len(modes), modes=modes, **sizes).double()
    for layer in (net.lift, net.project_in, net.project_out):
        torch.nn.init.normal_(layer.bias, std=0.1)
    return net


def basis(points: tuple[int, ...], modes: tuple[int, ...]) -> Tensor:
    """Products of 1, √2 cos and √2 sin, `(*coefficients, *points)` with x first."""
    axes = []
    for n, m in zip(points, modes, strict=True):
        x = 2 * math.pi * torch.arange(n).double() / n
        waves = [math.sqrt(2) * wave(k * x) for wave in (torch.cos, torch.sin) for k in range(1, m + 1)]
        axes.append(torch.stack([torch.ones_like(x), *waves]))
    letters = [("a", "i"), ("b", "j"), ("c", "k")][: len(axes)]
    text = ",".join(a + i for a, i in letters) + "->" + "".join(a for a, _ in letters) + "".join(i for _, i in letters)
    return torch.einsum(text, *axes)


def reference(net: TransformOnce, field: Tensor) -> Tensor:
    """The network with sums over points and coefficients; channels last."""
    points = field.shape[2:]
    waves = basis(points, net.modes)
    counts = waves.shape[: len(points)]
    flat = waves.reshape(math.prod(counts), -1)
    scale = math.sqrt(len(flat))
    values = scale * torch.einsum("kn,bnc->bkc", flat, net.lift(field.flatten(2).transpose(1, 2))) / flat.shape[1]
    for layer in net.layers:
        # The weights of R have the last axis slowest.
        order = torch.arange(len(flat)).view(*reversed(counts)).permute(*reversed(range(len(counts)))).flatten()
        branch = F.gelu(torch.einsum("bki,kio->bko", values, layer.channels[order])).unflatten(1, counts)
        for number, matrices in enumerate(reversed(layer.axes)):
            moved = branch.movedim(1 + number, -2)
            branch = torch.einsum("...ic,coi->...oc", moved, matrices).movedim(-2, 1 + number)
        values = values + branch.flatten(1, -2)
    result = torch.einsum("bkc,kn->bcn", net.project_out(F.gelu(net.project_in(values))), flat) / scale
    return result.unflatten(-1, points)


@pytest.mark.parametrize(("points", "modes"), CASES)
def test_equals_sums_over_points_and_coefficients(points: tuple[int, ...], modes: tuple[int, ...]) -> None:
    net = network(modes)
    field = torch.randn(2, 3, *points, dtype=torch.float64)
    expected = reference(net, field)
    assert expected.std() > 0.01
    torch.testing.assert_close(net(field), expected, rtol=0, atol=1e-13)


def test_is_the_same_map_on_every_grid_to_rounding() -> None:
    net = network((3, 3)).requires_grad_(False)
    outputs = [net(band_limited((n, n), 5)) for n in (12, 24, 36)]
    torch.testing.assert_close(outputs[1][..., ::2, ::2], outputs[0], rtol=0, atol=1e-13)
    torch.testing.assert_close(outputs[2][..., ::3, ::3], outputs[0], rtol=0, atol=1e-13)


def test_drops_all_other_modes() -> None:
    net = network((2, 2)).requires_grad_(False)
    x, y = torch.meshgrid(*[2 * math.pi * torch.arange(12).double() / 12] * 2, indexing="ij")
    field = torch.randn(1, 3, 12, 12, dtype=torch.float64)
    torch.testing.assert_close(net(field + torch.cos(3 * x + y) + torch.sin(x - 4 * y)), net(field))
    spectrum = torch.fft.rfft2(net(field)).abs()
    spectrum[..., [0, 1, 2, -1, -2], :3] = 0
    assert float(spectrum.max()) < 1e-12


def test_waves_are_orthonormal_so_that_errors_of_coefficients_are_errors_of_fields() -> None:
    waves = basis((12, 9), (2, 4)).flatten(0, 1).flatten(1)
    torch.testing.assert_close(waves @ waves.T / waves.shape[1], torch.eye(len(waves), dtype=torch.float64))


@pytest.mark.parametrize("dimension", [2, 3])
def test_variance_is_kept_at_the_start_up_to_the_small_output(dimension: int) -> None:
    torch.manual_seed(0)
    net = TransformOnce(3, 32, dimension=dimension, width=32, modes=3, layers=6)
    with torch.no_grad():
        field = torch.stack([band_limited((8,) * dimension, 3)[0].float() for _ in range(2)])
        rms = float(net(field / field.std()).square().mean().sqrt())
    assert 0.05 < rms < 0.15


def test_has_one_matrix_for_each_mode_and_for_each_axis_and_channel() -> None:
    net = TransformOnce(3, 3, dimension=3, width=8, modes=(2, 3, 4), layers=5, projection_width=7)
    per_layer = 5 * 7 * 9 * 8 * 8 + 8 * (5**2 + 7**2 + 9**2)
    ends = (3 * 8 + 8) + (8 * 7 + 7) + (7 * 3 + 3)
    assert sum(parameter.numel() for parameter in net.parameters()) == 5 * per_layer + ends


def test_a_constant_commutes_with_translations_but_a_wave_does_not() -> None:
    net = network((3, 3)).requires_grad_(False)
    for field, same in ((torch.ones(1, 3, 8, 8).double(), True), (band_limited((8, 8), 1), False)):
        waves = net(field) - net(field).mean(dim=(-1, -2), keepdim=True)
        moved = net(field.roll(1, 2))
        assert torch.allclose(moved, net(field)) == same
        assert waves.abs().max() > 1e-3
