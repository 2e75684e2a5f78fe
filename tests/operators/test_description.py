from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from eddymark.operators.build import ForeignOperator, build_operator
from eddymark.operators.convolutional import ConvolutionalNetwork
from eddymark.operators.description import (
    OtherGrid,
    commuting_shift,
    kept_modes,
    other_grids,
    parameters_by_part,
    receptive_radius,
    summary,
    try_other_grid,
)
from eddymark.operators.fno import FourierNeuralOperator

PLANE: dict[str, Any] = {"channels": 3, "points": (16, 12)}


def tried(operator: nn.Module, *, channels: int, points: tuple[int, ...]) -> list[OtherGrid]:
    return [try_other_grid(operator, channels=channels, points=points, other=grid) for grid in other_grids(points)]


def built(name: str, **arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    return build_operator(name, arguments, in_channels=3, out_channels=2, dimension=2).double()


@pytest.mark.parametrize(("dimension", "layers", "kernel_size", "radius"), [(2, 3, 3, 3), (3, 2, 5, 4)])
def test_a_convolutional_network_sees_as_far_as_its_kernels_reach(
    dimension: int, layers: int, kernel_size: int, radius: int
) -> None:
    torch.manual_seed(0)
    net = ConvolutionalNetwork(3, 2, dimension=dimension, width=4, layers=layers, kernel_size=kernel_size).double()
    where: dict[str, Any] = {"channels": 3, "points": (10, 12, 14)[:dimension]}
    assert receptive_radius(net, **where) == (radius,) * dimension
    assert commuting_shift(net, **where) == 1
    assert kept_modes(net) is None


def test_a_fourier_neural_operator_sees_the_whole_box() -> None:
    net = built("fno", width=5, modes=[3, 2], layers=4, projection_width=7)
    assert receptive_radius(net, **PLANE) == (8, 6)
    assert commuting_shift(net, **PLANE) == 1
    assert kept_modes(net) == (3, 2)
    parts = parameters_by_part(net)
    convolutions, pointwise = 4 * 7 * 3 * 5 * 5 * 2, 4 * (5 * 5 + 5)
    ends = {"lift": 3 * 5 + 5, "project_in": 5 * 7 + 7, "project_out": 7 * 2 + 2}
    assert parts == {"convolutions": convolutions, "pointwise": pointwise} | ends


def test_patches_show_in_reach_and_translations() -> None:
    # Nothing passes the shrinkage, so that each patch is on its own.
    net = built("iafno", width=6, modes=1, layers=1, patch_size=3, threshold=1e6)
    where: dict[str, Any] = {"channels": 3, "points": (12, 18)}
    assert receptive_radius(net, **where) == (2, 2)
    assert commuting_shift(net, **where) == 3


def test_an_operator_that_knows_its_place_commutes_with_no_translation() -> None:
    assert commuting_shift(built("transform_once", width=4, modes=2, layers=1), **PLANE) is None


def test_other_resolutions_are_tried() -> None:
    half, double = tried(built("transform_once", width=4, modes=2, layers=1), **PLANE)
    assert (half.points, double.points) == ((8, 6), (32, 24))
    assert half.difference is not None
    assert double.difference is not None
    assert max(half.difference, double.difference) < 1e-12
    half, double = tried(built("convolutional", width=4), **PLANE)
    assert half.difference is not None
    assert double.difference is not None
    assert min(half.difference, double.difference) > 0.1
    half, double = tried(built("fno", width=4, modes=[5, 4], layers=2), **PLANE)
    assert half.difference is None
    assert "need a grid of at least 11 × 9 points; got 8 × 6" in half.refusal
    assert double.difference is not None


def test_a_result_of_the_wrong_shape_is_a_refusal() -> None:
    class Fixed(nn.Module):
        def forward(self, field: Tensor) -> Tensor:
            return torch.ones(1, 2, 16, 12)

    half, double = tried(Fixed(), **PLANE)
    assert half.refusal == "returns (1, 2, 16, 12) and not (1, 2, 8, 6)"
    assert double.refusal == "returns (1, 2, 16, 12) and not (1, 2, 32, 24)"


def test_a_grid_with_an_odd_number_of_points_has_no_half() -> None:
    assert other_grids((9, 12)) == [(18, 24)]
    assert other_grids((8, 6, 12)) == [(4, 3, 6), (16, 12, 24)]


def test_the_summary_is_the_first_sentence_and_the_equation() -> None:
    assert summary(built("fno", width=4, modes=2)) == (
        "Fourier neural operator: lift, L layers v ← σ(K v + W v + b), projection."
    )
    sentence, *equations = summary(built("transform_once", width=4, modes=2)).splitlines()
    assert sentence.startswith("Transform-Once (T1): ")
    assert equations == ["c₀ = F lift(u),  c ← c + S_x S_y S_z σ(R c) (L times),  output = F⁻¹ W₂ σ(W₁ c)"]


def test_an_operator_of_another_package_is_described_by_what_is_inside() -> None:
    class Undocumented(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(2, dtype=torch.complex64))

    Undocumented.__doc__ = None
    operator = ForeignOperator(Undocumented())
    assert summary(operator) == "Undocumented, without documentation"
    assert parameters_by_part(operator) == {"scale": 4}
    assert isinstance(built("fno", width=4, modes=2), FourierNeuralOperator)
