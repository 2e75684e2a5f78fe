"""Writes docs/verification.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from eddymark.grid import Grid
from eddymark.initial_spectra import STATIONS
from eddymark.records import write_atomically
from eddymark.report.text import number
from eddymark.statistics.spectra import spectrum_error
from verification import taylor_green
from verification.comte_bellot_corrsin import MEMBERS, POINTS, energy_errors, measured_energies
from verification.energy_balance import accumulated_imbalance, instantaneous_imbalance
from verification.fitted_viscosity import Fit
from verification.forced_isotropic import ENERGIES, Statistics
from verification.marching import Row
from verification.peers import RECORD, SHAPES, STEP, STEPS
from verification.traps import TRAPS

PAGE = Path(__file__).parents[1] / "docs" / "verification.md"
TEMPLATE = Path(__file__).with_name("page.md.j2")

Stations = Mapping[int, Row]


@dataclass(frozen=True)
class Found:
    """What all cases found.

    Arguments:
        vortex: rows of every simulation of the Taylor–Green vortex.
        preparation: rows of the preparation of the states at the first station of Comte-Bellot & Corrsin.
        stations: what each closure's LES has at the stations.
        unprepared: the same of dynamic Smagorinsky from random phases.
        fit: the fitted spectral viscosity.
        forced: statistics of forced turbulence by number of points.
        missing: names of simulations that are not finished.
    """

    vortex: Mapping[taylor_green.Case, list[Row]]
    preparation: Sequence[Row]
    stations: Mapping[str, Stations]
    unprepared: Stations
    fit: Fit
    forced: Mapping[int, Statistics]
    missing: Sequence[str] = ()


def write_page(found: Found) -> None:
    """Write the page."""
    peers = json.loads(RECORD.read_text(encoding="utf-8"))
    single, double = (
        np.array([row["loss"] for row in found.vortex[taylor_green.Case(64, precision=precision)]])
        for precision in ("float32", "float64")
    )
    direct = [rows for case, rows in found.vortex.items() if case.closure == "none" and case.precision == "float32"]
    skewness = [number(row["skewness"], 2) for row in found.preparation[:: max(1, len(found.preparation) // 4)]]
    text = jinja2.Template(
        TEMPLATE.read_text(encoding="utf-8"), undefined=jinja2.StrictUndefined, trim_blocks=True
    ).render(
        criteria=_criteria(found, peers),
        missing=", ".join(found.missing),
        reference=f"{number(taylor_green.REFERENCE_PEAK, 6)} V₀³ / L at t = {taylor_green.REFERENCE_TIME} L / V₀",
        vortex=_vortex(found.vortex),
        precision=number(float(np.abs(single / double - 1).max()), 2),
        instantaneous=number(max(instantaneous_imbalance(rows) for rows in direct), 2),
        accumulated=number(max(accumulated_imbalance(rows) for rows in direct), 2),
        points=POINTS,
        share=f"{100 * _resolved_share():.0f} %",
        members=len(MEMBERS),
        preparation=", ".join(skewness),
        unprepared=_percent(float(energy_errors(found.unprepared, STATIONS[2]).mean())),
        stations=_stations(found.stations),
        iterations=len(found.fit.distances),
        fit=", ".join(number(distance, 2) for distance in found.fit.distances[::3]),
        viscosities=_viscosities(found.fit),
        forced=_forced(found.forced),
        steps=STEPS,
        step=STEP,
        versions=", ".join(f"{name} {version}" for name, version in peers["versions"].items()),
        peers=_peers(peers),
        without=", ".join(number(value, 2) for value in peers["2-D"]["fluidsim_without_velocity"]),
        traps=_traps(),
    )
    write_atomically(PAGE, text.rstrip() + "\n")


def _criteria(found: Found, peers: dict[str, Any]) -> str:
    rows: list[tuple[str, str, str, str]] = []
    for case, vortex in found.vortex.items():
        if case.points <= 64:
            continue
        time, height = taylor_green.peak(vortex)
        excess, delay = height / taylor_green.REFERENCE_PEAK - 1, time - taylor_green.REFERENCE_TIME
        size = f"{_modes(case)}³ modes ({case.points}³ points)"
        what = f"Taylor–Green vortex, Re 1600, {size}, no model: peak of −dE/dt, its time"
        met = abs(excess) <= 0.05 and abs(delay) <= 0.3
        rows.append((what, "within 5 % and 0.3 L / V₀", f"{_percent(excess)}, {_signed(delay)}", _verdict(met)))
    error = float(energy_errors(found.stations["dynamic_smagorinsky"], STATIONS[2]).mean())
    what = "Comte-Bellot & Corrsin: energy at station 171, dynamic Smagorinsky"
    rows.append((what, "within 10 %", _percent(error), _verdict(abs(error) <= 0.1)))
    for points, statistics in found.forced.items():
        what = f"Forced isotropic DNS, {points}³, R_λ = {statistics.taylor_reynolds_number:.0f}: derivative skewness"
        rows.append((what, "−0.6 … −0.4", number(statistics.skewness), _verdict(-0.6 <= statistics.skewness <= -0.4)))
    for name in SHAPES:
        difference = peers[name]["fluidsim"]
        what = f"fluidsim, {name}: largest relative difference after {STEPS} steps"
        rows.append((what, "10^−6", number(difference, 2), _verdict(difference <= 1e-6)))
    return markdown_table(("case", "wanted", "found", "met"), rows)


def _vortex(vortex: Mapping[taylor_green.Case, list[Row]]) -> str:
    rows = []
    for case, found in vortex.items():
        time, height = taylor_green.peak(found)
        label, model = f"{case.points}³, {case.precision}", case.closure.replace("_", " ")
        excess = _percent(height / taylor_green.REFERENCE_PEAK - 1)
        rows.append((label, f"{_modes(case)}³", model, number(time), number(height, 4), excess))
    headings = ("points", "modes", "model", "time of the peak, L / V₀", "peak, V₀³ / L", "against the reference")
    return markdown_table(headings, rows)


def _modes(case: taylor_green.Case) -> int:
    """Return the modes per axis that the 2/3 rule leaves."""
    return 2 * Grid((case.points,) * 3, (1.0,) * 3).dealiased_cutoff[0] + 1


def _resolved_share() -> float:
    """Return the part of the energy at the first station, 3/2, that is in the shells which the grid resolves wholly."""
    complete = Grid((POINTS,) * 3, (1.0,) * 3).resolved_shells
    return float(measured_energies(STATIONS[0], complete).sum() / 1.5)


def _viscosities(fit: Fit) -> str:
    ratios = fit.model.viscosity_ratios
    shells = [1, 2, 4, 8, 16, Grid((POINTS,) * 3, (1.0,) * 3).resolved_shells]
    values = ", ".join(number(ratios[shell], 2) for shell in shells)
    return f"{values} for κ = {', '.join(map(str, shells))}"


def _stations(stations: Mapping[str, Stations]) -> str:
    rows = []
    for name, found in stations.items():
        errors = [energy_errors(found, station) for station in STATIONS[1:]]
        cells = [f"{_percent(float(error.mean()))} ± {100 * float(np.ptp(error)) / 2:.1f}" for error in errors]
        spectrum = np.array(found[STATIONS[2]]["spectrum"])
        measured = measured_energies(STATIONS[2], len(spectrum) - 1)
        distance = float(spectrum_error(spectrum, measured, shells=slice(1, None)))
        skewness = number(found[STATIONS[2]]["skewness"], 2)
        rows.append((name.replace("_", " "), *cells, f"{distance:.3f}", skewness))
    headings = ("closure", "error of the energy at 98", "at 171", "of the spectrum at 171, decades", "skewness at 171")
    return markdown_table(headings, rows)


def _forced(forced: Mapping[int, Statistics]) -> str:
    rows = [
        (
            f"{points}³",
            number(found.taylor_reynolds_number, 2),
            number(found.resolution),
            number(found.duration, 2),
            f"{number(found.skewness)} ({number(found.skewness_range[0], 2)} … {number(found.skewness_range[1], 2)})",
            f"{100 * found.anisotropy:.0f} %",
            f"{100 * found.free_anisotropy:.1f} %",
            f"{100 * _forced_share(found):.0f} %",
        )
        for points, found in forced.items()
    ]
    relation = ("deviation from the isotropic relation", "without the forced shells")
    last = "dissipation in the forced shells"
    headings = ("points", "R_λ", "k_max η", "turnover times", "skewness (single states)", *relation, last)
    return markdown_table(headings, rows)


def _forced_share(found: Statistics) -> float:
    """Return the part of the dissipation 2 ν Σ κ² E(κ) that is in the shells whose energies are held."""
    rate = np.arange(len(found.spectrum)) ** 2 * found.spectrum
    return float(rate[: max(ENERGIES) + 1].sum() / rate.sum())


def _peers(peers: dict[str, Any]) -> str:
    rows = []
    for name, shape in SHAPES.items():
        differences = peers[name]["exponax"]
        orders = np.log2(np.divide(differences[:-1], differences[1:]))
        rows.append(
            (
                name,
                "×".join(map(str, shape)),
                number(peers[name]["fluidsim"], 2),
                ", ".join(number(value, 2) for value in differences),
                ", ".join(f"{order:.1f}" for order in orders),
            )
        )
    return markdown_table(("", "points", "fluidsim", "exponax, steps divided by 1, 2, 4, 8", "order"), rows)


def _traps() -> str:
    rows = [
        (trap, what, "<br>".join(f"`{test.removeprefix('tests/')}`" for test in tests)) for trap, what, tests in TRAPS
    ]
    return markdown_table(("", "mistake", "tests"), rows)


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _percent(value: float) -> str:
    return f"{100 * value:+.1f} %".replace("-", "−")


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _verdict(met: bool) -> str:
    return "yes" if met else "**no**"
