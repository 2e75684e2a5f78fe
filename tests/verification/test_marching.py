"""Simulations that are killed go on, and finished ones are not repeated."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from eddymark.checkpoints import SECONDS
from eddymark.grid import Grid
from eddymark.solvers.periodic import NavierStokes
from verification.marching import Row, Simulation, sources
from verification.taylor_green import initial_state

SOLVER = NavierStokes(Grid((12,) * 3, (2 * math.pi,) * 3), viscosity=0.01, dtype=torch.float32)
KEY = {"viscosity": 0.01}


def start() -> Tensor:
    return SOLVER.space.to_spectral(initial_state(SOLVER.grid).float())


def energy(spectrum: Tensor) -> Row:
    return {"energy": float(SOLVER.space.mode_energy(spectrum).sum())}


def never() -> Tensor:
    raise AssertionError("the initial state is not needed")


def test_a_killed_simulation_goes_on_to_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECONDS, "0")
    times = [0.0, 0.2, 0.4, 0.6]
    whole, last = Simulation("whole", SOLVER, times, energy).run(start, folder=tmp_path, key=KEY)
    calls = 0

    def kill_at_third(spectrum: Tensor) -> Row:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return energy(spectrum)

    with pytest.raises(KeyboardInterrupt):
        Simulation("killed", SOLVER, times, kill_at_third).run(start, folder=tmp_path, key=KEY)
    rows, state = Simulation("killed", SOLVER, times, energy).run(never, folder=tmp_path, key=KEY)
    assert rows == whole
    assert torch.equal(state, last)
    assert [row["time"] for row in rows] == times
    assert rows[-1]["energy"] < rows[0]["energy"]


def test_what_is_finished_is_not_computed_again_unless_something_changes(tmp_path: Path) -> None:
    simulation = Simulation("done", SOLVER, [0.0, 0.1], energy)
    first, _ = simulation.run(start, folder=tmp_path, key=KEY)
    again, _ = simulation.run(never, folder=tmp_path, key=KEY)
    assert again == first
    with pytest.raises(AssertionError, match="not needed"):
        simulation.run(never, folder=tmp_path, key={"viscosity": 0.02})


def test_the_sources_of_a_case_are_those_of_the_solver_and_of_its_closure() -> None:
    plain = sources("verification.taylor_green")
    assert plain != sources("verification.taylor_green", "eddymark.closures.sigma.Sigma")
    assert plain == sources("verification.taylor_green", "eddymark.solvers.periodic")
    assert plain != sources("verification.forced_isotropic")
