"""Operators whose papers claim it are the same map on every grid, to which their outputs converge."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from eddymark.operators.axes import Axis
from eddymark.operators.build import build_operator
from tests.operators.test_fno import band_limited

ATTENTION: dict[str, Any] = {"width": 16, "heads": 2, "layers": 3, "modes": 2}


@pytest.mark.parametrize(
    ("name", "arguments", "amplitude"),
    [
        ("ffno", {"width": 5, "modes": 3, "layers": 3}, 1.0),
        ("sfno", {"width": 5, "modes": 3, "layers": 3, "time_modes": 1, "latent_frames": 4}, 1.0),
        # Norms and shrinkages make harmonics without end, which alias on every grid; fewer for a small smooth input.
        ("tno", {"width": 16, "heads": 2, "layers": 2, "modes": 1, "patch_size": 1}, 0.3),
        ("iafno", {"width": 6, "blocks": 2, "layers": 3, "modes": 3, "patch_size": 1}, 0.3),
        ("ifactformer_o", ATTENTION, 0.3),
        ("ifactformer_m", ATTENTION, 0.3),
    ],
)
def test_converges_with_resolution(name: str, arguments: dict[str, Any], amplitude: float) -> None:
    torch.manual_seed(0)
    axes = (Axis(4 * math.pi), Axis(2.0))
    operator = build_operator(name, arguments, in_channels=3, out_channels=2, dimension=2, axes=axes).double()
    for parameter_name, parameter in operator.named_parameters():
        parameter.requires_grad_(False)
        if "lift" in parameter_name and "bias" in parameter_name:
            torch.nn.init.normal_(parameter)

    def output(points: int) -> torch.Tensor:
        return operator(amplitude * band_limited((points, points), 2))[..., :: points // 8, :: points // 8]

    finest = output(64)
    errors = [float((output(points) - finest).norm() / finest.norm()) for points in (8, 16, 32)]
    assert errors[1] < 0.2 * errors[0]
    assert errors[2] < 0.2 * errors[1]
    assert errors[2] < 3e-3
