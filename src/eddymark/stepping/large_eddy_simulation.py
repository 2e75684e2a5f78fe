"""DNS and LES as steppers."""

from __future__ import annotations

import torch
from torch import Tensor

from eddymark.closures.base import Closure
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.time_integration import TimeIntegration, compiled_steps
from eddymark.stepping.trainable import TrainableStepper

MOST_STEPS_PER_OUTPUT = 256
"""A state that would need more steps per output has blown up; it is given up instead of grinding on."""


class LargeEddySimulation(TrainableStepper):
    """Solves the filtered equations with a closure, in as few equal steps per output as the Courant number allows.

    On the DNS grid without closure this is the DNS. The parameters of a fitted closure are trained through the solver.

    Arguments:
        solver: the equations on the grid of the states.
        closure: subgrid-scale model.
        integration: method and Courant number.
        interval: time between outputs, flow units.
    """

    def __init__(
        self, solver: NavierStokes, *, closure: Closure, integration: TimeIntegration, interval: float
    ) -> None:
        super().__init__(interval=interval, history=1)
        self.solver = solver
        self.closure = closure
        self.integration = integration

    @property
    def solver_code(self) -> str:
        """What takes the steps where no gradients are wanted: `compiled` or `torch`."""
        return "torch" if compiled_steps(self.solver, self.closure) is None else "compiled"

    def fit_scales(self, windows: Tensor) -> None:
        """Fit the scales of the closure, if it has any, to training windows `(n, history + 1, component, *grid)`."""
        self.closure.fit_scales(windows.flatten(0, 1))

    def forward(self, past: Tensor) -> Tensor:
        """Return the next output, `(batch, 1, component, *grid)` → `(batch, component, *grid)`; NaN if it is lost."""
        velocity = past[:, -1]
        # A trajectory that has blown up must not take the others of its batch with it.
        rate = self.solver.courant_rate(velocity)
        lost = ~(rate * (self.interval / self.integration.courant_number) <= MOST_STEPS_PER_OUTPUT)
        if bool(lost.any()):
            output = torch.full_like(velocity, torch.nan)
            if not bool(lost.all()):
                output[~lost] = self._advance(velocity[~lost], rate[~lost])
            return output
        return self._advance(velocity, rate)

    def _advance(self, velocity: Tensor, courant_rate: Tensor) -> Tensor:
        spectrum = self.integration.advance(
            self.solver,
            self.solver.space.to_spectral(velocity),
            self.interval,
            steps=self.integration.steps(courant_rate, self.interval),
            closure=self.closure,
        )
        return self.solver.space.to_physical(spectrum)
