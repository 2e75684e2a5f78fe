"""The network of a surrogate or a hybrid, as its section of the experiment describes it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from eddymark.closures.learned import LearnedClosure
from eddymark.config.schema import Surrogate
from eddymark.config.steppers import learns_closure
from eddymark.flows.base import Flow
from eddymark.operators.axes import Axis
from eddymark.operators.boosted import BoostedOperator
from eddymark.operators.build import build_operator, require_lead_time
from eddymark.operators.last_layer import require_linear_last_layer
from eddymark.stepping.hybrid import Hybrid
from eddymark.stepping.large_eddy_simulation import LargeEddySimulation
from eddymark.stepping.surrogate import Surrogate as SurrogateStepper
from eddymark.stepping.trainable import TrainableStepper


def build_network(flow: Flow, model: str, *, static_fields: int, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """Return the network of a surrogate or a hybrid with initial weights, together with what it boosts.

    Arguments:
        flow: the flow.
        model: one of its surrogates.
        static_fields: number of fields which it sees besides states; that of a learned closure sees none.
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
        static_fields: number of fields which it sees besides states; that of a learned closure sees none.

    Raises:
        OperatorError: if an operator cannot be built, fails or returns a wrong shape on the flow's grid, or is to be
            refined and has no linear last layer.
    """
    surrogate = flow.configuration.surrogates[model]
    assert surrogate.operator is not None
    dimension = flow.coarse_grid.dimension
    in_channels, out_channels = _channels(surrogate, dimension=dimension, static_fields=static_fields)
    operator = build_operator(
        surrogate.operator.type,
        surrogate.operator.arguments,
        in_channels=in_channels,
        out_channels=out_channels,
        dimension=dimension,
        axes=[Axis(side) for side in flow.coarse_grid.sides],
        points=flow.coarse_grid.points,
        # What a hybrid sees beside the state of its solver is no state.
        times=(surrogate.history if surrogate.kind == "surrogate" else 1, surrogate.bundle),
    )
    if surrogate.objective.lead_times is not None:
        require_lead_time(surrogate.operator.type, operator)
    if surrogate.refinement is not None:
        require_linear_last_layer(surrogate.operator.type, operator)
    if surrogate.boosts is None:
        return operator
    return BoostedOperator(untrained_network(flow, surrogate.boosts, static_fields=static_fields), operator)


def _channels(surrogate: Surrogate, *, dimension: int, static_fields: int) -> tuple[int, int]:
    """Return how many channels the network of a surrogate or a hybrid sees, and how many it gives."""
    if learns_closure(surrogate):
        assert surrogate.solver is not None
        return LearnedClosure.channels(dimension, **surrogate.solver.closure.arguments)
    frames = surrogate.history + 1 if surrogate.kind == "hybrid" else surrogate.history
    out_channels = surrogate.bundle * dimension
    return frames * dimension + static_fields + (out_channels if surrogate.boosts else 0), out_channels


def network_of(stepper: TrainableStepper, dimension: int) -> tuple[nn.Module, int] | None:
    """Return the network of a model and how many channels it is given; None for an LES without one.

    Arguments:
        stepper: the model.
        dimension: number of grid axes.
    """
    if isinstance(stepper, SurrogateStepper | Hybrid):
        frames = stepper.history + 1 if isinstance(stepper, Hybrid) else stepper.history
        return stepper.operator, frames * dimension + len(stepper.static_fields)
    closure = stepper.closure if isinstance(stepper, LargeEddySimulation) else None
    if not isinstance(closure, LearnedClosure):
        return None
    return closure.operator, closure.channels(dimension, input=closure.input)[0]


def _converted(module: nn.Module, *, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """Return a module in another precision; complex weights stay complex, where `Module.to` would make them real."""

    def convert(value: Tensor) -> Tensor:
        if value.is_complex():
            return value.to(device=device, dtype=dtype.to_complex())
        return value.to(device=device, dtype=dtype if value.is_floating_point() else value.dtype)

    return module._apply(convert)
