"""A neural operator as a stepper."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from eddymark.stepping.known_physics import KnownPhysics
from eddymark.stepping.trainable import TrainableStepper, root_mean_square


class Surrogate(TrainableStepper):
    """Predicts the increment over one output interval.

        u(t + T) = K(u(t), s_Δ · operator([u(t), …] / s_u, static fields))

    K is the known physics (exact decay, steady force, incompressibility, held shells), or plainly u + increment.
    One scale serves all components, so that the symmetries between them are kept.

    Arguments:
        operator: `(batch, history · d + static, *grid)` → `(batch, d, *grid)`.
        known_physics: exact part of the step; None: the network must learn everything.
        static_fields: fields an operator must see besides the state, `(static, *grid)`.
        interval: T, flow units.
        history: number of past outputs shown to the operator.
    """

    state_scale: Tensor
    increment_scale: Tensor
    static_fields: Tensor

    def __init__(
        self,
        operator: nn.Module,
        *,
        known_physics: KnownPhysics | None,
        static_fields: Tensor,
        interval: float,
        history: int,
    ) -> None:
        super().__init__(interval=interval, history=history)
        self.operator = operator
        self.known_physics = known_physics
        self.register_buffer("static_fields", static_fields, persistent=False)
        self.register_buffer("state_scale", static_fields.new_ones(()))
        self.register_buffer("increment_scale", static_fields.new_ones(()))

    def _free(self, velocity: Tensor) -> Tensor:
        """What the next state would be without the network, before constraints."""
        if self.known_physics is None:
            return velocity
        return self.known_physics.space.to_physical(self.known_physics.free(velocity))

    def fit_scales(self, windows: Tensor) -> None:
        """Set s_u to the rms of the velocity and s_Δ to the rms of what the network has to add."""
        self.state_scale.copy_(root_mean_square(windows))
        self.increment_scale.copy_(root_mean_square(windows[:, -1] - self._free(windows[:, -2])))

    def forward(self, past: Tensor) -> Tensor:
        """Return the next output, `(batch, history, component, *grid)` → `(batch, component, *grid)`."""
        features = past.flatten(1, 2) / self.state_scale
        if len(self.static_fields):
            static = self.static_fields.expand(len(past), *self.static_fields.shape)
            features = torch.cat([features, static], dim=1)
        increment = self.increment_scale * self.operator(features)
        if self.known_physics is None:
            return past[:, -1] + increment
        return self.known_physics(past[:, -1], increment)

    @property
    def constrains(self) -> bool:
        """Whether the known physics rescales held shells."""
        return self.known_physics is not None and self.known_physics.solver.forcing.constrains
