"""Simulations that measure themselves at given times and survive being killed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import eddymark
from eddymark.checkpoints import Checkpoints
from eddymark.closures.base import Closure
from eddymark.fingerprint import SourceTree
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.time_integration import TimeIntegration

Row = dict[str, Any]
"""What is measured at one time: numbers and lists of numbers."""


@dataclass(frozen=True)
class Simulation:
    """One run of a solver.

    Arguments:
        name: folder of its checkpoint, below the folder of results.
        solver: the equations.
        times: when it is measured, increasing; the first one is the time of the initial state.
        measure: what is measured of a state û, `(batch, d, *modes)`.
        closure: subgrid-scale model.
        courant_number: largest dt · max Σ_i |u_i| k_i,max at the start of an interval between two times.
    """

    name: str
    solver: NavierStokes
    times: Sequence[float]
    measure: Callable[[Tensor], Row]
    closure: Closure | None = None
    courant_number: float = 2.0

    def run(self, initial: Callable[[], Tensor], *, folder: Path, key: Mapping[str, Any]) -> tuple[list[Row], Tensor]:
        """Return what was measured, one row per time with the time under `time`, and the last state.

        Arguments:
            initial: makes the first state û, `(batch, d, *modes)`; called only if there is no checkpoint.
            folder: results.
            key: everything that the result depends on; a checkpoint with another key is not used.
        """
        checkpoints = Checkpoints(folder / self.name, key)
        stored = checkpoints.load()
        rows: list[Row] = stored.facts["rows"] if stored else []
        spectrum = torch.view_as_complex(stored.state["spectrum"]) if stored else initial()
        integration = TimeIntegration("runge_kutta_4", self.courant_number)
        with torch.no_grad():
            while len(rows) < len(self.times):
                time = self.times[len(rows)]
                if rows:
                    duration = time - self.times[len(rows) - 1]
                    rate = self.solver.courant_rate(self.solver.space.to_physical(spectrum))
                    steps = integration.steps(rate, duration)
                    spectrum = integration.advance(self.solver, spectrum, duration, steps=steps, closure=self.closure)
                rows.append({"time": time, **self.measure(spectrum)})
                finished = len(rows) == len(self.times)
                if finished or checkpoints.due():
                    state = {"spectrum": torch.view_as_real(spectrum)}
                    checkpoints.save(len(rows), state=state, parts={}, facts={"rows": rows})
                    print(f"{self.name}: time {time:.4g} of {self.times[-1]:.4g}", file=sys.stderr, flush=True)
        return rows, spectrum


@cache
def sources(*modules: str) -> str:
    """Return the fingerprint of modules of this folder or of eddymark, with all that they import."""
    folder = Path(__file__).parent
    tree = SourceTree({"eddymark": Path(eddymark.__file__).parent, "verification": folder})
    return tree.fingerprint(modules)
