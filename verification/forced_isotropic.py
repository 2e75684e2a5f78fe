"""Forced isotropic turbulence: spectrum, derivative skewness and the isotropy of the structure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddymark.config.schema import Forcing
from eddymark.flows.base import turbulence_scales
from eddymark.grid import Grid, SpectralSpace
from eddymark.randomness import generator
from eddymark.solvers.periodic import NavierStokes
from eddymark.statistics.structure import derivative_skewness, longitudinal_derivative_moments
from verification.marching import Row, Simulation, sources

ENERGIES = {1: 1.242477, 2: 0.391356}
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Resolution:
    """One DNS: statistics are taken from `start` to `end` every 0.25 time units; the turnover time is about 1.5."""

    points: int
    viscosity: float
    start: float
    end: float

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"forced-isotropic-{self.points}"


COARSE = Resolution(points=64, viscosity=0.025, start=9.0, end=69.0)
FINE = Resolution(points=128, viscosity=0.0096, start=4.0, end=16.0)


def one_dimensional_spectra(space: SpectralSpace, spectrum: Tensor) -> tuple[Tensor, Tensor]:
    """Return Σ |û_i|² over planes of equal |k_j| in a cube, `(modes,)` each: for j = i, and for j ≠ i; batch mean.

    Both are averaged over the axes, so that their sums are ⟨u_i²⟩ of one component.
    """
    power = (spectrum.real**2 + spectrum.imag**2).double().mean(dim=0) * space.multiplicity
    longitudinal = transverse = power.new_zeros(space.modes[-1])
    for axis in range(3):
        index = (space.wavenumbers[axis] / space.grid.lowest_wavenumber).abs().round().long().flatten()
        planes = [longitudinal.new_zeros(space.modes[-1]).index_add(0, index, p.flatten()) for p in power]
        longitudinal = longitudinal + planes[axis] / 3
        transverse = transverse + (sum(planes) - planes[axis]) / 6
    return longitudinal, transverse


def structure_functions(longitudinal: Array, transverse: Array, distance: Array) -> tuple[Array, Array, Array]:
    """Return D_LL, D_NN and D_LL + ½ r dD_LL/dr, which equals D_NN in isotropic flow, `(distance,)` each.

    D_LL(r) = ⟨(u_L(x + r) − u_L(x))²⟩ = 2 Σ_k Φ_L(k) (1 − cos k r), and likewise D_NN, hold exactly at any r.

    Arguments:
        longitudinal: Φ_L per whole wavenumber of a box of side 2π, from `one_dimensional_spectra`.
        transverse: Φ_N.
        distance: r.

    Source: Pope, Turbulent Flows (2000), Eq. 6.28.
    """
    phase = np.outer(distance, np.arange(len(longitudinal)))
    first = 2 * (1 - np.cos(phase)) @ longitudinal
    second = 2 * (1 - np.cos(phase)) @ transverse
    slope = 2 * np.sin(phase) @ (np.arange(len(longitudinal)) * longitudinal)
    return first, second, first + 0.5 * distance * slope


def simulate(resolution: Resolution, folder: Path, *, start_from: Tensor | None = None) -> tuple[list[Row], Tensor]:
    """Return rows of measured statistics and the last state, `(1, 3, *modes)`.

    Arguments:
        resolution: grid, viscosity and duration.
        folder: results.
        start_from: state to start from, in the space of the grid; otherwise random phases.
    """
    grid = Grid((resolution.points,) * 3, (2 * math.pi,) * 3)
    forcing = Forcing(type="held_shells", energies=ENERGIES)
    solver = NavierStokes(grid, viscosity=resolution.viscosity, forcing=forcing, dtype=torch.float32)
    space = solver.space

    def initial() -> Tensor:
        if start_from is not None:
            return start_from
        noise = torch.as_tensor(generator(0, "forced_isotropic").standard_normal((1, 3, *grid.points)))
        spectrum = space.to_spectral(noise.to(space.dtype))
        spectrum[..., 0, 0, 0] = 0
        shape = torch.exp(-0.5 * space.wavenumber_squared / 4)
        return solver.forcing.constrain(shape * spectrum)

    def measure(spectrum: Tensor) -> Row:
        moments = longitudinal_derivative_moments(spectrum, space=space)
        scales = turbulence_scales(space, spectrum, viscosity=resolution.viscosity)
        longitudinal, transverse = one_dimensional_spectra(space, spectrum)
        free_longitudinal, free_transverse = one_dimensional_spectra(space, spectrum * (space.shells > max(ENERGIES)))
        return {
            **{name: float(value.double().mean()) for name, value in moments.items()},
            "spectrum": space.energy_spectrum(spectrum).double().mean(dim=0)[: grid.resolved_shells + 1].tolist(),
            "longitudinal": longitudinal.tolist(),
            "transverse": transverse.tolist(),
            "free_longitudinal": free_longitudinal.tolist(),
            "free_transverse": free_transverse.tolist(),
            "dissipation": scales.dissipation,
            "turnover_time": scales.turnover_time,
            "taylor_reynolds_number": scales.taylor_reynolds_number,
            "integral_length": scales.integral_length,
        }

    times = np.arange(0, resolution.end + 0.125, 0.25).tolist()
    key = {"resolution": repr(resolution), "sources": sources("verification.forced_isotropic")}
    if start_from is not None:
        key["start"] = repr(COARSE)
    simulation = Simulation(resolution.name, solver, times, measure)
    return simulation.run(initial, folder=folder, key=key)


def simulate_all(folder: Path, *, with_fine: bool = True) -> dict[Resolution, list[Row]]:
    """Return the rows of the DNS within the times of their statistics; the fine one starts from the coarse one.

    Arguments:
        folder: results.
        with_fine: whether to have the fine one at all.
    """
    coarse, last = simulate(COARSE, folder)
    rows = {COARSE: coarse}
    if with_fine:
        coarse_space, fine_space = (
            SpectralSpace(Grid((resolution.points,) * 3, (2 * math.pi,) * 3), dtype=torch.float32)
            for resolution in (COARSE, FINE)
        )
        rows[FINE], _ = simulate(FINE, folder, start_from=coarse_space.resample(last, fine_space))
    return {resolution: [row for row in found if row["time"] >= resolution.start] for resolution, found in rows.items()}


@dataclass(frozen=True)
class Statistics:
    """Averages over the time of the statistics.

    Arguments:
        skewness: of the longitudinal derivative.
        skewness_range: of the single states.
        taylor_reynolds_number: R_λ.
        viscosity: ν.
        dissipation: ε.
        kolmogorov_length: η = (ν³ / ε)^¼.
        integral_length: L.
        resolution: k_max η.
        duration: in turnover times.
        spectrum: energy per shell, `(shell,)`.
        distance: r, `(distance,)`, from η to L.
        longitudinal: D_LL, `(distance,)`.
        transverse: D_NN.
        isotropic: D_LL + ½ r dD_LL/dr.
        free_transverse: D_NN of the velocity without the forced shells.
        free_isotropic: D_LL + ½ r dD_LL/dr of the same.
    """

    skewness: float
    skewness_range: tuple[float, float]
    taylor_reynolds_number: float
    viscosity: float
    dissipation: float
    kolmogorov_length: float
    integral_length: float
    resolution: float
    duration: float
    spectrum: Array
    distance: Array
    longitudinal: Array
    transverse: Array
    isotropic: Array
    free_transverse: Array
    free_isotropic: Array

    @property
    def anisotropy(self) -> float:
        """Largest relative deviation of D_NN from the isotropic relation, η ≤ r ≤ L."""
        return float(np.abs(self.transverse / self.isotropic - 1).max())

    @property
    def free_anisotropy(self) -> float:
        """The same of the velocity without the forced shells."""
        return float(np.abs(self.free_transverse / self.free_isotropic - 1).max())


def statistics(resolution: Resolution, rows: list[Row]) -> Statistics:
    """Return the averages of measured rows."""

    def column(name: str) -> Array:
        return np.array([row[name] for row in rows])

    square, cube = column("derivative_square"), column("derivative_cube")
    single = derivative_skewness(derivative_square=square, derivative_cube=cube)
    dissipation = float(column("dissipation").mean())
    length = (resolution.viscosity**3 / dissipation) ** 0.25
    integral = float(column("integral_length").mean())
    distance = np.geomspace(length, integral, 40)
    first, second, relation = structure_functions(
        column("longitudinal").mean(axis=0), column("transverse").mean(axis=0), distance
    )
    _, free_second, free_relation = structure_functions(
        column("free_longitudinal").mean(axis=0), column("free_transverse").mean(axis=0), distance
    )
    spectrum = column("spectrum").mean(axis=0)
    return Statistics(
        skewness=float(derivative_skewness(derivative_square=square.mean(), derivative_cube=cube.mean())),
        skewness_range=(float(single.min()), float(single.max())),
        taylor_reynolds_number=float(column("taylor_reynolds_number").mean()),
        viscosity=resolution.viscosity,
        dissipation=dissipation,
        kolmogorov_length=length,
        integral_length=integral,
        resolution=(len(spectrum) - 1) * length,
        duration=(resolution.end - resolution.start) / float(column("turnover_time").mean()),
        spectrum=spectrum,
        distance=distance,
        longitudinal=first,
        transverse=second,
        isotropic=relation,
        free_transverse=free_second,
        free_isotropic=free_relation,
    )
