"""Exponential Runge–Kutta methods: viscosity is integrated exactly, and what balances it is kept exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from eddymark.config.findings import nearest_name
from eddymark.errors import EddymarkError
from eddymark.solvers.channel.flow import ChannelFlow

if TYPE_CHECKING:
    from eddymark.closures.channel import ChannelClosure

Nonlinear = Callable[[Tensor], Tensor]


def exponential_functions(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return φ_1, φ_2, φ_3 of real z ≤ 0: φ_1 = (eᶻ − 1) / z, φ_{n+1} = (φ_n − 1 / n!) / z.

    Source: Hochbruck & Ostermann (2010), Acta Numerica 19, 209.
    """
    near = z > -1.0
    inside, outside = torch.where(near, z, -0.5), torch.where(near, -1.0, z)
    # Near 0 the recurrence cancels; the series of φ_3 converges there, and the recurrence backwards is stable.
    third = torch.zeros_like(z)
    for n in range(17, -1, -1):
        third = 1 / math.factorial(n + 3) + inside * third
    second = 0.5 + inside * third
    first = 1 + inside * second
    far_first = torch.expm1(outside) / outside
    far_second = (far_first - 1) / outside
    far_third = (far_second - 0.5) / outside
    return (
        torch.where(near, first, far_first),
        torch.where(near, second, far_second),
        torch.where(near, third, far_third),
    )


class ExponentialRungeKutta3:
    """Third-order method with three stages.

        a = E^½ û + (Δt/2) φ_1(z/2) N(û),    b = E û + Δt φ_1(z) (2 N(a) − N(û)),    z = L Δt, E = eᶻ
        û ← E û + Δt [(φ_1 − 3 φ_2 + 4 φ_3) N(û) + (4 φ_2 − 8 φ_3) N(a) + (4 φ_3 − φ_2) N(b)]

    Source: Cox & Matthews (2002), J. Comput. Phys. 176, 430, Eqs. 23–25.
    """

    order = 3
    stability_limit = 1.7
    """Largest stable Courant number on the imaginary axis (√3)."""

    def __init__(self, linear_rate: Tensor, step: float) -> None:
        # In double precision, whatever that of the states is: the weights are small differences.
        z = linear_rate.double() * step
        first, second, third = exponential_functions(z)
        weights = (
            (z / 2).exp(),
            z.exp(),
            step / 2 * exponential_functions(z / 2)[0],
            step * first,
            step * (first - 3 * second + 4 * third),
            step * (4 * second - 8 * third),
            step * (4 * third - second),
        )
        self.half, self.full, self.to_half, self.to_full, *self.weights = (w.to(linear_rate) for w in weights)

    def __call__(self, nonlinear: Nonlinear, spectrum: Tensor) -> Tensor:
        """Return û one step later."""
        first = nonlinear(spectrum)
        second = nonlinear(self.half * spectrum + self.to_half * first)
        third = nonlinear(self.full * spectrum + self.to_full * (2 * second - first))
        w = self.weights
        return self.full * spectrum + w[0] * first + w[1] * second + w[2] * third


class ExponentialRungeKutta4:
    """Fourth-order method with four stages.

        a = E^½ û + (Δt/2) φ_1(z/2) N(û),    b = E^½ û + (Δt/2) φ_1(z/2) N(a),    z = L Δt, E = eᶻ
        c = E^½ a + (Δt/2) φ_1(z/2) (2 N(b) − N(û))
        û ← E û + Δt [(φ_1 − 3 φ_2 + 4 φ_3) N(û) + (2 φ_2 − 4 φ_3) (N(a) + N(b)) + (4 φ_3 − φ_2) N(c)]

    Source: Cox & Matthews (2002), J. Comput. Phys. 176, 430, Eqs. 26–29.
    """

    order = 4
    stability_limit = 2.8
    """Largest stable Courant number on the imaginary axis (2√2)."""

    def __init__(self, linear_rate: Tensor, step: float) -> None:
        z = linear_rate.double() * step
        first, second, third = exponential_functions(z)
        weights = (
            (z / 2).exp(),
            z.exp(),
            step / 2 * exponential_functions(z / 2)[0],
            step * (first - 3 * second + 4 * third),
            step * (2 * second - 4 * third),
            step * (4 * third - second),
        )
        self.half, self.full, self.to_half, *self.weights = (w.to(linear_rate) for w in weights)

    def __call__(self, nonlinear: Nonlinear, spectrum: Tensor) -> Tensor:
        """Return û one step later."""
        decayed = self.half * spectrum
        first = nonlinear(spectrum)
        stage = decayed + self.to_half * first
        second = nonlinear(stage)
        third = nonlinear(decayed + self.to_half * second)
        fourth = nonlinear(self.half * stage + self.to_half * (2 * third - first))
        w = self.weights
        return self.full * spectrum + w[0] * first + w[1] * (second + third) + w[2] * fourth


