"""A coarse solver corrected by a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from eddymark.stepping.constraints import Constraints
from eddymark.stepping.large_eddy_simulation import LargeEddySimulation
from eddymark.stepping.trainable import TrainableStepper, evaluated, root_mean_square


class Hybrid(TrainableStepper):
    """LES over one output interval, then a learned correction.

        u* = LES(u(t)),    u(t + T) = C P [ u* + s_Δ · network([u*, u* − u(t)] / scales) ]

    P is the projection onto solenoidal fields and C restores the shell energies which the flow's forcing holds. The
    gradient of an unrolled loss passes through the solver.

    Arguments:
        simulation: the LES; its solver also supplies P and C.
        operator: `(batch, 2 d + static, *grid)` → `(batch, d, *grid)`.
        static_fields: fields the network must see besides the state, `(static, *grid)`.
        autocast: precision of products inside the operator; the LES keeps that of the state.
        exact_momentum: whether the correction leaves the mean flow as the LES makes it.
        constraints: what acts on each output in the end and comes from reference data, if anything does.

    Source: Um et al. (2020), Solver-in-the-loop, NeurIPS 33.
    """

    state_scale: Tensor
    change_scale: Tensor
    correction_scale: Tensor
    static_fields: Tensor

    def __init__(
        self,
        simulation: LargeEddySimulation,
        *,
        operator: nn.Module,
        static_fields: Tensor,
        autocast: torch.dtype | None = None,
        exact_momentum: bool = False,
        constraints: Constraints | None = None,
    ) -> None:
        super().__init__(interval=simulation.interval, history=1, constraints=constraints)
        self.simulation = simulation
        self.operator = operator
        self.autocast = autocast
        self.exact_momentum = exact_momentum
        self.register_buffer("static_fields", static_fields, persistent=False)
        for name in ("state_scale", "change_scale", "correction_scale"):
            self.register_buffer(name, static_fields.new_ones(()))

    def fit_scales(self, windows: Tensor) -> None:
        """Set the scales to the rms of the velocity, of its change over an interval, and of the LES' error."""
        with torch.no_grad():
            simulated = torch.cat([self.simulation(part[:, None, -2]) for part in windows.split(16)])
        self.state_scale.copy_(root_mean_square(windows))
        self.change_scale.copy_(root_mean_square(simulated - windows[:, -2]))
        self.correction_scale.copy_(root_mean_square(windows[:, -1] - simulated))

    def forward(self, past: Tensor) -> Tensor:
        """Return the next output, `(batch, 1, component, *grid)` → `(batch, component, *grid)`."""
        simulated = self.simulation(past)
        features = [simulated / self.state_scale, (simulated - past[:, -1]) / self.change_scale]
        if len(self.static_fields):
            features.append(self.static_fields.expand(len(past), *self.static_fields.shape))
        correction = self.correction_scale * evaluated(self.operator, torch.cat(features, dim=1), self.autocast)
        solver = self.simulation.solver
        if self.exact_momentum:
            correction = correction - correction.mean(dim=solver.space.axes, keepdim=True)
        spectrum = solver.space.project(solver.space.to_spectral(simulated + correction))
        return self.constrained(solver.space.to_physical(solver.forcing.constrain(spectrum)))

    @property
    def output_scale(self) -> Tensor:
        """What the output of the network is multiplied by."""
        return self.correction_scale

    @property
    def constrains(self) -> bool:
        """Whether the flow's forcing rescales held shells."""
        return self.simulation.solver.forcing.constrains
