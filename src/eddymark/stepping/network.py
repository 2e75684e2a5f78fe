"""The network of a surrogate or a hybrid, as its section of the experiment describes it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from eddymark.flows.base import Flow
from eddymark.operators.axes import Axis
from eddymark.operators.boosted import BoostedOperator
from eddymark.operators.build import build_operator, require_lead_time


def build_network(flow: Flow, model: str, *, static_fields: int, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """Return the network of a surrogate or a hybrid with initial weights, together with what it boosts.

    Arguments:
        flow: the flow.
        model: one of its surrogates.
        static_fields: number of fields which it sees besides states.
        dtype, device: of its weights.

    Raises:
        OperatorError: if an operator cannot be built, or fails on the flow's grid.
    """
    network = _converted(untrained_network(flow, model, static_fields=static_fields), dtype=dtype, device=device)
    if flow.configuration.surrogates[model].compile:
        network.compile()
    return network


def untrained_network(flow: Flow, model: str, *, static_fields: int) -> nn.Module:
    """Return the network of a surrogate or a hybrid as torch makes it, together with what it boosts.

    Arguments:
        flow: the flow.
        model: one of its surrogates.
        static_fields: number of fields which it sees besides states.

    Raises:
        OperatorError: if an operator cannot be built, or fails or returns a wrong shape on the flow's grid.
    """
    surrogate = flow.configuration.surrogates[model]
    assert surrogate.operator is not None
    dimension = flow.coarse_grid.dimension
    frames = 2 if surrogate.kind == "hybrid" else surrogate.history
    out_channels = surrogate.bundle * dimension
    operator = build_operator(
        surrogate.operator.type,
        surrogate.operator.arguments,
        in_channels=frames * dimension + static_fields + (out_channels if surrogate.boosts else 0),
        out_channels=out_channels,
        dimension=dimension,
        axes=[Axis(side) for side in flow.coarse_grid.sides],
        points=flow.coarse_grid.points,
        # What a hybrid sees beside the state of its solver is no state.
        times=(surrogate.history, surrogate.bundle),
    )
    if surrogate.objective.lead_times is not None:
        require_lead_time(surrogate.operator.type, operator)
    if surrogate.boosts is None:
        return operator
    return BoostedOperator(untrained_network(flow, surrogate.boosts, static_fields=static_fields), operator)


def _converted(module: nn.Module, *, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """Return a module in another precision; complex weights stay complex, where `Module.to` would make them real."""

    def convert(value: Tensor) -> Tensor:
        if value.is_complex():
            return value.to(device=device, dtype=dtype.to_complex())
        return value.to(device=device, dtype=dtype if value.is_floating_point() else value.dtype)

    return module._apply(convert)
