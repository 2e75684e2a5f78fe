"""The compiled steps against the torch path, and their repeatability to the last bit."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from eddymark.closures.fitted_spectral_viscosity import FittedSpectralViscosity
from eddymark.config.schema import Forcing
from eddymark.grid import Grid
from eddymark.solvers.compiled import stepping
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.time_integration import INTEGRATORS, EnergyLedger, TimeIntegration
from tests.solvers.test_periodic import BOX, random_spectrum

FORCES = {
    "none": Forcing(),
    "held_shells": Forcing(type="held_shells", energies={1: 0.7, 2: 0.2}),
    "constant_power": Forcing(type="constant_power", power=0.5, shells=(1, 2)),
    "sinusoidal": Forcing(type="sinusoidal", wavenumber=1, amplitude=1.0),
}
TOLERANCE = {torch.float32: 2e-6, torch.float64: 4e-15}
SCRIPT = """
import torch
from tests.solvers.test_compiled import digest
print(digest())
"""


def flow(points: tuple[int, ...], force: str = "none", dtype: torch.dtype = torch.float64) -> NavierStokes:
    sides = tuple(BOX * (1 + 0.25 * axis) for axis in range(len(points)))
    return NavierStokes(Grid(points, sides), viscosity=0.02, linear_drag=0.1, forcing=FORCES[force], dtype=dtype)


def state(solver: NavierStokes, batch: int = 2) -> torch.Tensor:
    return random_spectrum(solver, batch=batch).to(solver.space.dtype.to_complex())


def digest() -> str:
    """Digest of what some flows have become."""
    result = hashlib.sha256()
    for points, dtype in (((24, 32), torch.float32), ((12, 16, 20), torch.float32), ((16, 16, 16), torch.float64)):
        solver = flow(points, "constant_power", dtype)
        torch.set_num_threads(1)
        with torch.no_grad():
            spectrum = TimeIntegration("runge_kutta_4", 1.0).advance(solver, state(solver), 0.05, steps=5)
        result.update(spectrum.numpy().tobytes())
    return result.hexdigest()


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
@pytest.mark.parametrize("points", [(16, 24), (4, 6), (10, 136), (12, 16, 20), (8, 4, 6), (4, 6, 8)], ids=str)
@pytest.mark.parametrize("name", sorted(INTEGRATORS))
@pytest.mark.parametrize("force", sorted(FORCES))
def test_compiled_steps_are_the_torch_steps_to_rounding(
    force: str, name: str, points: tuple[int, ...], dtype: torch.dtype
) -> None:
    if force == "held_shells" and min(points) < 8:
        pytest.skip("the grid has no second shell")
    solver = flow(points, force, dtype)
    spectrum = state(solver)
    integration = TimeIntegration(name, 1.0)
    expected_ledger, ledger = EnergyLedger(), EnergyLedger()
    expected = integration.advance(solver, spectrum, 0.2, steps=10, ledger=expected_ledger)
    before = spectrum.clone()
    with torch.inference_mode():
        computed = integration.advance(solver, spectrum, 0.2, steps=10, ledger=ledger)
    assert torch.equal(spectrum, before)
    assert computed.dtype == expected.dtype
    assert (expected - spectrum).abs().max() > 1e-3 * expected.abs().max()
    assert (computed - expected).abs().max() <= TOLERANCE[dtype] * expected.abs().max()
    injected = torch.as_tensor(expected_ledger.injected, dtype=dtype)
    assert torch.allclose(torch.as_tensor(ledger.injected), injected.expand(2), rtol=20 * TOLERANCE[dtype])


def test_gradients_take_the_torch_path_and_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    solver = flow((8, 8, 8))
    used: list[int] = []
    original = stepping.CompiledSteps.advance

    def watched(self: stepping.CompiledSteps, *arguments: object) -> object:
        used.append(1)
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(stepping.CompiledSteps, "advance", watched)
    spectrum = state(solver)
    integration = TimeIntegration("runge_kutta_4", 1.0)
    integration.advance(solver, spectrum, 0.1, steps=1)
    assert not used
    viscosity = FittedSpectralViscosity(space=solver.space, viscosity=0.02)
    torch.nn.init.constant_(viscosity.ratio, 2.0)
    expected = integration.advance(solver, spectrum, 0.1, steps=2, closure=viscosity)
    with torch.no_grad():
        computed = integration.advance(solver, spectrum, 0.1, steps=2, closure=viscosity)
    assert used == [1]
    assert (computed - expected).abs().max() <= 1e-15


@pytest.mark.parametrize("points", [(24, 32), (12, 16, 20)], ids=str)
@pytest.mark.parametrize("force", ["held_shells", "constant_power"])
def test_neither_batch_nor_threads_change_a_bit(threads: None, points: tuple[int, ...], force: str) -> None:
    solver = flow(points, force, torch.float32)
    spectrum = state(solver, batch=3)
    integration = TimeIntegration("runge_kutta_4", 1.0)
    results = []
    for count in (1, 2):
        torch.set_num_threads(count)
        with torch.no_grad():
            results.append(integration.advance(solver, spectrum, 0.1, steps=4))
            alone = [integration.advance(solver, part, 0.1, steps=4) for part in spectrum.split(1)]
        results.append(torch.cat(alone))
    assert all(torch.equal(result, results[0]) for result in results)


def test_another_process_computes_the_same_bits(threads: None) -> None:
    other = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == digest()


def test_a_state_that_is_lost_becomes_nan_and_not_an_error() -> None:
    solver = flow((8, 8, 8), "held_shells")
    with torch.no_grad():
        lost = TimeIntegration("runge_kutta_4", 1.0).advance(solver, state(solver) * 1e200, 1.0, steps=2)
    assert not math.isfinite(float(lost.abs().sum()))
