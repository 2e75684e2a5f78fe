"""Explicit Runge–Kutta methods with an integrating factor: the linear terms are integrated exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from eddymark.closures.base import Closure
from eddymark.solvers.forcing import ConstantPower, Forcing, HeldShells, Sinusoidal
from eddymark.solvers.periodic import NO_CLOSURE, NavierStokes
from eddymark.solvers.resolved import ResolvedVelocity

if TYPE_CHECKING:
    from eddymark.solvers.compiled.stepping import CompiledSteps

Nonlinear = Callable[[Tensor], Tensor]


class RungeKutta4:
    """Classical fourth-order method in the variable exp(−L t) û.

    With E = exp(L Δt / 2): k₁ = N(û), k₂ = N(E (û + Δt/2 k₁)), k₃ = N(E û + Δt/2 k₂), k₄ = N(E² û + Δt E k₃),
    û ← E² û + Δt/6 (E² k₁ + 2 E (k₂ + k₃) + k₄).

    Source: Canuto et al., Spectral Methods in Fluid Dynamics (1988), Sec. 4.4 (integrating factor).
    """

    order = 4
    stability_limit = 2.8
    """Largest stable Courant number on the imaginary axis (2√2)."""

    def __init__(self, linear_rate: Tensor, step: float) -> None:
        self.step = step
        self.half = torch.exp(linear_rate * (step / 2))
        self.full = self.half**2

    @property
    def weights(self) -> list[tuple[float, ...]]:
        """What the compiled steps need of each stage: the weights of k in the next stage's state and in the result."""
        h = self.step
        return [(h / 2, h / 6), (h / 2, h / 3), (h, h / 3), (0.0, h / 6)]

    @property
    def factors(self) -> Tensor:
        """Integrating factors of the compiled steps, `(1, *modes)`."""
        return self.half.unsqueeze(0)

    def __call__(self, nonlinear: Nonlinear, spectrum: Tensor) -> Tensor:
        """Return û one step later."""
        step, half, full = self.step, self.half, self.full
        first = nonlinear(spectrum)
        decayed = half * spectrum
        second = nonlinear(decayed + (step / 2) * half * first)
        third = nonlinear(decayed + (step / 2) * second)
        fourth = nonlinear(half * (decayed + step * third))
        return full * (spectrum + (step / 6) * first) + (step / 3) * half * (second + third) + (step / 6) * fourth


class RungeKutta3:
    """Williamson's low-storage third-order method in the variable exp(−L t) û: two arrays besides the state.

    q ← a_s q + Δt N(û), û ← û + b_s q, and both are multiplied by exp(L Δt (c_{s+1} − c_s)) between the stages, with
    a = (0, −5/9, −153/128), b = (1/3, 15/16, 8/15), c = (0, 1/3, 3/4, 1).

    Source: Williamson (1980), J. Comput. Phys. 35, 48, case 7.
    """

    order = 3
    stability_limit = 1.7
    """Largest stable Courant number on the imaginary axis (√3)."""

    _a = (0.0, -5 / 9, -153 / 128)
    _b = (1 / 3, 15 / 16, 8 / 15)
    _fractions = (1 / 3, 3 / 4 - 1 / 3, 1 / 4)

    def __init__(self, linear_rate: Tensor, step: float) -> None:
        self.step = step
        self.decays = [torch.exp(linear_rate * (step * fraction)) for fraction in self._fractions]

    @property
    def weights(self) -> list[tuple[float, ...]]:
        """What the compiled steps need of each stage: a, b and Δt."""
        return [(a, b, self.step) for a, b in zip(self._a, self._b, strict=True)]

    @property
    def factors(self) -> Tensor:
        """Integrating factors of the compiled steps, `(3, *modes)`."""
        return torch.stack(self.decays)

    def __call__(self, nonlinear: Nonlinear, spectrum: Tensor) -> Tensor:
        """Return û one step later."""
        register: Tensor | None = None
        for a, b, decay in zip(self._a, self._b, self.decays, strict=True):
            rate = self.step * nonlinear(spectrum)
            register = rate if register is None else a * register + rate
            spectrum = decay * (spectrum + b * register)
            register = decay * register
        return spectrum


