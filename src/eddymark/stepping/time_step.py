"""The largest time step with which an LES loses nothing: measured on validation data, not assumed."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from eddymark.stepping.large_eddy_simulation import LargeEddySimulation
from eddymark.stepping.rollout import rollout

RUNGS = 21
"""Courant numbers that are tried: from 0.5 to 16, each 2^¼ times the one before."""
REFERENCE = 0.25
"""Courant number of the solution without time-stepping errors."""
SHARE = 0.1
"""Largest error of the time step, in errors of the model."""
MARGIN = 2**0.25
"""By how much a stable Courant number has to be stable beyond itself."""
LEAST_ENERGY_CHANGE = 0.01
"""A change of a shell's energy by this share, 0.004 decades, is always allowed."""


@dataclass(frozen=True)
class Trial:
    """What one Courant number does to one output interval.

    Arguments:
        courant_number: what was allowed.
        reached: what the fastest state came to with a whole number of steps.
        steps_per_output: mean number of steps.
        error: ‖u − u_ref‖ / ‖u_ref − u_fDNS‖.
        energy_change: max over the resolved shells of |ln E/E_ref|, in units of what is allowed.
    """

    courant_number: float
    reached: float
    steps_per_output: float
    error: float
    energy_change: float

    @property
    def accurate(self) -> bool:
        """Whether the time step's errors are small beside those of the model; never if they are not finite."""
        return self.error <= SHARE and self.energy_change <= 1


@dataclass(frozen=True)
class TimeStep:
    """The outcome of a search.

    Arguments:
        courant_number: the largest that is accurate and stable: what was reached in the best trial, since nothing is
            known of larger ones that happened to need the same number of steps.
        accurate, stable: false if even the smallest one that was tried is not.
        trials: what was tried, by increasing Courant number.
    """

    courant_number: float
    accurate: bool
    stable: bool
    trials: tuple[Trial, ...]

    def description(self) -> dict[str, Any]:
        """Return everything as plain numbers; None for errors that are not finite."""
        trials = [
            {key: value if math.isfinite(value) else None for key, value in asdict(trial).items()}
            for trial in self.trials
        ]
        return asdict(self) | {"trials": trials}


def courant_number(rung: int) -> float:
    """Return the Courant number of a rung of the ladder."""
    return round(2 ** (rung / 4 - 1), 4)


def find_time_step(simulation: LargeEddySimulation, start: Tensor, end: Tensor, *, outputs: int) -> TimeStep:
    """Return the largest Courant number with which an LES is accurate and stable.

    The mechanism stays the Courant number, which fits each output's step to its fastest state: a step of fixed length
    would have to fit the fastest state of all, and be chosen before that is known. The usual limit (the boundary of the
    method's stability region over max Σ_i |u_i| k_i,max) is far from sharp, because no mode is advected with the
    largest velocity everywhere, and says nothing about accuracy or about a closure. So both are measured:

    - accurate: over one output interval from filtered DNS, beside the same LES with the Courant number `REFERENCE`, the
      error of the velocity is at most `SHARE` of the error which the model itself makes beside the filtered DNS, and
      the mean energy of no resolved shell changes by more than `SHARE` of what the model changes it by, or by
      `LEAST_ENERGY_CHANGE`, whichever is larger. The second condition keeps the damping of Runge–Kutta methods at large
      Courant numbers from acting as a second subgrid-scale model. The largest such rung is found by bisection.
    - stable: long rollouts with 2^¼ times that Courant number lose no trajectory that the smallest one keeps; while
      they do, the rung is lowered. The margin is for states faster than those of the validation data.

    Nothing depends on wall times. Errors of states are summed over all states before they are compared.

    Arguments:
        simulation: the LES; its own Courant number is not used.
        start: fDNS states on its grid, `(state, component, *grid)`, none of them test data.
        end: the same trajectories one output later.
        outputs: length of the rollouts.
    """
    with torch.inference_mode():
        search = _Search(simulation, start, end)
        low, high = 0, search.top + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if search.trial(middle).accurate else (low, middle)
        while not (stable := search.is_stable(MARGIN * search.trial(low).reached, outputs)) and low > 0:
            low -= 1
        chosen = search.trial(low)
    trials = tuple(sorted(search.trials.values(), key=lambda trial: trial.courant_number))
    return TimeStep(chosen.reached, chosen.accurate, stable, trials)


