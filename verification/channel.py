"""Turbulent channel flow at Re_τ = 178.12 in a small box: `python -m verification.channel [--minutes M]`.

The case which is called "180" has 178.12, "395" has 392.24 (Moser, Kim & Mansour 1999). A small box holds the flow near
the walls alone; what is compared is within 0.3 L_z of a wall.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.polynomial import legendre
from numpy.typing import NDArray
from torch import Tensor

from eddymark.checkpoints import Checkpoints
from eddymark.errors import EddymarkError
from eddymark.solvers.channel.flow import ChannelFlow
from eddymark.solvers.channel.grid import ChannelGrid
from eddymark.solvers.channel.initial_state import friction_velocity, turbulent_start
from eddymark.solvers.channel.time_integration import ChannelIntegration, CourantReport
from verification.marching import Row, sources

Array = NDArray[np.float64]
REYNOLDS_NUMBERS = {"180": 178.12, "395": 392.24}
"""u_τ h / ν of the cases of Moser, Kim & Mansour (1999), Phys. Fluids 11, 943, as their files' headers have it."""

VALID_SHARE = 0.3
"""A box of width L_z holds all eddies up to about 0.3 L_z from a wall.

Source: Flores & Jiménez (2010), Phys. Fluids 22, 071704.
"""


@dataclass(frozen=True)
class Case:
    """A DNS driven by a constant pressure gradient; lengths in h, velocities in u_τ, times in h / u_τ."""

    points: tuple[int, int, int] = (54, 96, 48)
    sides: tuple[float, float, float] = (math.pi, 2.0, 0.34 * math.pi)
    reynolds_number: float = REYNOLDS_NUMBERS["180"]
    precision: str = "float64"
    seed: int = 0
    spin_up: float = 10.0
    end: float = 40.0
    interval: float = 0.05

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"channel-{self.reynolds_number:.0f}-{'x'.join(map(str, self.points))}-{self.precision}"

    def flow(self) -> ChannelFlow:
        """Return its equations."""
        grid = ChannelGrid(self.points, self.sides)
        dtype = getattr(torch, self.precision)
        return ChannelFlow(grid, viscosity=1 / self.reynolds_number, pressure_gradient=1.0, dtype=dtype)

    def start(self, flow: ChannelFlow) -> Tensor:
        """Return the initial state, with the bulk velocity that the friction law has for u_τ = 1."""
        low, high = 1.0, 100.0
        for _ in range(60):
            middle = (low + high) / 2
            friction = friction_velocity(bulk_velocity=middle, half_height=1.0, viscosity=flow.viscosity)
            low, high = (middle, high) if friction < 1 else (low, middle)
        return turbulent_start(flow, bulk_velocity=low, seed=self.seed)


def moments(flow: ChannelFlow, spectrum: Tensor) -> Tensor:
    """Return averages over planes of u, v, w, u², v², w², u v, `(7, y)`, in double precision."""
    u, v, w = flow.to_physical(spectrum)[0].double()
    return torch.stack([field.mean(dim=(0, 2)) for field in (u, v, w, u * u, v * v, w * w, u * v)])


def simulate(case: Case, folder: Path, *, minutes: float = math.inf) -> tuple[list[Row], Tensor]:
    """Return the history, one row per interval, and the moments `(7, y)` averaged after the spin-up.

    A killed simulation goes on from its last checkpoint; what is finished is not computed again.

    Arguments:
        case: what is simulated.
        folder: results.
        minutes: when to stop in between.
    """
    began, flow = time.monotonic(), case.flow()
    key = {"case": repr(replace(case, end=0.0)), "sources": sources("verification.channel")}  # it may go on later
    checkpoints = Checkpoints(folder / case.name, key)
    stored = checkpoints.load()
    rows: list[Row] = stored.facts["rows"] if stored else []
    sums = stored.state["sums"] if stored else torch.zeros((7, case.points[1]), dtype=torch.float64)
    spectrum = torch.view_as_complex(stored.state["spectrum"]) if stored else case.start(flow)
    integration, intervals = ChannelIntegration(), round(case.end / case.interval)
    with torch.no_grad():
        while len(rows) < intervals:
            report = CourantReport()
            rate = flow.courant_rate(flow.to_physical(spectrum))
            steps = integration.steps(rate, case.interval)
            spectrum = integration.advance(flow, spectrum, case.interval, steps=steps, report=report)
            now = (len(rows) + 1) * case.interval
            rows.append(
                {
                    "time": now,
                    "bulk_velocity": float(flow.bulk_velocity(spectrum)[0, 0]),
                    "wall_shear": float(flow.wall_shear(spectrum).mean()),
                    "energy": float(flow.kinetic_energy(spectrum)),
                    "steps": steps,
                    "courant_number": report.largest,
                }
            )
            if now > case.spin_up + 1e-9:
                sums = sums + moments(flow, spectrum)
            late = time.monotonic() - began > 60 * minutes
            if len(rows) == intervals or late or checkpoints.due():
                state = {"spectrum": torch.view_as_real(spectrum), "sums": sums}
                checkpoints.save(len(rows), state=state, parts={}, facts={"rows": rows})
                print(progress(case, rows[-1]), file=sys.stderr, flush=True)
            if late:
                break
    averaged = sum(row["time"] > case.spin_up + 1e-9 for row in rows)
    return rows, sums / max(1, averaged)


