"""What operators refuse: arguments out of range, and grids that do not fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from eddymark.operators import OPERATORS
from eddymark.operators.axes import Axis
from eddymark.operators.build import build_operator
from tests.operators.cases import CASES, build

MODES = "modes must be one positive number or one for each of 2 axes"

ARGUMENTS: dict[str, list[tuple[dict[str, Any], str]]] = {
    "fno": [({"modes": (3, 3, 3)}, MODES), ({"modes": 0}, MODES), ({"projection_width": 0}, "projection_width")],
    "ffno": [({"layers": 0}, "layers"), ({"hidden_width": 0}, "hidden_width"), ({"modes": (2,)}, MODES)],
    "ifno": [({"layers": 0}, "layers"), ({"modes": 0}, MODES), ({"projection_width": 0}, "projection_width")],
    "ufno": [
        ({"unet_layers": 3, "layers": 2}, "unet_layers must be at most layers"),
        ({"unet_layers": 0}, "unet_layers"),
        ({"levels": 0}, "levels"),
        ({"layers": 0}, "layers"),
    ],
    "iufno": [({"layers": 0}, "layers"), ({"levels": 0}, "levels"), ({"projection_width": 0}, "projection_width")],
    "fifno": [({"layers": 0}, "layers"), ({"hidden_width": 0}, "hidden_width"), ({"modes": 0}, MODES)],
    "ifactformer_o": [
        ({"modes": 0}, MODES),
        ({"modes": (3, 3, 3)}, MODES),
        ({"heads": 0}, "heads"),
        ({"layers": 0}, "layers"),
    ],
    "ifactformer_m": [
        ({"head_width": 0}, "head_width"),
        ({"projection_width": 0}, "projection_width"),
        ({"key_width": 3}, "key_width must be even"),
    ],
    "tno": [
        ({"layers": 0}, "layers"),
        ({"modes": 0}, "modes"),
        ({"patch_size": 0}, "patch_size"),
        ({"hidden_width": 0}, "hidden_width"),
        ({"heads": 3}, r"heads must divide width 8 into even parts\), found 3"),
        ({"heads": 8}, "heads must divide"),
    ],
    "iafno": [
        ({"modes": 0}, MODES),
        ({"modes": (2, 2, 2)}, MODES),
        ({"layers": 0}, "layers"),
        ({"patch_size": 0}, "patch_size"),
        ({"hidden_width": 0}, "hidden_width"),
        ({"blocks": 3}, r"blocks must divide width 8 and spectral_width 24\), found 3"),
        ({"spectral_width": 0}, "blocks must divide"),
        ({"threshold": -1.0}, "threshold"),
    ],
    "sfno": [
        ({"modes": (3, 3, 3)}, MODES),
        ({"layers": 0}, "layers"),
        ({"time_modes": 0}, "time_modes"),
        ({"latent_frames": 2}, r"latent_frames must be above 2 time_modes \(2\)\), found 2"),
        ({"input_times": 2}, r"input_times: expected no such key \(it follows from the experiment\), found 2"),
    ],
    "transform_once": [
        ({"modes": 0}, MODES),
        ({"modes": (2, 2, 2)}, MODES),
        ({"layers": 0}, "layers"),
        ({"projection_width": 0}, "projection_width"),
    ],
    "sinenet": [({"waves": 0}, "waves"), ({"levels": 1}, "levels"), ({"growth": 0.9}, "growth")],
    "mgno": [
        ({"levels": 0}, "levels"),
        ({"layers": 0}, "layers"),
        ({"smoothing_steps": 0}, "smoothing_steps"),
        ({"post_smoothing_steps": 0}, "post_smoothing_steps"),
    ],
    "lsm": [
        ({"width": 12, "heads": 8}, r"heads must divide width 12\), found 8"),
        ({"tokens": 0}, "tokens"),
        ({"basis": 0}, "basis"),
        ({"patch_size": 0}, "patch_size"),
        ({"projection_width": 0}, "projection_width"),
    ],
    "unet": [({"levels": 0}, "levels"), ({"kernel_size": 4}, "kernel_size")],
    "continuous_unet": [({"levels": 0}, "levels"), ({"points": 0}, "points")],
    "dilated_resnet": [
        ({"blocks": 0}, "blocks"),
        ({"dilations": []}, "dilations must be a list"),
        ({"dilations": [1, 0]}, "dilations must be a list"),
    ],
    "scot": [
        ({"width": 9, "heads": 3}, r"heads must divide half of width 9\), found 3"),
        ({"layers": 0}, "layers"),
        ({"window_size": 0}, "window_size"),
        ({"skip_blocks": 0}, "skip_blocks"),
        ({"kernel_size": 4}, "kernel_size"),
    ],
    "convolutional": [({"layers": 1}, "layers"), ({"kernel_size": 4}, "kernel_size")],
}
"""Arguments in place of those of a case, and what the refusal says."""

GRIDS: dict[str, list[tuple[tuple[int, ...], str]]] = {
    **{
        name: [((12, 6), "at least 7 × 7 points; got 12 × 6"), ((8, 8, 8), "at least 7 × 7 points")]
        for name in ("fno", "ffno", "ifno", "ufno", "iufno", "fifno", "sfno")
    },
    "transform_once": [((4, 8), "at least 5 × 5 points; got 4 × 8"), ((8, 8, 8), "at least 5 × 5 points")],
    "ifactformer_o": [((8, 4), "at least 5 points where it has 4"), ((8, 8, 8), "2 axes; got 3")],
    "ifactformer_m": [((4, 8), "at least 5 points where it has 4"), ((8, 8, 8), "2 axes; got 3")],
    "tno": [((9, 12), "whole patches of 2"), ((8, 4), "at least 6 × 6 points; got 8 × 4"), ((8, 8, 8), "2 axes")],
    "iafno": [((9, 12), "whole patches of 2"), ((8, 12), "at least 10 × 10 points; got 8 × 12"), ((8, 8, 8), "2 axes")],
    "sinenet": [((8, 9), "2 n × 2 n points with whole n; got 8 × 9")],
    "lsm": [((16, 10), "4 n × 4 n points with whole n; got 16 × 10")],
    "unet": [((8, 7), "2 n × 2 n points with whole n; got 8 × 7")],
    "continuous_unet": [((6, 8), "multiples of 4 × 4 points; got 6 × 8"), ((4, 5), "2 n × 2 n points")],
    "scot": [((8, 6), "4 n × 4 n points with whole n; got 8 × 6"), ((8, 12), "window_size: a level of 2 × 3 points")],
}
"""Grids that the operator of a case cannot have, and what the refusal says."""

# MgNO, the convolutional network and the dilated one take any grid.
ANY_GRID = {"mgno", "convolutional", "dilated_resnet"}


def test_every_operator_is_tested() -> None:
    assert set(ARGUMENTS) == set(OPERATORS)
    assert set(GRIDS) | ANY_GRID == set(OPERATORS)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [(name, *refused) for name, table in ARGUMENTS.items() for refused in [({"width": 0}, "width"), *table]],
)
def test_impossible_arguments_are_refused(name: str, arguments: dict[str, Any], message: str) -> None:
    given = {**CASES[name].arguments, **arguments}
    with pytest.raises(Exception, match=message):
        build_operator(name, given, in_channels=1, out_channels=1, dimension=2)


@pytest.mark.parametrize("dimension", [1, 4])
@pytest.mark.parametrize("name", OPERATORS)
def test_other_dimensions_are_refused(name: str, dimension: int) -> None:
    with pytest.raises(Exception, match=f"dimension must be 2 or 3; got {dimension}"):
        build_operator(name, CASES[name].arguments, in_channels=1, out_channels=1, dimension=dimension)


@pytest.mark.parametrize(
    "name", ["fno", "ffno", "ifno", "ufno", "iufno", "fifno", "sfno", "ifactformer_o", "ifactformer_m"]
)
def test_a_box_with_another_number_of_axes_is_refused(name: str) -> None:
    with pytest.raises(Exception, match="axes must be 2; got 3"):
        build(name, 2, axes=[Axis(1.0)] * 3)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ((Axis(1.0), Axis(1.3)), "points: no whole number of nodes fits into the side 1.3"),
        ((Axis(1.0), Axis(1.0, periodic=False)), "periodic"),
    ],
)
def test_a_box_that_does_not_fit_is_refused(axes: tuple[Axis, ...], message: str) -> None:
    with pytest.raises(Exception, match=message):
        build("continuous_unet", 2, axes=axes)


@pytest.mark.parametrize(
    ("name", "points", "message"), [(name, *refused) for name, table in GRIDS.items() for refused in table]
)
def test_a_grid_that_does_not_fit_is_refused(name: str, points: tuple[int, ...], message: str) -> None:
    operator = build(name, 2)
    with pytest.raises(ValueError, match=message):
        operator(torch.zeros(1, 3, *points, dtype=torch.float64))
