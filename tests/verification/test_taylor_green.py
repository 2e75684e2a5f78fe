"""The short form of the Taylor–Green vortex at Reynolds number 1600."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from verification.energy_balance import accumulated_imbalance, instantaneous_imbalance
from verification.taylor_green import REFERENCE_PEAK, REFERENCE_TIME, Case, peak, simulate


def test_the_rate_of_loss_is_that_of_the_energy_and_viscosity_is_all_of_it_without_a_model(tmp_path: Path) -> None:
    rows = simulate(Case(16, precision="float64", end=1.0), tmp_path)
    energy, loss, molecular = (np.array([row[name] for row in rows]) for name in ("energy", "loss", "molecular"))
    np.testing.assert_allclose(loss, molecular, rtol=1e-12)
    assert instantaneous_imbalance(rows) < 1e-12
    # Simpson's rule over the loss gives the change of the energy.
    weights = np.array([1, 4, 2, 4, 2, 4, 2, 4, 2, 4, 1]) / 30
    assert energy[0] - energy[-1] == pytest.approx(float(weights @ loss), rel=1e-5)
    assert accumulated_imbalance(rows) == pytest.approx(abs(weights @ loss / (energy[0] - energy[-1]) - 1), abs=1e-12)
    # 2 ν times the enstrophy 3/8 of the initial state.
    assert loss[0] == pytest.approx(2 / 1600 * 3 / 8, rel=1e-12)


def test_a_closure_takes_out_energy_beyond_the_molecular_loss(tmp_path: Path) -> None:
    row = simulate(Case(16, "smagorinsky", end=0.1), tmp_path)[-1]
    assert row["loss"] > 1.5 * row["molecular"]


def test_energy_from_nowhere_is_noticed() -> None:
    rows = [{"time": 0.1 * i, "energy": 1 - 0.1 * i, "loss": 1.0, "molecular": 1.0} for i in range(5)]
    assert instantaneous_imbalance(rows) == 0
    assert accumulated_imbalance(rows) == pytest.approx(0, abs=1e-12)
    assert instantaneous_imbalance([row | {"molecular": 1.01} for row in rows]) == pytest.approx(0.01)
    assert accumulated_imbalance([row | {"energy": row["energy"] ** 2} for row in rows]) > 0.3


def test_the_peak_is_that_of_the_parabola_through_the_highest_rows() -> None:
    times = np.arange(0, 5, 0.1)
    rows = [{"time": float(t), "loss": float(1.3 - 0.2 * (t - 2.437) ** 2)} for t in times]
    assert peak(rows) == pytest.approx((2.437, 1.3))


def test_the_vortex_breaks_down_as_the_reference_does(tmp_path: Path) -> None:
    """64³ points without a model: too few to be converged, but enough for height and time of the peak."""
    rows = simulate(Case(64, end=9.6), tmp_path)
    time, height = peak(rows)
    assert time == pytest.approx(REFERENCE_TIME, abs=0.3)
    assert height == pytest.approx(REFERENCE_PEAK, rel=0.05)
    # A laminar vortex of this viscosity would have kept 0.12.
    assert 0.07 < rows[-1]["energy"] < 0.08
