"""Operators in two parts: features, and the linear last layer which acts on each of their modes."""

from __future__ import annotations

import pytest
import torch

from eddymark.errors import EddymarkError
from eddymark.operators import OPERATORS
from eddymark.operators.build import ForeignOperator
from eddymark.operators.last_layer import LinearLastLayer, require_linear_last_layer, with_features
from tests.operators.cases import build, random_field

REFINABLE = ["fno", "ffno", "ifno", "ufno", "iufno", "fifno", "sfno"]


def test_these_operators_have_a_linear_last_layer() -> None:
    assert {name for name in OPERATORS if isinstance(build(name, 2), LinearLastLayer)} == set(REFINABLE)


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("name", REFINABLE)
def test_the_output_is_linear_in_the_features_mode_by_mode(name: str, dimension: int) -> None:
    operator, field = build(name, dimension), random_field(name, dimension)
    with torch.no_grad():
        output, features = with_features(operator, field)
        assert torch.equal(output, operator(field))
    assert features.shape[0] == 2
    assert features.shape[2:] == field.shape[2:]
    # At a wavenumber by itself, the outputs of many samples are the products of one matrix with their features.
    samples = 3 * features.shape[1]
    torch.manual_seed(3)
    fields = torch.randn(samples, 3, *field.shape[2:], dtype=torch.float64)
    with torch.no_grad():
        output, features = with_features(operator, fields)
    axes = tuple(range(2, fields.dim()))
    modes = [torch.fft.fftn(values, dim=axes, norm="forward")[(..., *[1] * dimension)] for values in (features, output)]
    matrix = torch.linalg.lstsq(modes[0], modes[1], driver="gelsd").solution
    torch.testing.assert_close(modes[0] @ matrix, modes[1], rtol=0, atol=1e-12)
    assert modes[1].abs().max() > 1e-4


def test_others_are_refused() -> None:
    for name in REFINABLE:
        require_linear_last_layer(name, build(name, 2))
    require_linear_last_layer("package.Operator", ForeignOperator(build("fno", 2)))
    message = "type: expected an operator with a linear last layer and a method with_features, such as sfno"
    with pytest.raises(EddymarkError, match=message):
        require_linear_last_layer("unet", build("unet", 2))