INTEGRATORS: dict[str, type[ExponentialRungeKutta3 | ExponentialRungeKutta4]] = {
    "exponential_runge_kutta_3": ExponentialRungeKutta3,
    "exponential_runge_kutta_4": ExponentialRungeKutta4,
}


@dataclass
class CourantReport:
    """Receives the Courant number of every step: Δt · max Σ_i |u_i| k_i at its start, per trajectory."""

    largest: float = 0.0


@dataclass(frozen=True)
class ChannelIntegration:
    """How a channel flow is advanced.

    Arguments:
        integrator: key of `INTEGRATORS`.
        courant_number: largest Δt · max Σ_i |u_i| k_i at the start of an output interval.
        implicit_viscosity: ν_i; −ν_i λ û is integrated exactly together with the molecular viscosity and taken off
            the nonlinear term. Two thirds of the largest eddy viscosity lift the limit which one larger than the
            molecular viscosity sets to explicit steps.

    Raises:
        EddymarkError: if there is no such integrator, or a number is not positive.
    """

    integrator: str = "exponential_runge_kutta_3"
    courant_number: float = 1.2
    implicit_viscosity: float = 0.0

    def __post_init__(self) -> None:
        if self.integrator not in INTEGRATORS:
            nearest = nearest_name(self.integrator, INTEGRATORS)
            hint = f"; did you mean {nearest}?" if nearest else ""
            raise EddymarkError(f"expected one of {', '.join(INTEGRATORS)}, found {self.integrator!r}{hint}")
        if not self.courant_number > 0:
            raise EddymarkError(f"courant_number: expected a number above zero, found {self.courant_number}")
        if not self.implicit_viscosity >= 0:
            raise EddymarkError(f"implicit_viscosity: expected zero or more, found {self.implicit_viscosity}")

    def steps(self, courant_rate: Tensor, duration: float) -> int:
        """Return the fewest equal steps which cover a duration within the Courant number.

        Arguments:
            courant_rate: what `ChannelFlow.courant_rate` says of each trajectory, `(batch,)`, finite.
            duration: time to cover.
        """
        return max(1, math.ceil(float(courant_rate.max()) * duration / self.courant_number - 1e-9))

    def advance(
        self,
        solver: ChannelFlow,
        spectrum: Tensor,
        duration: float,
        *,
        steps: int,
        closure: ChannelClosure | None = None,
        report: CourantReport | None = None,
    ) -> Tensor:
        """Return the amplitudes after a duration in equal steps; differentiable.

        Arguments:
            solver: the equations.
            spectrum: amplitudes, `(batch, 2, *modes)`.
            duration: time to advance.
            steps: number of equal steps.
            closure: subgrid-scale model; its coefficient is computed once per step.
            report: receives the largest Courant number of the steps.

        Raises:
            EddymarkError: if a state is not finite; the text has the Courant numbers.
        """
        step = duration / steps
        implicit = self.implicit_viscosity / solver.viscosity * solver.linear_rate
        method = INTEGRATORS[self.integrator](solver.linear_rate + implicit, step)
        numbers = []
        for _ in range(steps):
            first = solver.resolved(spectrum)
            coefficient = closure.coefficient(first) if closure is not None else None
            numbers.append(step * solver.courant_rate(first.velocity))

            def rate(stage: Tensor, first=first, coefficient=coefficient) -> Tensor:  # type: ignore[no-untyped-def]
                resolved = first if stage is first.spectrum else solver.resolved(stage)
                found = solver.nonlinear_of(resolved, closure, coefficient)
                return found - implicit * stage if self.implicit_viscosity else found

            spectrum = method(rate, spectrum)
        found = torch.stack(numbers)
        if not bool(torch.isfinite(spectrum.detach().abs().sum())):
            raise EddymarkError(_failure(found, step, method.stability_limit))
        if report is not None:
            report.largest = max(report.largest, float(found.max()))
        return spectrum


def _failure(numbers: Tensor, step: float, limit: float) -> str:
    """Return the line which says when a state ceased to be finite, and with which Courant numbers."""
    worst = numbers.nan_to_num(nan=math.inf).amax(dim=1)
    finite = worst[torch.isfinite(worst)]
    last = f"{float(finite[-1]):.3g} in step {len(finite)}" if len(finite) else "not finite in the first step"
    first = f"{float(finite[0]):.3g} in the first step, " if len(finite) > 1 else ""
    where = f"after step {max(1, len(finite))} of {len(numbers)}"
    return (
        f"the time step {step:.3g} failed: the velocity is not finite {where}; "
        f"Courant number {first}{last} (stable up to about {limit}): take more steps"
    )