class _Search:
    """One LES with its reference solution; each rung is tried once."""

    def __init__(self, simulation: LargeEddySimulation, start: Tensor, end: Tensor) -> None:
        self.simulation = simulation
        self.start = start
        self.rate = simulation.solver.courant_rate(start) * simulation.interval
        self.trials: dict[int, Trial] = {}
        self._losses: dict[float, set[int]] = {}
        # Beyond the rung with which every state takes a single step there is nothing to find.
        rungs = range(RUNGS)
        self.top = next((rung for rung in rungs if courant_number(rung) >= float(self.rate.max())), RUNGS - 1)
        self.reference = self._one_output(REFERENCE)
        self.model_error = _norm(self.reference - end)
        self.energies = self._energies(self.reference)
        model_change = torch.log(self.energies / self._energies(end)).abs()
        self.allowed = (SHARE * model_change).clamp_min(LEAST_ENERGY_CHANGE)

    def trial(self, rung: int) -> Trial:
        """Return what a rung does to one output."""
        if rung not in self.trials:
            number = courant_number(rung)
            output = self._one_output(number)
            change = torch.log(self._energies(output) / self.energies).abs()
            steps = self._steps(number)
            reached = math.ceil(1e4 * float((self.rate / steps).max())) / 1e4
            self.trials[rung] = Trial(
                courant_number=number,
                # A flow at rest reaches nothing.
                reached=reached or number,
                steps_per_output=_rounded(steps.double().mean()),
                error=_rounded(_norm(output - self.reference) / self.model_error),
                energy_change=_rounded((change / self.allowed).max()),
            )
        return self.trials[rung]

    def is_stable(self, number: float, outputs: int) -> bool:
        """Return whether rollouts keep all trajectories which they keep with the smallest step."""
        lost = self._lost(number, outputs)
        return not lost or not lost - self._lost(courant_number(0), outputs)

    def _steps(self, number: float) -> Tensor:
        """Return how many steps each state takes by itself, `(state,)`."""
        return torch.ceil(self.rate / number - 1e-9).clamp_min(1)

    def _with(self, number: float) -> LargeEddySimulation:
        simulation = self.simulation
        integration = replace(simulation.integration, courant_number=number)
        return LargeEddySimulation(
            simulation.solver, closure=simulation.closure, integration=integration, interval=simulation.interval
        )

    def _one_output(self, number: float) -> Tensor:
        """Return the next output of every state, each in as many steps as it needs by itself."""
        simulation, output = self._with(number), torch.empty_like(self.start)
        steps = self._steps(number)
        for count in steps.unique().tolist():
            members = steps == count
            output[members] = simulation(self.start[members].unsqueeze(1))
        return output

    def _energies(self, velocity: Tensor) -> Tensor:
        """Return the mean energy of each resolved shell, `(shell,)`."""
        space = self.simulation.solver.space
        spectrum = space.energy_spectrum(space.to_spectral(velocity))
        return spectrum[:, 1 : space.grid.resolved_shells + 1].double().mean(dim=0)

    def _lost(self, number: float, outputs: int) -> set[int]:
        if number not in self._losses:
            made = rollout(self._with(number), self.start.unsqueeze(1), outputs, keep=_nothing)
            self._losses[number] = {failure.trajectory for failure in made.failures}
        return self._losses[number]


def _norm(field: Tensor) -> Tensor:
    return field.double().square().sum().sqrt()


def _nothing(velocity: Tensor) -> Tensor:
    return velocity.flatten(1)[:, :0]


def _rounded(value: Tensor) -> float:
    """Return a number with four digits, infinite if it is not finite."""
    number = float(value)
    return float(f"{number:.4g}") if math.isfinite(number) else math.inf
