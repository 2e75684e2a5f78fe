"""A neural operator as a stepper."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from eddymark.stepping.constraints import Constraints
from eddymark.stepping.known_physics import KnownPhysics, next_state, shell_variances
from eddymark.stepping.refinement import Refinement
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

    With `component_variances`, what is not solenoidal is taken from each component according to its mean square, in
    each shell, in what the network has to give (`known_physics.solenoidal`): what varies most errs most.

    With lead times, a call may go over n output intervals at once, up to the longest lead time m: the operator is told
    n / m, the known physics is that over n T, and s is fitted for each n.

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
        lead_times: m, for an operator that takes a lead time as a second argument; None: it is not told any.
        component_variances: whether incompressibility is restored with variances from the training data.

    Attributes:
        refinement: what fits the last layer of the operator to the equations in every call; None: nothing does. It has
            no part in training.

    Source: bundles: Brandstetter, Worrall & Welling (2022), Message Passing Neural PDE Solvers, ICLR, section 3.1;
    there, increments count from the last known state instead of from each other.
    """

    state_scale: Tensor
    increment_scale: Tensor
    static_fields: Tensor
    error_variances: Tensor | None

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
        lead_times: int | None = None,
        component_variances: bool = False,
    ) -> None:
        super().__init__(interval=interval, history=history, outputs=outputs, constraints=constraints)
        self.operator = operator
        self.known_physics = known_physics
        self.lead_times = lead_times
        longer = range(2, (lead_times or 1) + 1)
        self._physics = [known_physics, *(known_physics and known_physics.over(n) for n in longer)]
        self.output = output
        self.autocast = autocast
        self.refinement: Refinement | None = None
        self.register_buffer("static_fields", static_fields, persistent=False)
        self.register_buffer("state_scale", static_fields.new_ones(()))
        self.register_buffer("increment_scale", static_fields.new_ones(() if lead_times is None else lead_times))
        variances = None
        if component_variances:
            assert known_physics is not None
            space = known_physics.space
            variances = static_fields.new_ones(space.grid.dimension, int(space.shells.max()) + 1)
        self.register_buffer("error_variances", variances)

    def _free(self, velocity: Tensor, lead_time: int) -> Tensor:
        """What the next state would be without the network, before constraints."""
        if self.output == "direct":
            return torch.zeros_like(velocity)
        physics = self._physics[lead_time - 1]
        return velocity if physics is None else physics.space.to_physical(physics.free(velocity))

    def fit_scales(self, windows: Tensor) -> None:
        """Set s_u to the rms of the velocity and s to the rms of what the network has to give.

        Arguments:
            windows: `(n, history + 1, component, *grid)`, or as many more outputs as the longest lead time has.
        """
        self.state_scale.copy_(root_mean_square(windows))
        last = self.history - 1
        for lead_time in range(1, (self.lead_times or 1) + 1):
            left = windows[:, last + lead_time] - self._free(windows[:, last], lead_time)
            self._scale(lead_time).copy_(root_mean_square(left))
            if lead_time == 1 and self.error_variances is not None:
                assert self.known_physics is not None
                self.error_variances.copy_(shell_variances(self.known_physics.space, left))

    def _scale(self, lead_time: int) -> Tensor:
        return self.increment_scale if self.lead_times is None else self.increment_scale[lead_time - 1]

    def forward(self, past: Tensor, lead_time: int = 1) -> Tensor:
        """Return the next output, `(batch, history, component, *grid)` → `(batch, component, *grid)`.

        With several outputs, return all of them, `(batch, outputs, component, *grid)`.

        Arguments:
            past: the outputs so far.
            lead_time: output intervals from the last of them to the next one, at most `lead_times`.
        """
        features = past.flatten(1, 2) / self.state_scale
        if len(self.static_fields):
            static = self.static_fields.expand(len(past), *self.static_fields.shape)
            features = torch.cat([features, static], dim=1)
        if self.refinement is not None:
            scale, variances = self._scale(lead_time), self.error_variances
            refined = self.refinement(
                self.operator, features, past, scale=scale, autocast=self.autocast, variances=variances
            )
            return refined if self.outputs > 1 else refined[:, 0]
        told = [] if self.lead_times is None else [features.new_full((len(past),), lead_time / self.lead_times)]
        learned = self._scale(lead_time) * evaluated(self.operator, features, self.autocast, *told)
        if self.outputs == 1:
            return self._next(past[:, -1], learned, lead_time)
        made = [past[:, -1]]
        for part in learned.unflatten(1, (self.outputs, -1)).unbind(1):
            made.append(self._next(made[-1], part))
        return torch.stack(made[1:], dim=1)

    def _next(self, velocity: Tensor, learned: Tensor, lead_time: int = 1) -> Tensor:
        """Return the state some intervals after another one, `(batch, d, *grid)`."""
        physics = self._physics[lead_time - 1]
        variances = self.error_variances
        following = next_state(velocity, learned, physics=physics, output=self.output, variances=variances)
        return self.constrained(following)

    @property
    def output_scale(self) -> Tensor:
        """What the output of the operator is multiplied by."""
        return self._scale(1)

    @property
    def constrains(self) -> bool:
        """Whether the known physics rescales held shells."""
        return self.known_physics is not None and self.known_physics.constrains
