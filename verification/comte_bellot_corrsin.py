"""Decaying grid turbulence: LES from the first station of Comte-Bellot & Corrsin to the other two."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddymark.closures import CLOSURES
from eddymark.closures.base import Closure
from eddymark.closures.build import build_closure
from eddymark.config.schema import Closure as ClosureConfiguration
from eddymark.config.schema import Forcing
from eddymark.filters import filter_width
from eddymark.grid import Grid, SpectralSpace
from eddymark.initial_spectra import STATIONS
from eddymark.randomness import generator
from eddymark.solvers.periodic import NavierStokes
from eddymark.statistics.structure import derivative_skewness, longitudinal_derivative_moments
from verification.marching import Row, Simulation, sources
from verification.stations import STATION_TIMES, VISCOSITY, energy_density

POINTS = 64
MEMBERS = (0, 1)
"""Numbers of the random initial states; the fit has others."""
PREPARATION = 0.4
"""Duration of the preparation: 1.5 turnover times L / u' = 0.27 of the first station."""

_EDDY_RATE = float((21**3 * energy_density(STATIONS[0], 21)) ** 0.5)


@dataclass(frozen=True)
class Model:
    """A closure with its constants.

    Arguments:
        name: what it is called on the page.
        closure: key of `CLOSURES`.
        arguments: constants that are not the default ones.
        viscosity_ratios: θ_κ of a fitted spectral viscosity, one per shell.
    """

    name: str
    closure: str
    arguments: tuple[tuple[str, float | str], ...] = ()
    viscosity_ratios: tuple[float, ...] = ()

    def build(self, space: SpectralSpace) -> Closure:
        """Return the closure on a grid."""
        configuration = ClosureConfiguration(type=self.closure, arguments=dict(self.arguments))
        width = filter_width(space.grid)
        closure = build_closure(configuration, space=space, filter_width=width, viscosity=VISCOSITY)
        if self.viscosity_ratios:
            closure.load_state_dict({"ratio": torch.tensor(self.viscosity_ratios, dtype=space.dtype)})
        return closure


MODELS = (
    Model("none", "none"),
    Model("smagorinsky", "smagorinsky"),
    Model("dynamic_smagorinsky", "dynamic_smagorinsky"),
    Model("dynamic_smagorinsky_local", "dynamic_smagorinsky", (("average", "local"),)),
    Model("dynamic_mixed", "dynamic_mixed"),
    Model("gradient", "gradient"),
    Model("clipped_gradient", "clipped_gradient"),
    Model("wale", "wale"),
    Model("vreman", "vreman"),
    Model("sigma", "sigma"),
    Model("spectral_eddy_viscosity", "spectral_eddy_viscosity"),
    # The rate at which the smallest resolved eddies turn over at the first station, (k_c³ E(k_c))^½.
    Model("approximate_deconvolution", "approximate_deconvolution", (("relaxation_rate", _EDDY_RATE),)),
)
"""Every closure with its default constants, but two: Leith's model is one of 2-D turbulence, and the fitted spectral
viscosity has none (`verification/fitted_viscosity.py` fits it)."""


def shell_energies(space: SpectralSpace, station: int = STATIONS[0]) -> dict[int, float]:
    """Return the energy of each shell at a station.

    Shells that the grid holds only in part, in its corners, get the part of their modes that it holds.
    """
    held = torch.zeros(int(space.shells.max()) + 1, dtype=torch.float64)
    held.index_add_(0, space.shells.flatten(), space.multiplicity.flatten().double())
    span = np.arange(-len(held), len(held) + 1)
    distance = np.sqrt(span[:, None, None] ** 2 + span[:, None] ** 2 + span**2)
    complete = np.bincount(np.floor(distance + 0.5).astype(int).ravel())[: len(held)]
    share = held.numpy() / complete
    return {shell: float(share[shell] * energy_density(station, shell)) for shell in range(1, len(held))}


def equations(points: int, forcing: Forcing | None = None) -> NavierStokes:
    """Return the solver for the box of 2π."""
    grid = Grid((points,) * 3, (2 * math.pi,) * 3)
    return NavierStokes(grid, viscosity=VISCOSITY, forcing=forcing, dtype=torch.float32)