INTEGRATORS: dict[str, type[RungeKutta4 | RungeKutta3]] = {
    "runge_kutta_4": RungeKutta4,
    "runge_kutta_3": RungeKutta3,
}


def _step_rate(
    solver: NavierStokes, spectrum: Tensor, closure: Closure | None, previous: Tensor | None, step: float
) -> tuple[Nonlinear, Tensor | None]:
    """Return the nonlinear rate for the stages of one step, and the coefficient in it.

    The first stage shares its fields with the coefficient.
    """
    first = ResolvedVelocity(solver.space, spectrum)
    coefficient = closure.relaxed(closure.coefficient(first), previous, step) if closure is not None else None

    def rate(stage: Tensor) -> Tensor:
        resolved = first if stage is spectrum else ResolvedVelocity(solver.space, stage)
        return solver.nonlinear_of(resolved, closure, coefficient)

    return rate, coefficient


_COMPILED: WeakKeyDictionary[NavierStokes, WeakKeyDictionary[Closure, CompiledSteps | None]] = WeakKeyDictionary()
"""Compiled steps and their work space; kept outside of solvers and models, so that copies of these share none."""


def compiled_steps(solver: NavierStokes, closure: Closure | None) -> CompiledSteps | None:
    """Return the compiled steps of a solver with a model, made once; None on a GPU, or if model or force have none."""
    forces = (Forcing, HeldShells, ConstantPower, Sinusoidal)
    if solver.space.device.type != "cpu" or type(solver.forcing) not in forces:
        return None
    known = _COMPILED.setdefault(solver, WeakKeyDictionary())
    model = closure or NO_CLOSURE
    if model not in known:
        # A class that changes a model inherits no compiled steps: they would be those of the other model.
        known[model] = model.compiled(solver) if "compiled" in vars(type(model)) else None
    return known[model]


@dataclass
class EnergyLedger:
    """Sums up what a constraint adds to the kinetic energy, per trajectory."""

    injected: Tensor | float = 0.0


@dataclass(frozen=True)
class TimeIntegration:
    """How a solver is advanced: method and Courant number.

    Arguments:
        integrator: key of `INTEGRATORS`.
        courant_number: largest dt · max Σ_i |u_i| k_i,max at the start of an output interval.
    """

    integrator: str
    courant_number: float

    def steps(self, courant_rate: Tensor, duration: float) -> int:
        """Return the fewest equal steps which cover a duration within the Courant number.

        Arguments:
            courant_rate: what `NavierStokes.courant_rate` says of each trajectory, `(batch,)`, finite.
            duration: time to cover.
        """
        return max(1, math.ceil(float(courant_rate.max()) * duration / self.courant_number - 1e-9))

    def advance(
        self,
        solver: NavierStokes,
        spectrum: Tensor,
        duration: float,
        *,
        steps: int,
        closure: Closure | None = None,
        ledger: EnergyLedger | None = None,
    ) -> Tensor:
        """Return û after a duration in equal steps; differentiable.

        Where no gradients are wanted on the CPU, compiled steps give the same numbers to rounding.

        Arguments:
            solver: the equations.
            spectrum: û, `(batch, d, *modes)`.
            duration: time to advance.
            steps: number of equal steps.
            closure: subgrid-scale model; its coefficient is computed once per step.
            ledger: receives the energy added by a held-shell constraint.
        """
        method = INTEGRATORS[self.integrator](solver.linear_rate(closure), duration / steps)
        compiled = None if torch.is_grad_enabled() else compiled_steps(solver, closure)
        if compiled is not None:
            spectrum, injected = compiled.advance(spectrum, method, steps)
            if ledger is not None:
                ledger.injected = ledger.injected + injected
            return spectrum
        coefficient = None
        for _ in range(steps):
            rate, coefficient = _step_rate(solver, spectrum, closure, coefficient, duration / steps)
            spectrum = method(rate, spectrum)
            if solver.forcing.constrains:
                free = spectrum
                spectrum = solver.forcing.constrain(free)
                if ledger is not None:
                    axes = tuple(range(1, solver.grid.dimension + 1))
                    change = solver.space.mode_energy(spectrum) - solver.space.mode_energy(free)
                    ledger.injected = ledger.injected + change.sum(dim=axes)
        return spectrum
