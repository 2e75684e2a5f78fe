from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from eddymark.operators.lsm import LatentSpectralModel, NeuralSpectralBlock


def block(**arguments: Any) -> NeuralSpectralBlock:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"patch_size": 2, "tokens": 3, "basis": 4, "heads": 2}
    net = NeuralSpectralBlock(6, **(sizes | arguments)).double().requires_grad_(False)
    net.constant.normal_()
    return net


def one_patch(net: NeuralSpectralBlock, points: Tensor) -> Tensor:
    """The equations for the points `(points, channel)` of one patch, head by head and token by token."""
    heads, tokens, channels = net.tokens.shape
    keys, contents = net.keys_and_values(points).chunk(2, dim=-1)
    queries, result = net.queries(points), points.clone()
    for head in range(heads):
        own = slice(head * channels, (head + 1) * channels)
        latent = []
        for t in net.tokens[head]:
            value = t + torch.softmax(keys[:, own] @ t / math.sqrt(channels), 0) @ contents[:, own]
            series = net.constant[own].clone()
            for n in range(1, 5):
                series += net.sines[n - 1, own] * torch.sin(math.pi * n * value / 4)
                series += net.cosines[n - 1, own] * torch.cos(math.pi * n * value / 4)
            latent.append(value + series)
        stacked = torch.stack(latent)
        result[:, own] += torch.softmax(queries[:, own] @ stacked.T / math.sqrt(channels), 1) @ stacked
    assert tokens == 3
    return result


@pytest.mark.parametrize("points", [(4, 6), (2, 6, 4)])
def test_block_equals_its_equations_patch_by_patch(points: tuple[int, ...]) -> None:
    net = block()
    values = torch.randn(2, *points, 6, dtype=torch.float64)
    result = net(values)
    for sample, corner in itertools.product(range(2), itertools.product(*[range(0, n, 2) for n in points])):
        at = (sample, *(slice(first, first + 2) for first in corner))
        expected = one_patch(net, values[at].reshape(-1, 6)).view_as(values[at])
        torch.testing.assert_close(result[at], expected)


def test_without_a_series_tokens_pass_unchanged() -> None:
    net = block(tokens=1)
    for parameter in (net.sines, net.cosines, net.constant):
        parameter.zero_()
    values = torch.randn(1, 2, 2, 6, dtype=torch.float64)
    keys, contents = net.keys_and_values(values.view(4, 6)).chunk(2, dim=-1)
    for head in range(2):
        own = slice(3 * head, 3 * head + 3)
        weights = torch.softmax(keys[:, own] @ net.tokens[head, 0] / math.sqrt(3), 0)
        token = net.tokens[head, 0] + weights @ contents[:, own]
        # A single token is all that the points can attend to.
        torch.testing.assert_close(net(values)[..., own], values[..., own] + token)


def test_every_sine_counts() -> None:
    net = block().requires_grad_(True)
    net(torch.randn(1, 4, 4, 6, dtype=torch.float64)).square().sum().backward()
    assert net.sines.grad is not None
    assert bool((net.sines.grad.abs() > 1e-6).all())


def test_has_the_layers_of_the_published_network() -> None:
    # Width 64, five grids of 64, 128, 256, 512 and 512 channels, 12 basis functions, 4 tokens, as for Navier–Stokes.
    net = LatentSpectralModel(10, 1, dimension=2, width=64, projection_width=128)
    widths = [64, 128, 256, 512, 512]

    def double(inputs: int, between: int, outputs: int) -> int:
        return 9 * (inputs * between + between * outputs) + 3 * (between + outputs)  # weights, biases and norms

    expected = sum(double(a, b, b) for a, b in itertools.pairwise([64, *widths]))
    expected += sum(double(a + b, a, a) for a, b in itertools.pairwise(widths))
    expected += sum(3 * (w * w + w) + 24 * w + w + 4 * w for w in widths)
    expected += (10 * 64 + 64) + (64 * 128 + 128) + (128 + 1)
    assert sum(parameter.numel() for parameter in net.parameters()) == expected


@pytest.mark.parametrize("dimension", [2, 3])
def test_output_is_small_at_the_start(dimension: int) -> None:
    torch.manual_seed(0)
    net = LatentSpectralModel(3, 16, dimension=dimension, width=8, levels=2, patch_size=2)
    with torch.no_grad():
        assert 0.04 < float(net(torch.randn(2, 3, *(8,) * dimension)).square().mean().sqrt()) < 0.2
