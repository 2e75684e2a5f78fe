"""Every operator with products in half precision, as `autocast` asks for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from eddymark.operators import OPERATORS
from eddymark.operators.build import build_operator
from tests.operators.cases import CASES, random_field


def apply(operator: nn.Module, field: Tensor, precision: torch.dtype | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return the output, and the gradients of a mean over it by the input and by all parameters, in float32."""
    operator.zero_grad()
    field = field.clone().requires_grad_()
    with torch.autocast("cpu", dtype=precision, enabled=precision is not None):
        output = operator(field)
    weights = torch.linspace(-1, 1, output.numel()).view_as(output)
    (weights * output.float()).mean().mul(100).backward()
    assert field.grad is not None
    gradients = [value.grad.flatten() for value in operator.parameters() if value.grad is not None]
    assert all(gradient.dtype == torch.float32 for gradient in gradients)
    return output.detach().float(), field.grad, torch.cat(gradients)


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("name", OPERATORS)
def test_bfloat16_changes_the_output_by_a_few_per_cent_and_leaves_gradients_finite(name: str, dimension: int) -> None:
    torch.manual_seed(0)
    # Norms over very few channels multiply what is rounded.
    arguments = CASES[name].arguments | {"width": 4 * CASES[name].arguments["width"]}
    operator = build_operator(name, arguments, in_channels=3, out_channels=2, dimension=dimension)
    field = random_field(name, dimension, batch=1).float()
    exact, rounded = apply(operator, field, None), apply(operator, field, torch.bfloat16)
    assert all(bool(values.isfinite().all()) for values in rounded)
    output, _, parameters = (
        float((full - half).norm() / full.norm()) for full, half in zip(exact, rounded, strict=True)
    )
    # Eight bits of mantissa; no difference at all would mean that nothing was rounded.
    assert 1e-4 < output < 0.04
    assert parameters < 0.15
