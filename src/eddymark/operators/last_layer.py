"""Operators whose last layer is linear, in two parts: what it acts on, and what it makes of that."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from eddymark.config.findings import Problem, show
from eddymark.operators.build import ForeignOperator, OperatorError


@runtime_checkable
class LinearLastLayer(Protocol):
    """What an operator has beside `forward` if its last layer is linear and acts on each Fourier mode by itself."""

    def with_features(self, field: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `forward` returns, and the features of which the last layer makes it.

        Arguments:
            field: the input, `(batch, in_channels, *grid)`.

        Returns:
            output `(batch, out_channels, *grid)`, features `(batch, feature, *grid)`.
        """
        ...


def require_linear_last_layer(type: str, operator: nn.Module) -> None:
    """Raise an OperatorError unless the last layer of an operator is linear, and the operator can be called in two.

    Arguments:
        type: how the experiment calls it.
        operator: the module.
    """
    if not isinstance(_own(operator), LinearLastLayer):
        expected = "an operator with a linear last layer and a method with_features, such as sfno (it has a refinement)"
        raise OperatorError(type, Problem(("type",), expected, show(type)))


def with_features(operator: nn.Module, field: Tensor) -> tuple[Tensor, Tensor]:
    """Return output and features of an operator with a linear last layer; see `LinearLastLayer`."""
    module = _own(operator)
    assert isinstance(module, LinearLastLayer)
    return module.with_features(field)


def _own(operator: nn.Module) -> nn.Module:
    return operator.module if isinstance(operator, ForeignOperator) else operator
