"""By how much states at successive output times miss the equations of large-eddy simulation (or of a DNS).

One definition for everything that asks: the right-hand side is the solver's own, with the closure of whoever asks, and
a residual is a rate of change. States are `(batch, time, d, *grid)`, one output interval apart.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddymark.closures.base import Closure
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.time_integration import TimeIntegration

CLASSICAL = TimeIntegration("runge_kutta_4", 1.0)


def differential_residual(
    solver: NavierStokes,
    states: Tensor,
    *,
    interval: float,
    order: int,
    ends: bool = True,
    closure: Closure | None = None,
) -> Tensor:
    """Return the residual of the equations with finite differences in time; differentiable.

        R(t_n) = (∂u/∂t)(t_n) − F(u(t_n)),    F = solver.tendency

    Differences are central where the window allows. At its ends they are one-sided, of the same order, or with
    `ends=False` left out: n unknown states have n − 1 central differences of second order between them, which an
    oscillation from one output to the next passes unseen.

    Arguments:
        solver: the equations.
        states: u, `(batch, time, d, *grid)`, at least order + 1 times.
        interval: time between states, flow units.
        order: of the differences, 2 or 4.
        ends: whether the equations are asked for at all times, or where differences are central.
        closure: subgrid-scale model; None for DNS.

    Returns:
        R, `(batch, time, d, *grid)`, with order fewer times without ends.

    Raises:
        ValueError: if there are too few states, or the force holds shells: it is a constraint on states after each
            step, and no part of F.
    """
    if solver.forcing.constrains:
        raise ValueError("a force that holds shells is no part of the tendency; only solver steps see it")
    times = states.shape[1]
    if times <= order:
        raise ValueError(f"differences of order {order} need {order + 1} states; got {times}")
    weights = torch.as_tensor(_difference_weights(times, order, ends) / interval).to(states)
    rate = torch.einsum("nt,bt...->bn...", weights, states)
    known = states if ends else states[:, order // 2 : times - order // 2]
    tendency = solver.tendency(known.flatten(0, 1), closure)
    return rate - tendency.unflatten(0, known.shape[:2])


def integral_residual(
    solver: NavierStokes,
    states: Tensor,
    *,
    interval: float,
    steps: int,
    closure: Closure | None = None,
    integration: TimeIntegration = CLASSICAL,
) -> Tensor:
    """Return the residual of the equations integrated over each output interval T; differentiable.

        R_n = (u_{n+1} − S_T(u_n)) / T

    S_T are equal steps of the solver, held shells included.

    Arguments:
        solver: the equations.
        states: u, `(batch, time, d, *grid)`, at least 2 times.
        interval: T, flow units.
        steps: solver steps per interval.
        closure: subgrid-scale model; None for DNS.
        integration: method; the number of steps is given, so that its Courant number does not matter.

    Returns:
        R, `(batch, time − 1, d, *grid)`.

    Raises:
        ValueError: if there is only one state.
    """
    if states.shape[1] < 2:
        raise ValueError("the equations cannot be integrated between fewer than 2 states; got 1")
    space = solver.space
    before = states[:, :-1]
    spectrum = space.to_spectral(before.flatten(0, 1))
    made = space.to_physical(integration.advance(solver, spectrum, interval, steps=steps, closure=closure))
    return (states[:, 1:] - made.unflatten(0, before.shape[:2])) / interval


@cache
def _difference_weights(times: int, order: int, ends: bool) -> NDArray[np.float64]:
    """Return the weights of all states in each first difference, over a unit interval, `(difference, time)`.

    Each difference is the derivative of the polynomial through the order + 1 states nearest to its time.
    """
    asked = range(times) if ends else range(order // 2, times - order // 2)
    weights = np.zeros((len(asked), times))
    for row, time in enumerate(asked):
        first = min(max(time - order // 2, 0), times - order - 1)
        offsets = np.arange(first, first + order + 1) - time
        # The derivatives of 1, x, x² … at 0 are 0, 1, 0 ….
        powers = np.vander(offsets, increasing=True).T.astype(float)
        weights[row, first : first + order + 1] = np.linalg.solve(powers, np.eye(order + 1)[1])
    return weights
