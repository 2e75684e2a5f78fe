from __future__ import annotations

import math

import pytest
import torch

from eddymark.operators.axes import Axis


def test_a_periodic_axis_leaves_out_its_end_point_and_a_wall_has_it() -> None:
    assert Axis(4.0).places(4).tolist() == [0, 1, 2, 3]
    assert Axis(3.0, periodic=False).places(4).tolist() == [0, 1, 2, 3]


def test_weights_integrate_periodic_waves_exactly() -> None:
    axis = Axis(2 * math.pi)
    assert float(axis.weights(12).sum()) == pytest.approx(2 * math.pi)
    assert float(axis.weights(12) @ torch.cos(5 * axis.places(12)) ** 2) == pytest.approx(math.pi)


def test_weights_of_a_stretched_axis_integrate_lines_exactly() -> None:
    places = tuple(1 - math.cos(math.pi * j / 16) for j in range(17))
    axis = Axis(2.0, periodic=False, coordinates=places)
    assert float(axis.weights(17).sum()) == pytest.approx(2.0)
    assert float(axis.weights(17) @ axis.places(17)) == pytest.approx(2.0)
    assert float(axis.weights(17) @ torch.sin(axis.places(17))) == pytest.approx(1 - math.cos(2), rel=0.01)


def test_weights_of_a_stretched_periodic_axis_close_the_circle() -> None:
    axis = Axis(4.0, coordinates=(0.0, 1.0, 3.0))
    assert axis.weights(3).tolist() == [1.0, 1.5, 1.5]


def test_impossible_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="side"):
        Axis(0.0)
    with pytest.raises(ValueError, match="increase"):
        Axis(1.0, coordinates=(0.0, 0.0))
    with pytest.raises(ValueError, match="3 points; got 4"):
        Axis(1.0, coordinates=(0.0, 0.3, 0.6)).places(4)
