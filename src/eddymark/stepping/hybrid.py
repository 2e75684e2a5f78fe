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

    With a history of H > 1 outputs, the network also sees how each component has changed at each point: coefficients of
    the past outputs in the discrete Legendre (Gram) polynomials p_n of degrees 1 … H − 1, orthonormal on H equal steps,

        c_n = Σ_{j=0}^{H−1} p_n(j) u(t − (H − 1 − j) T) / s_n

    Together with u(t) they say as much as the outputs themselves, but each has an rms of one, and they are zero where
    nothing changes.

    Arguments:
        simulation: the LES; its solver also supplies P and C.
        operator: `(batch, (H + 1) d + static, *grid)` → `(batch, d, *grid)`.
        static_fields: fields the network must see besides the state, `(static, *grid)`.
        autocast: precision of products inside the operator; the LES keeps that of the state.
        exact_momentum: whether the correction leaves the mean flow as the LES makes it.
        constraints: what acts on each output in the end and comes from reference data, if anything does.
        history: H.

    Source: Um et al. (2020), Solver-in-the-loop, NeurIPS 33; history: Sun, Yang & Yoo (2023), A Neural PDE Solver with
    Temporal Stencil Modeling, ICML (there scaled Legendre polynomials of all the past, and learned stencils for the
    fluxes instead of a correction); a sliding window as LegT of Gu et al. (2020), HiPPO, NeurIPS 33.
    """

    state_scale: Tensor
    change_scale: Tensor
    correction_scale: Tensor
    history_scale: Tensor
    polynomials: Tensor
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
        history: int = 1,
    ) -> None:
        super().__init__(interval=simulation.interval, history=history, constraints=constraints)
        self.simulation = simulation
        self.operator = operator
        self.autocast = autocast
        self.exact_momentum = exact_momentum
        self.register_buffer("static_fields", static_fields, persistent=False)
        for name in ("state_scale", "change_scale", "correction_scale"):
            self.register_buffer(name, static_fields.new_ones(()))
        self.register_buffer("history_scale", static_fields.new_ones(history - 1), persistent=history > 1)
        self.register_buffer("polynomials", discrete_legendre(history)[1:].to(static_fields), persistent=False)

    def fit_scales(self, windows: Tensor) -> None:
        """Set the scales to the rms of the velocity, of its change over an interval, and of the LES' error."""
        with torch.no_grad():
            simulated = torch.cat([self.simulation(part[:, None, -2]) for part in windows.split(16)])
        self.state_scale.copy_(root_mean_square(windows))
        self.change_scale.copy_(root_mean_square(simulated - windows[:, -2]))
        self.correction_scale.copy_(root_mean_square(windows[:, -1] - simulated))
        if self.history > 1:
            square = self._changes(windows[:, :-1]).square().flatten(2).mean(dim=(0, 2))
            # What never changes is not to be divided by nothing.
            self.history_scale.copy_(square.sqrt().maximum(torch.finfo(square.dtype).eps * self.state_scale))

    def _changes(self, past: Tensor) -> Tensor:
        """Return s_n c_n, `(batch, H − 1, component, *grid)`."""
        return torch.einsum("nh,bh...->bn...", self.polynomials, past)

    def forward(self, past: Tensor) -> Tensor:
        """Return the next output, `(batch, H, component, *grid)` → `(batch, component, *grid)`."""
        simulated = self.simulation(past)
        features = [simulated / self.state_scale, (simulated - past[:, -1]) / self.change_scale]
        if self.history > 1:
            scale = self.history_scale.reshape(-1, *(1,) * (past.dim() - 2))
            features.append((self._changes(past) / scale).flatten(1, 2))
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


def discrete_legendre(count: int) -> Tensor:
    """Return the polynomials of degrees 0 … n − 1, orthonormal on n equal steps, `(degree, step)`; last values > 0.

    Source: Gram polynomials; Lanczos' recurrence in x, orthogonalised against all before.
    """
    steps = torch.linspace(-1, 1, count, dtype=torch.float64)
    rows = [torch.full_like(steps, count**-0.5)]
    while len(rows) < count:
        row = steps * rows[-1]
        # Twice, as rounding errors of the first time grow with the degree.
        for _ in range(2):
            for other in rows:
                row = row - (row @ other) * other
        rows.append(row / row.norm())
    return torch.stack(rows)
