"""The part of the physics that needs no learning, applied exactly."""

from __future__ import annotations

import torch
from torch import Tensor

from eddymark.solvers.periodic import NavierStokes


class KnownPhysics:
    """Advances the linear and the forced part of the equations exactly over one output interval.

        û(t + T) = C P [ exp(L T) û(t) + (exp(L T) − 1) / L · f̂ + N̂ ],    L = −ν k² − α

    f is the steady force, N the increment that a network supplies for everything else, P the projection onto
    solenoidal fields, and C restores the shell energies which the flow's forcing holds (identity for other forces).
    Nothing here comes from reference data: it is the flow's definition.

    Arguments:
        solver: the flow's equations on the grid of the states.
        interval: T, flow units.
    """

    def __init__(self, solver: NavierStokes, interval: float) -> None:
        self.solver = solver
        self.space = solver.space
        rate = solver.linear_rate()
        self._decay = torch.exp(rate * interval)
        steady = solver.forcing.steady
        # expm1(x)/x has the limit 1 where the mode does not decay.
        growth = torch.where(rate == 0, torch.ones_like(rate), torch.expm1(rate * interval) / (rate * interval))
        self._forced = None if steady is None else interval * growth * steady

    def free(self, velocity: Tensor) -> Tensor:
        """Return the spectrum that decay and steady force alone make of a state, `(batch, d, *modes)`."""
        spectrum = self._decay * self.space.to_spectral(velocity)
        return spectrum if self._forced is None else spectrum + self._forced

    def __call__(self, velocity: Tensor, increment: Tensor) -> Tensor:
        """Return the state one interval later.

        Arguments:
            velocity: u(t), `(batch, d, *grid)`.
            increment: what the network adds, same shape.
        """
        spectrum = self.space.project(self.free(velocity) + self.space.to_spectral(increment))
        return self.space.to_physical(self.solver.forcing.constrain(spectrum))
