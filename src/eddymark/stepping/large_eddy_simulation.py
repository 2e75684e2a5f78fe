"""DNS and LES as steppers."""

from __future__ import annotations

from torch import Tensor

from eddymark.closures.base import Closure
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.time_integration import TimeIntegration
from eddymark.stepping.trainable import TrainableStepper

MOST_STEPS_PER_OUTPUT = 64
"""A coarse state that would need more steps per output is lost; it is let go instead of grinding on."""


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

    def forward(self, past: Tensor) -> Tensor:
        """Return the next output, `(batch, 1, component, *grid)` → `(batch, component, *grid)`."""
        velocity = past[:, -1]
        steps = min(self.integration.steps(self.solver, velocity, self.interval), MOST_STEPS_PER_OUTPUT)
        spectrum = self.integration.advance(
            self.solver,
            self.solver.space.to_spectral(velocity),
            self.interval,
            steps=steps,
            closure=self.closure,
        )
        return self.solver.space.to_physical(spectrum)