def output_times(start: float, end: float) -> list[float]:
    """Return the times between which the time step is fixed, at most 0.05 apart, with both ends."""
    times: list[float] = np.linspace(start, end, math.ceil((end - start) / 0.05 - 1e-9) + 1).tolist()
    return times


def measure(space: SpectralSpace, spectrum: Tensor) -> Row:
    """Return the energy of the complete shells of each member, their mean spectrum, and the derivative skewness."""
    shells = space.energy_spectrum(spectrum).double()[:, : space.grid.resolved_shells + 1]
    moments = longitudinal_derivative_moments(spectrum, space=space)
    skewness = derivative_skewness(**{name: value.mean().double().numpy() for name, value in moments.items()})
    return {
        "energies": shells.sum(dim=1).tolist(),
        "spectrum": shells.mean(dim=0).tolist(),
        "skewness": float(skewness),
    }


def prepared_state(
    folder: Path, *, points: int = POINTS, members: Sequence[int] = MEMBERS, duration: float = PREPARATION
) -> tuple[list[Row], Tensor]:
    """Return states with the spectrum of the first station and the phases of turbulence, and how they came to be.

    They start with random phases and are advanced without a model while every shell is held at its energy, until
    eddies have formed: a field of random phases passes no energy on at first. All closures start from the same states.
    """
    held = Forcing(type="held_shells", energies=shell_energies(equations(points).space))
    solver = equations(points, held)
    space = solver.space

    def initial() -> Tensor:
        noise = torch.stack(
            [
                torch.as_tensor(generator(0, "comte_bellot_corrsin", member).standard_normal((3, *space.grid.points)))
                for member in members
            ]
        )
        spectrum = space.to_spectral(noise.to(space.dtype))
        spectrum[..., 0, 0, 0] = 0
        return solver.forcing.constrain(spectrum)

    times = output_times(0, duration)
    key = {"points": points, "members": list(members), "duration": duration} | _sources("none")
    name = f"comte-bellot-corrsin-{points}-prepared-{duration:g}-{'-'.join(map(str, members))}"
    simulation = Simulation(name, solver, times, lambda spectrum: measure(space, spectrum))
    return simulation.run(initial, folder=folder, key=key)


def simulate(
    model: Model,
    folder: Path,
    *,
    points: int = POINTS,
    members: Sequence[int] = MEMBERS,
    preparation: float = PREPARATION,
) -> dict[int, Row]:
    """Return what is measured at each station by an LES from the states of `prepared_state`."""
    prepared = prepared_state(folder, points=points, members=members, duration=preparation)[1]
    solver = equations(points)
    space = solver.space
    times = [STATION_TIMES[0]]
    for start, end in itertools.pairwise(STATION_TIMES):
        times += output_times(start, end)[1:]
    key = {"model": repr(model), "points": points, "members": list(members), "preparation": preparation}
    key |= _sources(model.closure)
    name = f"comte-bellot-corrsin-{points}-{model.name}-{preparation:g}"
    simulation = Simulation(name, solver, times, lambda spectrum: measure(space, spectrum), model.build(space))
    rows = simulation.run(lambda: prepared, folder=folder, key=key)[0]
    by_time = {row["time"]: row for row in rows}
    return {station: by_time[time] for station, time in zip(STATIONS, STATION_TIMES, strict=True)}


def measured_energies(station: int, shells: int) -> NDArray[np.float64]:
    """Return the measured energy of the shells 0 … `shells`."""
    return np.concatenate([[0.0], energy_density(station, np.arange(1, shells + 1))])


def energy_errors(rows: Mapping[int, Row], station: int) -> NDArray[np.float64]:
    """Return the relative error of the energy in the complete shells at a station, `(members,)`."""
    measured = measured_energies(station, len(rows[station]["spectrum"]) - 1).sum()
    return np.asarray(np.array(rows[station]["energies"]) / measured - 1)


def _sources(closure: str) -> dict[str, str]:
    return {"sources": sources("verification.comte_bellot_corrsin", CLOSURES[closure])}
