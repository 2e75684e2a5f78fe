"""The spectral viscosity of the decaying grid turbulence, fitted between its first two stations."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from eddymark.checkpoints import Checkpoints
from eddymark.initial_spectra import STATIONS
from eddymark.solvers.time_integration import TimeIntegration
from verification.comte_bellot_corrsin import (
    POINTS,
    PREPARATION,
    Model,
    equations,
    output_times,
    prepared_state,
    shell_energies,
)
from verification.marching import sources
from verification.stations import STATION_TIMES, VISCOSITY

MEMBERS = (2, 3)
"""Numbers of the random initial states of the fit: others than those by which closures are judged."""
ITERATIONS = 12
_RELAXATION = 0.7


@dataclass(frozen=True)
class Fit:
    """A fitted spectral viscosity.

    Arguments:
        model: the closure with its viscosities.
        distances: rms of ln E / E_measured over the shells at the second station, before every change of the
            viscosities.
    """

    model: Model
    distances: tuple[float, ...]


def fit(folder: Path, *, points: int = POINTS, preparation: float = PREPARATION, iterations: int = ITERATIONS) -> Fit:
    """Return the viscosity ν_e(κ) per shell with which an LES has the measured spectrum at the second station.

    Each iteration is an LES from the first station to the second one, and changes

        ν_e(κ) ← ν_e(κ) + c ln(E(κ) / E_measured(κ)) (1 / (2 κ² T) + max(ν_e(κ), 0) + ν),    c = 0.7

    which is Newton's method with two estimates of ∂ν_e / ∂ln E: that of a shell which only decays during the time T
    between the stations, and that of one where viscosity balances what it receives. The fields of the flow are not
    known, so that training on windows of filtered DNS, as `eddymark train` does it, is not possible; the parameters are
    those of that closure, fitted to the spectrum alone.

    Arguments:
        folder: results; a fit in it goes on where it was.
        points: per axis.
        preparation: of the initial states.
        iterations: LES, the first one without a model.
    """
    _, prepared = prepared_state(folder, points=points, members=MEMBERS, duration=preparation)
    solver = equations(points)
    space = solver.space
    wanted = np.array(list(shell_energies(space, STATIONS[1]).values()))
    shells = np.arange(1, len(wanted) + 1)
    start, end = STATION_TIMES[:2]
    unit = 1 / (2 * shells**2 * (end - start)) + VISCOSITY

    key = {"points": points, "members": list(MEMBERS), "preparation": preparation, "iterations": iterations}
    key |= {"sources": sources("verification.fitted_viscosity")}
    checkpoints = Checkpoints(folder / f"comte-bellot-corrsin-{points}-fit-{preparation:g}", key)
    stored = checkpoints.load()
    viscosities = stored.state["viscosities"].numpy() if stored else np.zeros(len(shells))
    distances: list[float] = stored.facts["distances"] if stored else []
    integration = TimeIntegration("runge_kutta_4", 2.0)
    while len(distances) < iterations:
        closure = _model(viscosities).build(space)
        spectrum = prepared
        with torch.no_grad():
            for before, after in itertools.pairwise(output_times(start, end)):
                steps = integration.steps(solver.courant_rate(space.to_physical(spectrum)), after - before)
                spectrum = integration.advance(solver, spectrum, after - before, steps=steps, closure=closure)
            found = space.energy_spectrum(spectrum).double().mean(dim=0).numpy()[1:]
        error = np.log(found / wanted)
        distances.append(float(np.sqrt((error[: space.grid.resolved_shells] ** 2).mean())))
        viscosities = viscosities + _RELAXATION * error * (unit + np.maximum(viscosities, 0))
        if len(distances) == iterations or checkpoints.due():
            state = {"viscosities": torch.as_tensor(viscosities)}
            checkpoints.save(len(distances), state=state, parts={}, facts={"distances": distances})
    return Fit(_model(viscosities), tuple(distances))


def _model(viscosities: NDArray[np.float64]) -> Model:
    ratios = (0.0, *(viscosities / VISCOSITY).tolist())
    return Model("fitted_spectral_viscosity", "fitted_spectral_viscosity", viscosity_ratios=ratios)
