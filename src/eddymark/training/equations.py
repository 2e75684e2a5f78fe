"""The residual of the equations as a loss, and a constant of their closure that is learned from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from eddymark.closures.base import Closure
from eddymark.closures.build import build_closure
from eddymark.closures.learned_constant import LearnedConstant
from eddymark.config.equations import Equations as EquationsConfiguration
from eddymark.config.names import LEARNED_CONSTANTS
from eddymark.filters import filter_width
from eddymark.flows.base import Flow
from eddymark.solvers.norms import divergence_square, gradient_square, mean_square, sobolev_square
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.residual import CLASSICAL, differential_residual, integral_residual
from eddymark.stepping.rollout import BLOW_UP


class Equations(nn.Module):
    """By how much the states of a window miss the equations of LES, relative to the first of them.

        r = T (mean over times of ‖R‖²)^½ / ‖u(t₀)‖ + w (mean over times of ⟨(∂_i u_i)²⟩ / ⟨∂_j u_i ∂_j u_i⟩(t₀))^½

    R is the differential or the integral residual (`eddymark.solvers.residual`), T the output interval: what a
    residual makes of the state in an interval is measured as the error of a step is. The norm is a Sobolev norm
    (`eddymark.solvers.norms`). Of a model whose outputs are compared with no DNS, all that is known is u(t₀).

    With a known trajectory, the closure's constant is a parameter. It is learned from the residual of that trajectory
    alone: a model could make its own residual small by changing the equations, too.

    Arguments:
        solver: the equations on the grid of the states.
        closure: their subgrid-scale model, of class `LearnedConstant` if its constant is learned.
        interval: T, flow units.
        configuration: form, norm and weights.
        known: the known trajectory, `(time, d, *grid)`.

    Source: Zhao, Li, Fan, Wang, Yang & Wang (2025), J. Comput. Phys. 537, 114125 (LESnets): mean square of the
    differential residual; here relative, with the equations at both ends of the window, and u(t₀) given.
    """

    def __init__(
        self,
        solver: NavierStokes,
        *,
        closure: Closure,
        interval: float,
        configuration: EquationsConfiguration,
        known: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.solver = solver
        self.closure = closure
        self.interval = interval
        self.configuration = configuration
        self.known = known

    @property
    def constant(self) -> nn.Parameter | None:
        """The constant of the closure, a scalar, if it is learned."""
        return self.closure.value if isinstance(self.closure, LearnedConstant) else None

    def residual(self, states: Tensor) -> Tensor:
        """Return R of states `(batch, time, d, *grid)`, `(batch, fewer times, d, *grid)`."""
        chosen = self.configuration
        if chosen.form == "integral":
            return integral_residual(
                self.solver, states, interval=self.interval, steps=chosen.steps, closure=self.closure
            )
        return differential_residual(
            self.solver, states, interval=self.interval, order=chosen.order, ends=chosen.ends, closure=self.closure
        )

    def forward(self, states: Tensor) -> Tensor:
        """Return r of each window, `(batch,)`; differentiable.

        Arguments:
            states: u, `(batch, time, d, *grid)`, one output interval apart.
        """
        with self._held():
            return self._relative(states)

    def _relative(self, states: Tensor) -> Tensor:
        first = states[:, :1].detach()
        size = (self._square(self.residual(states)).mean(dim=1) / self._square(first)[:, 0]).clamp_min(_TINY)
        relative = self.interval * size.sqrt()
        weight = self.configuration.divergence_weight
        if not weight:
            return relative
        space = self.solver.space
        divergence = divergence_square(space.to_spectral(states[:, 1:]), space=space).mean(dim=1)
        gradient = gradient_square(space.to_spectral(first), space=space)[:, 0]
        return relative + weight * (divergence / gradient).clamp_min(_TINY).sqrt()

    def _square(self, field: Tensor) -> Tensor:
        """Return the squared norm of a field `(..., d, *grid)`, `(...)`."""
        space, order = self.solver.space, self.configuration.norm_order
        if order == 0:
            return mean_square(field, space=space)
        return sobolev_square(space.to_spectral(field), order=order, space=space)

    def loss(self, states: Tensor) -> Tensor:
        """Return the weighted mean of r over a batch of windows `(batch, time, d, *grid)`."""
        relative: Tensor = self(states)
        return self.configuration.weight * relative.mean()

    def loss_of_constant(self, times: int) -> Tensor:
        """Return r of a random window of the known trajectory; it alone has a gradient of the closure's constant.

        Arguments:
            times: number of states in the window.
        """
        assert self.known is not None
        start = int(torch.randint(len(self.known) - times + 1, ()))
        return self._relative(self.known[None, start : start + times]).mean()

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Give the constant no gradient of what is computed within."""
        constant = self.constant
        if constant is None:
            yield
            return
        # Not a copy without gradient: parallel training has to know the parameter from the start.
        constant.requires_grad_(False)
        try:
            yield
        finally:
            constant.requires_grad_(True)

    def compared(self, made: Tensor, truth: Tensor) -> Tensor:
        """Return r of what a model made and, as its floor, r of the filtered DNS, `(batch, 2)`.

        The DNS does not solve the equations of a closure on a coarse grid: no model should be expected to be below the
        floor for good reasons. What is not finite counts as a state given up for lost.

        Arguments:
            made, truth: `(batch, time, d, *grid)`, one output interval apart.
        """
        # One by one: what is made may be long.
        rows = [torch.cat([self(made[one : one + 1]), self(truth[one : one + 1])]) for one in range(len(made))]
        return torch.stack(rows).nan_to_num(nan=BLOW_UP, posinf=BLOW_UP)

    def continued(self, windows: Tensor) -> Tensor:
        """Return windows whose last state is what the equations make of the one before, instead of that of the DNS.

        Arguments:
            windows: `(batch, time, d, *grid)`.
        """
        return torch.cat([self._continued(part) for part in windows.split(_BATCH)])

    def _continued(self, windows: Tensor) -> Tensor:
        space, before = self.solver.space, windows[:, -2]
        steps = CLASSICAL.steps(self.solver.courant_rate(before), self.interval)
        spectrum = space.to_spectral(before)
        made = CLASSICAL.advance(self.solver, spectrum, self.interval, steps=steps, closure=self.closure)
        return torch.cat([windows[:, :-1], space.to_physical(made).unsqueeze(1)], dim=1)


_BATCH = 16
_TINY = 1e-30
"""Below this square of r nothing is left to minimise; the root's derivative would not be finite."""


def build_equations(
    flow: Flow,
    configuration: EquationsConfiguration,
    *,
    dtype: torch.dtype,
    device: torch.device | str,
    known: Tensor | None = None,
) -> Equations:
    """Return the equations which a training asks for.

    Arguments:
        flow: the flow.
        configuration: the section of the objective.
        dtype, device: of the states.
        known: the known trajectory if a constant is learned, `(time, d, *grid)`.
    """
    solver = flow.solver(flow.coarse_grid, dtype=dtype, device=device)
    closure = build_closure(
        configuration.closure,
        space=solver.space,
        filter_width=filter_width(solver.grid),
        viscosity=flow.configuration.viscosity,
    )
    if configuration.learned_constant is not None:
        name = LEARNED_CONSTANTS[configuration.closure.type]
        closure = LearnedConstant(closure, name, dtype=dtype, device=device)
    interval = flow.configuration.interval
    return Equations(solver, closure=closure, interval=interval, configuration=configuration, known=known)
