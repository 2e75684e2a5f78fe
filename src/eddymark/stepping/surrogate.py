"""A neural operator as a stepper."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from eddymark.stepping.constraints import Constraints
from eddymark.stepping.known_physics import KnownPhysics
from eddymark.stepping.trainable import TrainableStepper, evaluated, root_mean_square


class Surrogate(TrainableStepper):
    """Predicts one output, or the next n of them with one call of its operator (a temporal bundle).

        N_1 … N_n = s · operator([u(t), …] / s_u, static fields)
        increment:  u(t + i T) = K(u(t + (i − 1) T), N_i),    i = 1 … n
        direct:     u(t + i T) = C(N_i)

    K is the known physics (exact decay, steady force, incompressibility, held shells, mean flow), or plainly u + N; C
    are those parts of it which act on a state whatever the one before (incompressibility, held shells, mean flow). The
    network is called once per bundle, the known physics, and constraints after it, once per output. One scale serves
    all components, so that the symmetries between them are kept.

    Arguments:
        operator: `(batch, history · d + static, *grid)` → `(batch, outputs · d, *grid)`.
        known_physics: exact part of the step; None: the network must learn everything.
        static_fields: fields an operator must see besides the state, `(static, *grid)`.
        interval: T, flow units.
        history: number of past outputs shown to the operator.
        outputs: n.
        output: what the operator gives.
        autocast: precision of products inside the operator; the known physics keeps that of the state.
        constraints: what acts on each output after the known physics and comes from reference data, if anything does.

    Source: bundles: Brandstetter, Worrall & Welling (2022), Message Passing Neural PDE Solvers, ICLR, section 3.1;
    there, increments count from the last known state instead of from each other.
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
        outputs: int = 1,
        output: Literal["increment", "direct"] = "increment",
        autocast: torch.dtype | None = None,
        constraints: Constraints | None = None,
    ) -> None:
        super().__init__(interval=interval, history=history, outputs=outputs, constraints=constraints)
        self.operator = operator
        self.known_physics = known_physics
        self.output = output
        self.autocast = autocast
        self.register_buffer("static_fields", static_fields, persistent=False)
        self.register_buffer("state_scale", static_fields.new_ones(()))
        self.register_buffer("increment_scale", static_fields.new_ones(()))

    def _free(self, velocity: Tensor) -> Tensor:
        """What the next state would be without the network, before constraints."""
        if self.output == "direct":
            return torch.zeros_like(velocity)
        if self.known_physics is None:
            return velocity
        return self.known_physics.space.to_physical(self.known_physics.free(velocity))

    def fit_scales(self, windows: Tensor) -> None:
        """Set s_u to the rms of the velocity and s to the rms of what the network has to give."""
        self.state_scale.copy_(root_mean_square(windows))
        self.increment_scale.copy_(root_mean_square(windows[:, -1] - self._free(windows[:, -2])))

    def forward(self, past: Tensor) -> Tensor:
        """Return the next output, `(batch, history, component, *grid)` → `(batch, component, *grid)`.

        With several outputs, return all of them, `(batch, outputs, component, *grid)`.
        """
        features = past.flatten(1, 2) / self.state_scale
        if len(self.static_fields):
            static = self.static_fields.expand(len(past), *self.static_fields.shape)
            features = torch.cat([features, static], dim=1)
        learned = self.increment_scale * evaluated(self.operator, features, self.autocast)
        if self.outputs == 1:
            return self._next(past[:, -1], learned)
        made = [past[:, -1]]
        for part in learned.unflatten(1, (self.outputs, -1)).unbind(1):
            made.append(self._next(made[-1], part))
        return torch.stack(made[1:], dim=1)

    def _next(self, velocity: Tensor, learned: Tensor) -> Tensor:
        """Return the state one interval after another one, `(batch, d, *grid)`."""
        if self.output == "direct":
            made = learned if self.known_physics is None else self.known_physics.constrain(velocity, learned)
        elif self.known_physics is None:
            made = velocity + learned
        else:
            made = self.known_physics(velocity, learned)
        return self.constrained(made)

    @property
    def output_scale(self) -> Tensor:
        """What the output of the operator is multiplied by."""
        return self.increment_scale

    @property
    def constrains(self) -> bool:
        """Whether the known physics rescales held shells."""
        return self.known_physics is not None and self.known_physics.constrains
