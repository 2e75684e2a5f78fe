"""The measured spectra, and the short form of the LES from station to station."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eddymark.checkpoints import SECONDS
from eddymark.closures import CLOSURES
from eddymark.initial_spectra import STATIONS
from eddymark.solvers.time_integration import TimeIntegration
from verification.comte_bellot_corrsin import (
    MEMBERS,
    MODELS,
    energy_errors,
    equations,
    measured_energies,
    output_times,
    prepared_state,
    shell_energies,
    simulate,
)
from verification.fitted_viscosity import MEMBERS as FIT_MEMBERS
from verification.fitted_viscosity import fit
from verification.stations import STATION_TIMES, VISCOSITY, energy_density, measured_spectrum


def test_spectra_go_through_the_measurements_in_flow_units() -> None:
    for station in STATIONS:
        wavenumber, energy = measured_spectrum(station)
        np.testing.assert_allclose(energy_density(station, wavenumber), energy, rtol=1e-12)
    # k = 1 / cm is 9, and 270 cm³/s² is 270 / (22.2² · 9).
    assert energy_density(42, 9.0) == pytest.approx(270 / (22.2**2 * 9))
    # Between two measurements and beyond them a power law: the geometric mean in the middle of the logarithms.
    assert energy_density(98, 9 * np.sqrt(2.0)) ** 2 == pytest.approx(
        energy_density(98, 9.0) * energy_density(98, 18.0), rel=0.05
    )
    assert energy_density(171, 200.0) < energy_density(171, 135.0)


def test_the_table_has_the_published_velocity_and_times() -> None:
    """u' = 22.2 cm/s at the first station; U₀ = 10 m/s and M = 5.08 cm make the stations 0.284 and 0.655 s later."""
    wavenumber = np.geomspace(0.5, 180, 2000)
    energy = np.trapezoid(energy_density(42, wavenumber), wavenumber)
    assert np.sqrt(2 * energy / 3) == pytest.approx(1, rel=0.03)
    assert np.array(STATION_TIMES) * 9 / 22.2 == pytest.approx([0, 0.28448, 0.65532])
    assert pytest.approx(0.1494, rel=1e-3) == VISCOSITY * 22.2 * 9  # cm²/s, air


def test_prepared_states_have_the_measured_energy_in_every_complete_shell(tmp_path: Path) -> None:
    rows, spectrum = prepared_state(tmp_path, points=24, members=[0], duration=0.2)
    space = equations(24).space
    found = space.energy_spectrum(spectrum)[0].numpy()
    np.testing.assert_allclose(found[1:8], energy_density(42, np.arange(1, 8)), rtol=1e-4)
    held = shell_energies(space)
    assert max(held) == len(found) - 1
    for shell in range(8, len(found)):
        assert held[shell] < energy_density(42, shell)
    # Random phases have no skewness, those of eddies have.
    assert abs(rows[0]["skewness"]) < 0.03
    assert rows[-1]["skewness"] < -0.06


def test_a_coarse_les_decays_like_the_measurement_and_no_model_does_not(tmp_path: Path) -> None:
    errors = {}
    for model in MODELS:
        if model.name in ("none", "dynamic_smagorinsky"):
            rows = simulate(model, tmp_path, points=32, members=[0], preparation=0.2)
            assert energy_errors(rows, 42) == pytest.approx([0], abs=1e-4)
            errors[model.name] = [float(energy_errors(rows, station)[0]) for station in STATIONS[1:]]
    assert np.abs(errors["dynamic_smagorinsky"]).max() < 0.15
    assert min(errors["none"]) > 0.3


def test_measured_energies_are_those_of_whole_shells() -> None:
    assert measured_energies(171, 3) == pytest.approx([0, *energy_density(171, [1, 2, 3])])


def test_a_fitted_viscosity_gives_the_spectrum_to_which_it_was_fitted_also_from_other_states(tmp_path: Path) -> None:
    found = fit(tmp_path, points=24, preparation=0.2, iterations=10)
    assert found.distances[0] > 0.5
    assert found.distances[-1] < 0.01
    ratios = found.model.viscosity_ratios
    assert len(ratios) == 1 + max(shell_energies(equations(24).space))
    assert min(ratios[3:8]) > 1
    # The states of the fit are not those of the judgement.
    assert not set(FIT_MEMBERS) & set(MEMBERS)
    rows = simulate(found.model, tmp_path, points=24, preparation=0.2)
    assert np.abs(energy_errors(rows, 98)).max() < 0.05
    # Viscosities that do not fall with the turbulence are too large later on.
    assert energy_errors(rows, 171).max() < -0.05


def test_a_killed_fit_goes_on_to_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECONDS, "0")
    whole = fit(tmp_path / "whole", points=12, preparation=0.0, iterations=4)
    runs = 0
    steps = TimeIntegration.steps

    def kill_in_the_third(*arguments: Any) -> int:
        nonlocal runs
        runs += 1
        if runs == 2 * (len(output_times(*STATION_TIMES[:2])) - 1) + 3:
            raise KeyboardInterrupt
        return steps(*arguments)

    monkeypatch.setattr(TimeIntegration, "steps", kill_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "killed", points=12, preparation=0.0, iterations=4)
    monkeypatch.setattr(TimeIntegration, "steps", steps)
    assert fit(tmp_path / "killed", points=12, preparation=0.0, iterations=4) == whole


def test_every_closure_is_tried_but_the_one_of_two_dimensions_and_the_one_that_is_a_network() -> None:
    tried = {model.closure for model in MODELS} | {"fitted_spectral_viscosity"}
    assert set(CLOSURES) - tried == {"leith", "learned"}
