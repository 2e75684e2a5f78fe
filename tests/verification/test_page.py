"""The committed page shows figures that exist and names every trap; a page is made of whatever was found."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eddymark.initial_spectra import STATIONS
from verification import page
from verification.comte_bellot_corrsin import POINTS, Model, measured_energies
from verification.figures import FOLDER
from verification.fitted_viscosity import Fit
from verification.forced_isotropic import Statistics
from verification.page import PAGE, Found, write_page
from verification.taylor_green import REFERENCE_PEAK, REFERENCE_TIME, Case
from verification.traps import TRAPS


def test_the_page_has_its_figures_and_the_table_of_traps_as_it_is_now() -> None:
    text = PAGE.read_text(encoding="utf-8")
    pictures = re.findall(r"\]\(images/(verification-[a-z-]+\.svg)\)", text)
    assert sorted(pictures) == sorted(path.name for path in FOLDER.glob("verification-*.svg"))
    assert pictures
    for trap, mistake, tests in TRAPS:
        assert f"| {trap} | {mistake} | " in text
        for test in tests:
            assert f"`{test.removeprefix('tests/')}`" in text


def vortex(excess: float, delay: float) -> list[dict[str, float]]:
    """A peak that is higher and later than the reference by so much, without any imbalance."""
    height, rows = (1 + excess) * REFERENCE_PEAK, []
    for step in range(121):
        late = 0.1 * step - REFERENCE_TIME - delay
        loss, energy = height - 1e-4 * late**2, 1 - height * late + 1e-4 * late**3 / 3
        rows.append({"time": 0.1 * step, "loss": loss, "molecular": loss, "energy": energy})
    return rows


def stations(factor: float) -> dict[int, dict[str, Any]]:
    """Two members with so many times the measured energy."""
    rows: dict[int, dict[str, Any]] = {}
    for station in STATIONS:
        spectrum = factor * measured_energies(station, 21)
        rows[station] = {"energies": [spectrum.sum()] * 2, "spectrum": spectrum.tolist(), "skewness": -0.3}
    return rows


def forced(skewness: float) -> Statistics:
    nothing, spectrum = np.ones(40), np.array([0, 1.0, 0.25, 0.125])
    return Statistics(
        skewness=skewness,
        skewness_range=(-0.5, -0.3),
        taylor_reynolds_number=44,
        viscosity=0.025,
        dissipation=1,
        kolmogorov_length=0.1,
        integral_length=1,
        resolution=1.5,
        duration=40,
        spectrum=spectrum,
        distance=nothing,
        longitudinal=nothing,
        transverse=nothing,
        isotropic=nothing,
        free_transverse=nothing,
        free_isotropic=nothing,
    )


def test_what_is_not_met_is_said_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    fitted = Model("fitted_spectral_viscosity", "fitted_spectral_viscosity", viscosity_ratios=(0.0, *range(1, 30)))
    write_page(
        Found(
            vortex={
                Case(64): vortex(0.04, 0.2),
                Case(64, precision="float64"): vortex(0.04, 0.2),
                Case(128): vortex(0.07, 0.0),
                Case(192): vortex(0.04, -0.2),
                Case(256): vortex(0.01, 0.4),
            },
            preparation=[{"skewness": -0.1 * i} for i in range(5)],
            stations={"none": stations(1.5), "dynamic_smagorinsky": stations(0.92)},
            unprepared=stations(1.2),
            fit=Fit(fitted, (1.0, 0.5, 0.2, 0.1)),
            forced={64: forced(-0.39), 128: forced(-0.5)},
            missing=["a large one"],
        )
    )
    text = (tmp_path / "page.md").read_text(encoding="utf-8")

    def row(*beginning: str) -> list[str]:
        lines = [line for line in text.splitlines() if line.startswith("| " + " | ".join(beginning))]
        assert len(lines) == 1, beginning
        return [cell.strip() for cell in lines[0].strip("|").split("|")][len(beginning) :]

    named = "Taylor–Green vortex, Re 1600, {} no model: peak of −dE/dt, its time"
    wanted = "within 5 % and 0.3 L / V₀"
    assert row(named.format("85³ modes (128³ points),"), wanted) == ["+7.0 %, +0.00", "**no**"]
    assert row(named.format("127³ modes (192³ points),"), wanted) == ["+4.0 %, −0.20", "yes"]
    assert row(named.format("171³ modes (256³ points),"), wanted) == ["+1.0 %, +0.40", "**no**"]
    assert row("Comte-Bellot & Corrsin: energy at station 171, dynamic Smagorinsky", "within 10 %") == ["−8.0 %", "yes"]
    assert row("Forced isotropic DNS, 64³, R_λ = 44: derivative skewness", "−0.6 … −0.4") == ["−0.390", "**no**"]
    assert row("Forced isotropic DNS, 128³, R_λ = 44: derivative skewness", "−0.6 … −0.4") == ["−0.500", "yes"]
    assert row("64³, float64") == ["43³", "none", "9.17", "0.01337", "+4.0 %"]
    # 0.176 decades are a factor of 1.5 in every shell.
    assert row("none") == ["+50.0 % ± 0.0", "+50.0 % ± 0.0", "0.176", "−0.30"]
    # ½ κ² E of the shells 1 and 2 over that of all three: 2 / 3.125.
    assert row("64³", "44")[-1] == "64 %"
    assert "Not computed yet: a large one." in text
    assert f"LES on {POINTS}³ points" in text
    assert "k ≤ 2.33 cm⁻¹: 69 % of the energy at the first station" in text
