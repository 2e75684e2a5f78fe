"""The true subgrid-scale stress, what is said of models of it, and the job that says it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from eddymark.cli import main
from eddymark.config.schema import Filter
from eddymark.filters import GridFilter
from eddymark.flows.schedule import spread_outputs
from eddymark.flows.subgrid import subgrid_stress
from eddymark.grid import Grid
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.resolved import ResolvedVelocity, contract
from eddymark.solvers.time_integration import TimeIntegration
from eddymark.stages.apriori import _averages
from eddymark.statistics.apriori import StressComparison, bins, compare_stress
from eddymark.storage import open_trajectories, read_stresses
from tests.small_experiment import write_experiment
from tests.solvers.test_periodic import BOX, random_spectrum

FLOW = "flows/kolmogorov.yaml"


def developed(dimension: int) -> tuple[NavierStokes, torch.Tensor, NavierStokes]:
    """A state with a cascade on a fine grid, and the solver on a grid with half as many points."""
    points = (24,) * 3 if dimension == 3 else (48, 48)
    fine = NavierStokes(Grid(points, (BOX,) * dimension), viscosity=0.03)
    spectrum = random_spectrum(fine, batch=2) * torch.exp(-fine.space.wavenumber_squared / 8)
    energy = fine.space.energy_spectrum(spectrum).sum(dim=1).mean()
    spectrum = TimeIntegration("runge_kutta_4", 1.0).advance(fine, spectrum * (2 / energy).sqrt(), 1.0, steps=40)
    return fine, spectrum, NavierStokes(fine.grid.coarsened([n // 2 for n in points]), viscosity=0.03)


@pytest.mark.parametrize("dimension", [2, 3])
def test_true_dissipation_is_the_energy_flux_through_the_cutoff(dimension: int) -> None:
    """⟨−τ_ij S_ij⟩ equals what the nonlinear term of the DNS takes out of the modes that the LES grid resolves."""
    fine, spectrum, coarse = developed(dimension)
    restrict = GridFilter(fine.space, coarse.grid, Filter(type="sharp"))
    resolved = ResolvedVelocity(coarse.space, fine.space.resample(spectrum, coarse.space))
    dissipation = -contract(subgrid_stress(restrict, spectrum), resolved.strain_rate).mean(dim=coarse.space.axes)
    rate = fine.space.resample(fine.nonlinear(spectrum), coarse.space)
    work = (resolved.spectrum.conj() * rate).real.sum(dim=1) * coarse.space.multiplicity
    flux = -work.sum(dim=coarse.space.axes)
    assert torch.allclose(dissipation, flux, rtol=1e-10, atol=1e-14)
    assert (flux > 0).all() if dimension == 3 else (flux != 0).all()


def test_the_filtered_dns_obeys_the_equations_of_the_les_with_the_true_stress() -> None:
    """d ū/dt of the DNS = what the LES grid computes without a model − ∇·τ, mode by mode, for a smooth filter too."""
    fine, spectrum, coarse = developed(3)
    for kind in ("sharp", "gaussian"):
        restrict = GridFilter(fine.space, coarse.grid, Filter(type=kind))
        truth = restrict.spectrum(fine.nonlinear(spectrum))
        stress = subgrid_stress(restrict, spectrum)
        modelled = coarse.nonlinear(restrict.spectrum(spectrum)) + coarse.subgrid_force(stress)
        assert torch.allclose(modelled, truth, atol=1e-13)
        assert coarse.subgrid_force(stress).abs().max() > 1e-3


def test_a_stress_is_compared_with_the_truth() -> None:
    """Twice the truth is perfectly correlated and dissipates twice as much; its opposite returns the energy."""
    fine, spectrum, coarse = developed(3)
    restrict = GridFilter(fine.space, coarse.grid, Filter(type="sharp"))
    resolved = ResolvedVelocity(coarse.space, restrict.spectrum(spectrum))
    truth = subgrid_stress(restrict, spectrum)
    mean = float(-contract(truth, resolved.strain_rate).mean())
    own, double, opposite, noise = (
        compare_stress(stress, truth, resolved, coarse, mean_dissipation=mean)
        for stress in (truth, 2 * truth + 0.3, -truth, torch.randn_like(truth))
    )
    assert own.dissipation.mean() == pytest.approx(mean)
    assert np.allclose(double.stress_correlation, 1)
    assert np.allclose(double.force_correlation, 1)
    assert np.allclose(double.dissipation, 2 * own.dissipation)  # a uniform stress does no work
    assert np.allclose(opposite.stress_correlation, -1)
    assert np.allclose(opposite.backscatter_fraction, 1 - own.backscatter_fraction)
    assert np.abs(noise.stress_correlation).max() < 0.1
    assert 0 < own.backscatter_fraction.mean() < 0.5
    edges = bins()
    inside = (own.density * np.diff(edges)).sum(axis=1)
    assert (inside > 0.98).all()
    centres = (edges[1:] + edges[:-1]) / 2
    if (inside == 1).all():
        assert (own.density * centres * np.diff(edges)).sum(axis=1).mean() == pytest.approx(1, abs=0.05)


def test_states_without_a_modelled_stress_have_no_correlation_but_count_otherwise() -> None:
    """Three trajectories of two states: by hand; nothing known of the last one."""
    correlation = np.array([0.2, np.nan, 0.6, 0.8, np.nan, np.nan])
    dissipation = np.array([1.0, 0.0, 2.0, 3.0, 0.0, 0.0])
    comparison = StressComparison(correlation, correlation, dissipation, 0 * dissipation, np.zeros((6, 1)))
    found = _averages(comparison, 2.0, 3, np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]))
    assert found["stress_correlation"] == pytest.approx((0.45, 0.2, 0.7))
    assert found["dissipation"] == pytest.approx((1.0, 0.5, 1.25))
    assert found["dissipation_ratio"][0] == pytest.approx(0.5)


def test_signs_keep_their_meaning_where_energy_returns_to_the_resolved_scales_on_average() -> None:
    """The opposite of a dissipative stress, as the truth: its ratio is −1, and what dissipates lies right of zero."""
    fine, spectrum, coarse = developed(3)
    restrict = GridFilter(fine.space, coarse.grid, Filter(type="sharp"))
    resolved = ResolvedVelocity(coarse.space, restrict.spectrum(spectrum))
    draining = subgrid_stress(restrict, spectrum)
    mean = float(contract(draining, resolved.strain_rate).mean())
    assert mean < 0
    truth, model = (
        compare_stress(stress, -draining, resolved, coarse, mean_dissipation=mean) for stress in (-draining, draining)
    )
    weights = np.ones((1, len(truth.dissipation)))
    ratios = [_averages(one, mean, len(one.dissipation), weights)["dissipation_ratio"][0] for one in (truth, model)]
    assert ratios == pytest.approx([-1, 1])
    negative = bins()[1:] <= 0
    for one in (truth, model):
        share = (one.density[:, negative] * np.diff(bins())[negative]).sum(axis=1)
        assert np.allclose(share, one.backscatter_fraction, atol=0.02)


def test_outputs_with_stress_are_spread_over_each_test_trajectory() -> None:
    assert spread_outputs([(40, 57), (60, 77)]) == [0, 6, 11, 17]
    assert spread_outputs([(5, 6)]) == [0, 1]


def test_the_job_compares_every_closure_of_a_flow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = [
        (FLOW, "surrogates", {}),
        (FLOW, "viscosity", 0.01),
        # For a smooth filter the gradient model is known to be right to leading order.
        (FLOW, "large_eddy_grid.filter", {"type": "gaussian"}),
        (FLOW, "validation.bootstrap_samples", 100),
        (FLOW, "large_eddy_simulations.leith", {"closure": {"type": "leith"}}),
        (FLOW, "large_eddy_simulations.gradient", {"closure": {"type": "gradient"}}),
    ]
    write_experiment(tmp_path / "config", *changes)
    monkeypatch.chdir(tmp_path)
    for shard in ("0", "1"):
        with pytest.raises(SystemExit) as ended:
            main(["generate", "kolmogorov", shard])
        assert ended.value.code == 0
    generated = tmp_path / "results" / "kolmogorov" / "generate"
    stresses = read_stresses([generated / shard / "stress.zarr.zip" for shard in "01"])
    velocity = open_trajectories([generated / shard / "test.zarr.zip" for shard in "01"])["velocity"]
    assert stresses["stress"].shape == (velocity.sizes["trajectory"], 4, 2, 32, 32)
    assert list(stresses["entry"].values) == ["xx - yy", "xy"]

    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["apriori", "kolmogorov"])
    assert "leith" in capsys.readouterr().out
    folder = tmp_path / "results" / "kolmogorov" / "validate" / "apriori"
    table = pd.read_csv(folder / "apriori.csv").pivot(index="stepper", columns="statistic", values="value")
    assert set(table.index) == {"dns", "smagorinsky", "leith", "gradient"}  # no model has no stress
    assert table.loc["dns", "stress_correlation"] == pytest.approx(1)
    assert table.loc["dns", "dissipation_ratio"] == pytest.approx(np.sign(table.loc["dns", "dissipation"]))
    # An eddy viscosity returns no energy but for what the grid does not resolve of its stress.
    assert table.loc["leith", "backscatter_fraction"] < 0.05
    assert abs(table.loc["gradient", "dissipation"]) < 1e-3 * table.loc["leith", "dissipation"]
    assert 0.8 < table.loc["gradient", "stress_correlation"] < 1
    assert abs(table.loc["smagorinsky", "stress_correlation"]) < 0.5
    densities = pd.read_csv(folder / "dissipation.csv")
    assert set(densities["stepper"]) == set(table.index)
    assert (densities["density"] >= 0).all()
