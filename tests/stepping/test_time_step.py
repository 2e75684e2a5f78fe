"""The largest time step of an LES: accurate and stable, and no smaller than it has to be."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import Tensor

from eddymark.closures.base import Closure, EddyViscosity, NoClosure
from eddymark.config.schema import Filter, Forcing
from eddymark.filters import GridFilter
from eddymark.grid import Grid
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.resolved import ResolvedVelocity
from eddymark.solvers.time_integration import TimeIntegration
from eddymark.stepping import time_step
from eddymark.stepping.large_eddy_simulation import LargeEddySimulation
from eddymark.stepping.rollout import rollout
from eddymark.stepping.time_step import REFERENCE, courant_number, find_time_step
from tests.solvers.test_periodic import BOX, random_spectrum

INTERVAL = 0.3
COARSE = NavierStokes(Grid((16, 16), (BOX, BOX)), viscosity=0.01, forcing=Forcing())


@pytest.fixture(scope="module")
def pairs() -> tuple[Tensor, Tensor]:
    """Filtered DNS of decaying turbulence: eight states and those an interval later."""
    fine = NavierStokes(Grid((48, 48), (BOX, BOX)), viscosity=0.01, forcing=Forcing())
    restrict = GridFilter(fine.space, COARSE.grid, Filter())
    integration = TimeIntegration("runge_kutta_4", 1.0)
    spectrum = 15 * random_spectrum(fine, batch=8)
    states = []
    with torch.no_grad():
        for _ in range(3):
            states.append(restrict(spectrum))
            rate = fine.courant_rate(fine.space.to_physical(spectrum))
            spectrum = integration.advance(fine, spectrum, INTERVAL, steps=integration.steps(rate, INTERVAL))
    return states[1], states[2]


def simulation(closure: Closure | None = None, number: float = 1.0) -> LargeEddySimulation:
    integration = TimeIntegration("runge_kutta_4", number)
    return LargeEddySimulation(COARSE, closure=closure or NoClosure(), integration=integration, interval=INTERVAL)


class Constant(EddyViscosity):
    """An eddy viscosity that is the same everywhere, integrated explicitly like those of all models in space."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def eddy_viscosity(self, resolved: ResolvedVelocity, coefficient: Tensor | None) -> Tensor:
        return torch.full_like(resolved.velocity[:, 0], self.value)


STIFFEST = float(COARSE.space.wavenumber_squared.max())
"""Largest |k|² on the grid: RK4 is stable up to a step of 2.785 / (ν_e |k|²)."""


def error_ratio(number: float, pairs: tuple[Tensor, Tensor]) -> float:
    """Return the error of the time step over that of the model, each state advanced by itself."""
    start, end = pairs

    def outputs(value: float) -> Tensor:
        stepper = simulation(number=value)
        return torch.cat([stepper(state[None, None]) for state in start])

    with torch.no_grad():
        reference = outputs(REFERENCE)
        return float((outputs(number) - reference).norm() / (reference - end).norm())


def test_the_step_is_the_largest_that_is_accurate(
    pairs: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_step, "SHARE", 0.01)  # so that stability, which has a margin, is not what limits the step
    found = find_time_step(simulation(), *pairs, outputs=20)
    assert found.accurate
    assert found.stable
    chosen = [trial for trial in found.trials if trial.reached == found.courant_number][-1]
    assert chosen.error == pytest.approx(error_ratio(found.courant_number, pairs), rel=1e-3)
    assert chosen.error <= 0.01
    larger = [trial for trial in found.trials if trial.courant_number > chosen.courant_number]
    assert larger, "the search ended at its upper limit; the test has to be harder"
    assert not larger[0].accurate
    assert larger[0].courant_number / chosen.courant_number == pytest.approx(2**0.25, rel=1e-3)
    # Whole steps: what is said of a number of steps that was tried is not said of a larger Courant number.
    rates = (COARSE.courant_rate(pairs[0]) * INTERVAL).tolist()
    reached = max(rate / math.ceil(rate / chosen.courant_number) for rate in rates)
    assert found.courant_number == pytest.approx(reached, rel=1e-4)
    # The worst case of linear theory, every mode advected with the largest velocity, is far from reached.
    assert found.courant_number > 2.8


def test_the_own_courant_number_of_the_simulation_does_not_matter(pairs: tuple[Tensor, Tensor]) -> None:
    first = find_time_step(simulation(number=0.7), *pairs, outputs=4)
    assert find_time_step(simulation(number=9.0), *pairs, outputs=4) == first


def test_a_stiff_closure_gets_a_smaller_step(pairs: tuple[Tensor, Tensor]) -> None:
    stiff = find_time_step(simulation(Constant(0.5)), *pairs, outputs=20)
    assert stiff.accurate
    assert stiff.courant_number < find_time_step(simulation(), *pairs, outputs=20).courant_number
    steps = next(trial.steps_per_output for trial in stiff.trials if trial.reached == stiff.courant_number)
    assert INTERVAL / steps <= 2.785 / (0.5 * STIFFEST)


def test_stability_limits_the_step_where_accuracy_does_not(
    pairs: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_step, "SHARE", math.inf)
    monkeypatch.setattr(time_step, "LEAST_ENERGY_CHANGE", math.inf)
    closure, start = Constant(0.5), pairs[0]
    found = find_time_step(simulation(closure), *pairs, outputs=30)
    assert found.stable
    assert found.courant_number > courant_number(0)
    assert found.trials[-1].accurate

    def lost(number: float) -> bool:
        return bool(rollout(simulation(closure, number), start[:, None], 30).failures)

    assert not lost(time_step.MARGIN * found.courant_number)
    assert lost(time_step.MARGIN**3 * found.courant_number)


def test_a_model_that_blows_up_by_itself_is_not_blamed_on_the_step(pairs: tuple[Tensor, Tensor]) -> None:
    class Unstable(NoClosure):
        def spectral_viscosity(self) -> Tensor:
            return torch.full_like(COARSE.space.wavenumber_squared, -0.1)

    found = find_time_step(simulation(Unstable()), *pairs, outputs=40)
    assert rollout(simulation(Unstable(), REFERENCE), pairs[0][:, None], 40).failures
    assert found.stable


def test_the_smallest_step_is_taken_and_said_to_be_inaccurate_if_none_is_accurate(
    pairs: tuple[Tensor, Tensor],
) -> None:
    start = pairs[0]
    with torch.no_grad():
        perfect = torch.cat([simulation(number=REFERENCE)(state[None, None]) for state in start])
    found = find_time_step(simulation(), start, perfect, outputs=4)
    assert not found.accurate
    assert found.courant_number <= courant_number(0) == 0.5


def test_the_description_is_json_also_if_a_trial_blew_up(pairs: tuple[Tensor, Tensor]) -> None:
    found = find_time_step(simulation(Constant(50.0)), *pairs, outputs=2)
    text = json.dumps(found.description(), allow_nan=False)
    assert json.loads(text)["courant_number"] == found.courant_number
