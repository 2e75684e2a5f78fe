"""Flows which evolve from their initial state: spectra, physics of the decay, and how runs are sampled."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from eddymark import initial_spectra
from eddymark.checkpoints import Checkpoints
from eddymark.config.schema import Flow as FlowConfiguration
from eddymark.errors import EddymarkError
from eddymark.flows.base import Flow
from eddymark.flows.build import build_flow
from eddymark.flows.decaying_isotropic import MESH, comte_bellot_corrsin_spectrum
from eddymark.flows.schedule import SPLITS
from eddymark.grid import Grid, SpectralSpace
from tests.flows.sampled import Sampled, sample_runs
from tests.stopping import StoppedError, stop_after_checkpoint

FOLDER = Path(__file__).parents[2] / "config" / "flows"
CPU = torch.device("cpu")
BOX = 11 * MESH
"""Side of the box in cm which LES of the experiment use."""


def flow(name: str, *, runs: dict[str, int] | None = None, length: float = 1.0, **changes: Any) -> Flow:
    values = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    values["sampling"]["splits"] = {
        split: {"runs": count, "length": length}
        for split, count in (runs or {"train": 1, "validation": 1, "test": 2}).items()
    }
    sampling = values["sampling"] | {"spin_up": 0.0, "shards": 1} | changes.pop("sampling", {})
    return build_flow(FlowConfiguration.model_validate(values | {"surrogates": {}, "sampling": sampling} | changes))


def dns(points: int, dimension: int, **changes: Any) -> dict[str, Any]:
    return {"points": [points] * dimension, "precision": "float64", "allow_underresolved": True} | changes


@pytest.mark.parametrize("name", ["decaying_isotropic", "mcwilliams"])
def test_the_initial_state_is_solenoidal_and_has_the_energy_and_the_peak_of_the_configuration(name: str) -> None:
    case = flow(name)
    state = case.configuration.initial_state
    assert state is not None
    space = SpectralSpace(Grid((48,) * len(case.configuration.sides), case.configuration.sides))
    spectrum = case.initial_spectrum(space, np.random.default_rng(0))
    assert space.divergence(spectrum).abs().max() < 1e-13
    shells = space.energy_spectrum(spectrum)
    assert float(shells.sum()) == pytest.approx(state.energy)
    assert int(shells.argmax()) == state.peak_wavenumber
    velocity = space.to_physical(spectrum)
    # Random phases: no skewness, no preferred component.
    assert float(velocity.pow(3).mean()) == pytest.approx(0, abs=0.3 * float(velocity.pow(2).mean()) ** 1.5)


def test_mcwilliams_spectrum_is_the_published_one() -> None:
    """|ψ̂|² ∝ k⁻¹ / (1 + (k/6)⁴) per mode, so that E(k) ∝ k² · k · |ψ̂|²; largest at 6."""
    case = flow("mcwilliams")
    space = SpectralSpace(Grid((128, 128), case.configuration.sides))
    shells = space.energy_spectrum(case.initial_spectrum(space, np.random.default_rng(0))).numpy()
    k = np.arange(1, space.grid.resolved_shells + 1)
    published = k**3 * (1 / (k * (1 + (k / 6) ** 4)))
    np.testing.assert_allclose(shells[k], published / published.sum(), rtol=1e-10)
    assert shells.argmax() == 6
    assert not shells[k[-1] + 1 :].any()


@pytest.mark.parametrize(("station", "root_mean_square"), [(1, 22.2), (2, 12.8), (3, 8.95)])
def test_the_measured_spectra_add_up_to_the_published_velocities(station: int, root_mean_square: float) -> None:
    """u' in cm/s as in Comte-Bellot & Corrsin (1971), table 4; the integral over k is ³⁄₂ u'²."""
    k = np.geomspace(0.11, 15, 2000)
    energy = [initial_spectra.comte_bellot_corrsin(float(one), station=station) for one in k]
    assert math.sqrt(2 / 3 * np.trapezoid(energy, k)) == pytest.approx(root_mean_square, rel=0.02)


def test_the_measured_spectrum_on_a_grid_is_that_of_the_table() -> None:
    """A shell whose wavenumber is that of a measured point has its energy times the width of the shell."""
    length, velocity = BOX / (2 * math.pi), 27.2
    space = SpectralSpace(Grid((64,) * 3, (2 * math.pi,) * 3))
    table = {row[0]: row[1:] for row in initial_spectra.COMTE_BELLOT_CORRSIN}
    for station in (1, 2, 3):
        for shell, wavenumber in ((1, 0.5), (4, 2.0), (12, 6.0)):
            energies = comte_bellot_corrsin_spectrum(
                space, station=station, length_unit=shell / wavenumber, velocity_unit=velocity
            )
            expected = table[wavenumber][station - 1] * (wavenumber / shell) / velocity**2
            assert float(energies[shell]) == pytest.approx(expected)
    energies = comte_bellot_corrsin_spectrum(space, station=1, length_unit=length, velocity_unit=velocity)
    # What 64³ points resolve of it: two thirds of the energy, none in the corners of the cube.
    assert float(energies.sum()) * velocity**2 / (1.5 * 22.2**2) == pytest.approx(0.69, abs=0.05)
    assert not energies[22:].any()
    state = {"spectrum": "comte_bellot_corrsin", "length_unit": length, "velocity_unit": velocity}
    case = flow("decaying_isotropic", initial_state=state)
    shells = space.energy_spectrum(case.initial_spectrum(space, np.random.default_rng(0)))
    assert torch.allclose(shells, energies, atol=1e-14)


@pytest.fixture(scope="module")
def decay() -> Sampled:
    """Three-dimensional decay, resolved, over nine initial turnover times of which the first is discarded."""
    case = flow(
        "decaying_isotropic",
        length=8.0,
        runs={"train": 1, "validation": 1, "test": 2},
        sampling={"spin_up": 1.0, "interval": 0.1},
        viscosity=0.04,
        direct_numerical_simulation=dns(32, 3, precision="float32"),
    )
    return sample_runs(case, "decay", seed=1, runs=[0, 1], device=CPU)


def test_energy_decays_by_the_dissipation(decay: Sampled) -> None:
    for _, run in decay.budget.groupby("run"):
        assert (np.diff(run["kinetic_energy"]) < 0).all()
        lost = run["kinetic_energy"].iloc[0] - run["kinetic_energy"].iloc[-1]
        # Time in the table is in turnover times.
        dissipated = np.trapezoid(run["dissipation"], run["time"]) * 1.0
        turnover = lost / dissipated
        assert turnover == pytest.approx(flow("decaying_isotropic").configuration.turnover_time, rel=0.01)
        inner = run.iloc[2:-2]
        assert inner["residual"].abs().mean() < 0.01 * inner["dissipation"].mean()
        assert not inner[["injection", "drag"]].to_numpy().any()


def test_the_decay_follows_a_power_law_of_the_kind_measured(decay: Sampled) -> None:
    """E ∝ (t − t₀)⁻ⁿ with n = 1.2 … 1.4 at high Reynolds numbers, growing to 2.5 as it falls (Batchelor & Townsend)."""
    mean = decay.budget.groupby("time")[["kinetic_energy", "dissipation"]].mean().loc[3.0:8.5]
    turnover = flow("decaying_isotropic").configuration.turnover_time
    # dE/dt = −ε and a power law give E / ε = (t − t₀) / n: its slope is 1 / n without knowing t₀.
    slope = np.polyfit(mean.index * turnover, mean["kinetic_energy"] / mean["dissipation"], 1)[0]
    assert 1.2 < 1 / slope < 2.5


def test_scales_are_those_at_the_start_and_the_end_with_the_lowest_resolution(decay: Sampled) -> None:
    assert decay.final_scales is not None
    start = decay.budget[np.isclose(decay.budget["time"], 1.0)]["kinetic_energy"].mean()
    end = decay.budget.groupby("run")["kinetic_energy"].last().mean()
    assert decay.scales.energy == pytest.approx(start, rel=1e-5)
    assert decay.final_scales.energy == pytest.approx(end, rel=1e-5)
    assert decay.final_scales.turnover_time > 2 * decay.scales.turnover_time
    assert decay.scales.resolution < decay.final_scales.resolution
    assert decay.velocity["test"].shape == (2, 81, 3, 16, 16, 16)


def test_two_dimensional_turbulence_keeps_its_energy_and_loses_enstrophy_while_vortices_emerge() -> None:
    case = flow(
        "mcwilliams",
        length=6.0,
        sampling={"interval": 0.5},
        direct_numerical_simulation=dns(128, 2, precision="float32"),
    )
    sampled = sample_runs(case, "vortices", seed=1, runs=[0], device=CPU)
    run = sampled.budget
    # ε = 2 ν × enstrophy, so that its fall is that of the enstrophy.
    assert run["kinetic_energy"].iloc[-1] > 0.6 * run["kinetic_energy"].iloc[0]
    assert run["dissipation"].iloc[-1] < 0.2 * run["dissipation"].iloc[0]
    assert sampled.final_scales is not None
    assert sampled.final_scales.integral_length > 1.5 * sampled.scales.integral_length


@pytest.fixture
def small() -> Flow:
    return flow(
        "mcwilliams",
        runs={"train": 3, "validation": 1, "test": 2},
        length=0.8,
        sampling={"spin_up": 0.4, "interval": 0.2},
        viscosity=0.02,
        direct_numerical_simulation=dns(48, 2),
        large_eddy_grid={"points": [16, 16]},
    )


def sampled(case: Flow, runs: list[int], checkpoints: Checkpoints | None = None) -> Sampled:
    return sample_runs(case, "small", seed=3, runs=runs, device=CPU, checkpoints=checkpoints)


def test_every_run_belongs_to_one_split_and_test_runs_stay_when_training_runs_are_added(small: Flow) -> None:
    everything = sampled(small, list(range(6)))
    assert everything.runs == {"test": [0, 1], "validation": [2], "train": [3, 4, 5]}
    for split in SPLITS:
        assert everything.velocity[split].shape == (len(everything.runs[split]), 5, 2, 16, 16)
    assert len(everything.stress) == 2
    more = flow(
        "mcwilliams",
        runs={"train": 9, "validation": 1, "test": 2},
        **small.configuration.model_dump(include={"viscosity", "large_eddy_grid", "direct_numerical_simulation"})
        | {"sampling": {"spin_up": 0.4, "interval": 0.2}},
        length=0.8,
    )
    assert [more.configuration.split_of(run) for run in range(4)] == ["test", "test", "validation", "train"]
    np.testing.assert_array_equal(sampled(more, [1]).velocity["test"][0], everything.velocity["test"][1])


def test_members_are_independent_and_the_same_bytes_in_any_shard(small: Flow) -> None:
    together, alone = sampled(small, [0, 1, 2, 3]), sampled(small, [1, 3])
    assert alone.runs == {"test": [1], "validation": [], "train": [3]}
    assert alone.velocity["test"].tobytes() == together.velocity["test"][1:].tobytes()
    assert alone.velocity["train"].tobytes() == together.velocity["train"].tobytes()
    assert alone.velocity["validation"].shape == (0, 5, 2, 16, 16)
    own = together.budget[together.budget["run"].isin([1, 3])].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone.budget, own, check_exact=True)
    first = [together.velocity[split][0, 0].ravel() for split in SPLITS]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(first[one], first[other])[0, 1]) < 0.3


def test_a_killed_ensemble_goes_on_from_its_checkpoint_to_the_same_bytes(
    small: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    undisturbed = sampled(small, [0, 2, 3])
    # Within the spin-up of the first run, at its last output but one, in the second run, twice in the third.
    for number in (1, 4, 3, 5, 1):
        with monkeypatch.context() as patch:
            stop_after_checkpoint(number, patch)
            with pytest.raises(StoppedError):
                sampled(small, [0, 2, 3], Checkpoints(tmp_path, {}))
    capsys.readouterr()
    resumed = sampled(small, [0, 2, 3], Checkpoints(tmp_path, {}))
    assert "DNS of small, run 3, goes on after 0.4 initial turnover times" in capsys.readouterr().err
    assert resumed.files == undisturbed.files
    pd.testing.assert_frame_equal(resumed.budget, undisturbed.budget, check_exact=True)
    assert (resumed.scales, resumed.final_scales) == (undisturbed.scales, undisturbed.final_scales)


def test_a_dns_that_is_under_resolved_by_far_is_refused_unless_that_is_allowed(small: Flow) -> None:
    changes = {"viscosity": 2e-4, "large_eddy_grid": {"points": [16, 16]}, "length": 0.4}
    numerics = {"points": [48, 48], "precision": "float32"}
    case = flow("mcwilliams", direct_numerical_simulation=numerics, **changes)
    with pytest.raises(EddymarkError) as caught:
        sampled(case, [0])
    (line,) = str(caught.value).splitlines()
    assert line.startswith("DNS of small is under-resolved: k_max η = 0.")
    assert line.endswith("or set direct_numerical_simulation.allow_underresolved: true")
    allowed = flow("mcwilliams", direct_numerical_simulation=numerics | {"allow_underresolved": True}, **changes)
    assert sampled(allowed, [0]).scales.resolution < 0.5