def progress(case: Case, row: Row) -> str:
    """Return one line on where a simulation is."""
    return (
        f"{case.name}: time {row['time']:.4g} of {case.end:.4g} h/u_τ, {row['steps']} steps per {case.interval:.4g}, "
        f"Courant number {row['courant_number']:.3g}, U_b+ {row['bulk_velocity']:.4g}, "
        f"wall shear {row['wall_shear']:.4g}"
    )


@dataclass(frozen=True)
class Profiles:
    """Averages over time, planes and both halves in wall units, from the wall to the middle, each `(y,)`."""

    y: Array
    plus: Array
    mean: Array
    rms: Array
    """rms of u, v, w, `(3, y)`."""
    stress: Array
    """−⟨u v⟩."""
    imbalance: Array
    """dU⁺/dy⁺ − ⟨u v⟩⁺ − (1 − y/h): zero in a steady average."""
    bulk: float
    centre: float


def profiles(case: Case, averages: Tensor) -> Profiles:
    """Return profiles in wall units of averaged moments `(7, y)`."""
    grid = ChannelGrid(case.points, case.sides)
    full = averages.numpy()
    sign = np.array([1, -1, 1, 1, 1, 1, -1])[:, None]  # what the mirror image changes
    folded = (full + sign * full[:, ::-1]) / 2
    y = grid.coordinates()[1]
    fitted = legendre.legfit(y - 1, folded[0], grid.degree)
    slope = legendre.legval(y - 1, legendre.legder(fitted)) / case.reynolds_number
    variance = np.maximum(folded[3:6] - folded[:3] ** 2, 0)
    stress = folded[0] * folded[1] - folded[6]
    half = slice(0, (len(y) + 1) // 2)
    imbalance = slope + stress - (1 - y)
    return Profiles(
        y=y[half],
        plus=y[half] * case.reynolds_number,
        mean=folded[0, half],
        rms=np.sqrt(variance[:, half]),
        stress=stress[half],
        imbalance=imbalance[half],
        bulk=float(grid.weights() @ folded[0]),
        centre=float(legendre.legval(0.0, fitted)),
    )


def read_reference(folder: Path, name: str = "chan180") -> dict[str, Array]:
    """Return y⁺, U⁺, rms of u, v, w and −⟨u v⟩⁺ of published profiles.

    Arguments:
        folder: where `NAME.means` (columns y, y⁺, U⁺, …) and `NAME.reystress` (y, y⁺, uu, vv, ww, uv, …) are, as
            Moser, Kim & Mansour publish them; lines that begin with # are comments.
        name: chan180, chan395 or chan590.

    Raises:
        EddymarkError: if a file is missing or is no such table.
    """
    tables = []
    for ending, columns in (("means", 3), ("reystress", 6)):
        path = folder / f"{name}.{ending}"
        try:
            tables.append(np.loadtxt(path, comments="#", ndmin=2)[:, :columns])
        except (OSError, ValueError) as error:
            raise EddymarkError(f"{path}: expected a table of the published profiles, found: {error}") from None
        if tables[-1].shape[1] != columns:
            raise EddymarkError(f"{path}: expected at least {columns} columns, found {tables[-1].shape[1]}")
    means, stresses = tables
    return {
        "plus": means[:, 1],
        "mean": means[:, 2],
        "stress_plus": stresses[:, 1],
        "rms": np.sqrt(np.maximum(stresses[:, 2:5].T, 0)),
        "stress": -stresses[:, 5],
    }


def comparison(case: Case, found: Profiles, reference: dict[str, Array] | None) -> list[tuple[str, float, float]]:
    """Return what is compared where the box is valid: name, found value, published value."""
    valid = found.y <= VALID_SHARE * case.sides[2]
    sublayer, logarithmic = found.plus <= 3, valid & (found.plus >= 30)
    rows = [("U+ / y+ below y+ = 3", float((found.mean / found.plus)[sublayer].mean()), 1.0)]
    if logarithmic.any():
        law = 2.5 * np.log(found.plus[logarithmic]) + 5.5
        rows.append(("U+ / (2.5 ln y+ + 5.5) from y+ = 30", float((found.mean[logarithmic] / law).mean()), 1.0))
    friction = friction_velocity(bulk_velocity=found.bulk, half_height=1.0, viscosity=1 / case.reynolds_number)
    rows.append(("C_f / (0.073 Re_m^-1/4)", friction**-2, 1.0))
    if reference is None:
        return rows
    for target in (5, 10, 15, 20, 30, 50):
        if target <= found.plus[valid].max():
            values = (
                np.interp(target, x, y) for x, y in ((found.plus, found.mean), (reference["plus"], reference["mean"]))
            )
            rows.append((f"U+ at y+ = {target}", *map(float, values)))  # type: ignore[arg-type]
    for index, name in enumerate("uvw"):
        inside = reference["stress_plus"] <= found.plus[valid].max()
        rows.append(
            (
                f"{name}_rms+, largest",
                float(found.rms[index, valid].max()),
                float(reference["rms"][index][inside].max()),
            )
        )
    rows.append(("-uv+, largest", float(found.stress[valid].max()), float(reference["stress"][inside].max())))
    return rows


def describe(case: Case, rows: list[Row], averages: Tensor, reference: dict[str, Array] | None) -> list[str]:
    """Return the lines which say what was found."""
    lines = [progress(case, rows[-1])]
    if rows[-1]["time"] <= case.spin_up + 1e-9:
        return [*lines, f"averages begin after {case.spin_up:.4g} h/u_τ"]
    found = profiles(case, averages)
    valid = found.y <= VALID_SHARE * case.sides[2]
    lines.append(
        f"Re_τ {case.reynolds_number} (178.12 is called 180, 392.24 395); averages over "
        f"{rows[-1]['time'] - case.spin_up:.4g} h/u_τ; compared up to y+ = {found.plus[valid].max():.0f}, "
        "where the box is valid"
    )
    lines.append(f"U_b+ {found.bulk:.4g}, U_c+ {found.centre:.4g}")
    peaks = ", ".join(
        f"{name}_rms+ {values[valid].max():.3f} at y+ {found.plus[valid][values[valid].argmax()]:.0f}"
        for name, values in zip("uvw", found.rms, strict=True)
    )
    lines.append(f"largest {peaks}, -uv+ {found.stress[valid].max():.3f}")
    lines.append(f"total stress less 1 − y/h: at most {np.abs(found.imbalance).max():.3f}")
    lines.extend(
        f"{name}: {value:.4g}, published {wanted:.4g}" for name, value, wanted in comparison(case, found, reference)
    )
    return lines


def main(arguments: list[str] | None = None) -> None:
    """Simulate until it is finished or the time is up, then print what was found."""
    case = Case()
    parser = argparse.ArgumentParser(description="Turbulent channel flow in a small box against published profiles.")
    parser.add_argument("--results", type=Path, default=Path("results/verification"), help="folder of checkpoints")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after this time; run again to go on")
    parser.add_argument("--end", type=float, default=case.end, help="end of the simulation, h/u_τ")
    parser.add_argument("--reference", type=Path, help="folder with chan180.means and chan180.reystress")
    given = parser.parse_args(arguments)
    reference = read_reference(given.reference) if given.reference else None
    case = Case(end=given.end)
    for line in describe(case, *simulate(case, given.results, minutes=given.minutes), reference):
        print(line)


if __name__ == "__main__":
    main()
