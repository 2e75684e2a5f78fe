from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from eddymark.operators.patches import from_patches, to_patches
from eddymark.operators.tno import SelfAttention, TransformerNeuralOperator

CASES = [pytest.param((12, 8), id="2-D"), pytest.param((6, 8, 12), id="3-D")]


def network(dimension: int, **arguments: Any) -> TransformerNeuralOperator:
    torch.manual_seed(0)
    sizes = {"width": 16, "heads": 2, "layers": 2, "modes": 1} | arguments
    return TransformerNeuralOperator(3, 2, dimension=dimension, **sizes).double()


def attended(attention: SelfAttention, values: Tensor, patches: tuple[int, ...]) -> Tensor:
    """Attention with a loop over heads and pairs of patches' distances."""
    batch, count, width = values.shape
    d = width // attention.heads
    places = list(itertools.product(*[range(n) for n in patches]))
    turns = [(m, a) for m in range(1, attention.modes + 1) for a in range(len(patches))]
    joined = []
    for head in range(attention.heads):
        query, key, value = (
            F.linear(values, w[head * d : (head + 1) * d], b[head * d : (head + 1) * d])
            for w, b in zip(attention.enter.weight.chunk(3), attention.enter.bias.chunk(3), strict=True)
        )
        score = torch.zeros(batch, count, count, dtype=values.dtype)
        for pair in range(d // 2):
            mode, axis = turns[pair % len(turns)]
            x = torch.tensor([place[axis] / patches[axis] for place in places], dtype=values.dtype)
            angle = 2 * math.pi * mode * (x[None, :] - x[:, None])
            q = torch.complex(query[..., pair], query[..., pair + d // 2])
            k = torch.complex(key[..., pair], key[..., pair + d // 2])
            score += (q.conj()[:, :, None] * k[:, None, :] * torch.polar(torch.ones_like(angle), angle)).real
        weights = torch.softmax(score / math.sqrt(d), dim=-1)
        joined.append(weights @ value)
    return attention.leave(torch.cat(joined, dim=-1))


def reference(net: TransformerNeuralOperator, field: Tensor) -> Tensor:
    patches = to_patches(field, net.patch_size)
    grid = tuple(patches.shape[2:])
    values = net.lift(patches.flatten(2).transpose(1, 2))
    for number, attention in enumerate(net.attentions):
        values = values + attended(attention, net.norms[2 * number](values), grid)
        normal = net.norms[2 * number + 1](values)
        values = values + net.hidden_out[number](F.gelu(net.hidden_in[number](normal)))
    output = net.project(net.norms[-1](values)).transpose(1, 2).unflatten(2, grid)
    return from_patches(output, net.patch_size)


@pytest.mark.parametrize("points", CASES)
@pytest.mark.parametrize("patch_size", [1, 2])
def test_equals_sums_over_pairs_of_patches(points: tuple[int, ...], patch_size: int) -> None:
    net = network(len(points), patch_size=patch_size).requires_grad_(False)
    for attention in net.attentions:
        attention.enter.weight.mul_(2)
        torch.nn.init.normal_(attention.enter.bias)
    field = torch.randn(2, 3, *points, dtype=torch.float64)
    expected = reference(net, field)
    assert expected.std() > 0.01
    torch.testing.assert_close(net(field), expected, rtol=0, atol=1e-13)


def test_without_queries_attention_is_the_average() -> None:
    torch.manual_seed(0)
    attention = SelfAttention(width=8, heads=2, modes=2, variance=1.0).double()
    with torch.no_grad():
        attention.enter.weight[:8] = 0
    values = torch.randn(2, 30, 8, dtype=torch.float64)
    mean = attention.leave(F.linear(values.mean(dim=1), attention.enter.weight[16:]))
    torch.testing.assert_close(attention(values, (6, 5)), mean[:, None].expand_as(values), rtol=0, atol=1e-14)


def test_every_patch_sees_every_other() -> None:
    net = network(2).requires_grad_(False)
    field = torch.randn(1, 3, 12, 16, dtype=torch.float64)
    touched = field.clone()
    touched[..., 0, 0] += 1
    assert bool(((net(touched) - net(field)).abs().amax(dim=(0, 1)) > 1e-12).all())


def test_has_the_parameters_of_a_vision_transformer() -> None:
    net = TransformerNeuralOperator(5, 3, dimension=3, width=24, heads=3, layers=4, hidden_width=50, patch_size=2)
    layer = (24 * 72 + 72) + (24 * 24 + 24) + (24 * 50 + 50) + (50 * 24 + 24) + 2 * 48
    assert sum(p.numel() for p in net.parameters()) == (40 * 24 + 24) + 4 * layer + 48 + (24 * 24 + 24)
