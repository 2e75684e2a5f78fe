from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.operators import cost
from eddymark.operators.build import build_operator
from eddymark.operators.cost import count_flops, measure_memory, weight_bytes

PLANE: dict[str, Any] = {"channels": 3, "points": (16, 12)}


def test_bytes_of_weights() -> None:
    net = nn.Sequential(nn.Conv2d(3, 5, 1), nn.Conv2d(5, 2, 1).double())
    assert weight_bytes(net) == 4 * 20 + 8 * 12


def test_memory_is_that_of_the_arrays_which_exist_together() -> None:
    net = nn.Sequential(nn.Conv2d(3, 5, 1), nn.GELU(), nn.Conv2d(5, 2, 1))
    memory = measure_memory(net, **PLANE, batch=4)
    one = 4 * 16 * 12
    # What GELU is given and what it returns; after it, the first of them is gone.
    assert memory.forward == 10 * one
    # All of them, and what the loss and the gradients need.
    assert 4 * (5 + 5 + 2) * one < memory.training < 3 * 4 * (5 + 5 + 2) * one
    assert all(parameter.grad is None for parameter in net.parameters())


def built(name: str, arguments: dict[str, Any]) -> nn.Module:
    return build_operator(name, arguments, in_channels=3, out_channels=2, dimension=2).double()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("fno", {"width": 8, "modes": 3}),
        ("ifactformer_m", {"width": 8, "modes": 3, "layers": 2}),
        ("iafno", {"width": 8, "modes": 1, "layers": 2}),
        ("transform_once", {"width": 8, "modes": 3, "layers": 2}),
        ("convolutional", {"width": 8}),
    ],
)
def test_memory_of_a_large_step_follows_from_the_shapes(
    name: str, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = measure_memory(built(name, arguments), **PLANE, batch=3)
    monkeypatch.setattr(cost, "_MEASURED", 0)
    computed = measure_memory(built(name, arguments), **PLANE, batch=3)
    assert computed.forward == pytest.approx(measured.forward, rel=0.05)
    assert computed.training == pytest.approx(measured.training, rel=0.05)


def test_operations_of_products_and_convolutions() -> None:
    net = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1, padding_mode="circular"), nn.GELU(), nn.Conv2d(5, 2, 1))
    assert count_flops(net, **PLANE) == 2 * 16 * 12 * (9 * 3 * 5 + 5 * 2)


def test_operations_of_transforms_and_complex_products() -> None:
    class Spectral(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 2, dtype=torch.complex64))

        def forward(self, field: Tensor) -> Tensor:
            spectrum = torch.fft.rfft2(field).movedim(1, -1)
            return torch.fft.irfft2((spectrum @ self.weight).movedim(-1, 1), s=field.shape[2:])

    points = 16 * 12
    product = 8 * 16 * 7 * 3 * 2
    assert count_flops(Spectral(), **PLANE) == pytest.approx(5 * 2.5 * points * math.log2(points) + product, abs=1)


def test_operations_of_attention() -> None:
    class Attention(nn.Module):
        def forward(self, field: Tensor) -> Tensor:
            tokens = field.flatten(2).transpose(1, 2)[:, None]
            return F.scaled_dot_product_attention(tokens, tokens, tokens)[:, 0].transpose(1, 2).view_as(field)

    assert count_flops(Attention(), **PLANE) == 2 * 2 * (16 * 12) ** 2 * 3
