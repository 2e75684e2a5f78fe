"""A mixing layer from its DNS to the scores of an LES."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

from eddymark.config.schema import Experiment
from eddymark.stages import generate, validate

FILE = Path(__file__).parents[2] / "config" / "flows" / "mixing_layer.yaml"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[xr.Dataset, pd.DataFrame]]:
    """Statistics and scores of DNS and LES, of runs at a resolution at which they are of no use to physics."""
    flow: dict[str, Any] = yaml.safe_load(FILE.read_text()) | {
        "turnover_time": 0.44,
        "viscosity": 0.02,
        "initial_state": {
            "energy": 0.02,
            "peak_wavenumber": 4.0,
            "mean_flow": {"velocity_difference": 2.0, "momentum_thickness": 0.22},
        },
        "direct_numerical_simulation": {"points": [48, 48, 24]},
        "large_eddy_grid": {"points": [24, 32, 12]},
        "large_eddy_simulations": {"no_model": {"courant_number": 2.0}},
        "surrogates": {},
    }
    flow["sampling"] |= {
        "shards": 1,
        "spin_up": 1,
        "interval": 0.5,
        "splits": {
            "train": {"runs": 1, "length": 0.5},
            "validation": {"runs": 1, "length": 0.5},
            "test": {"runs": 3, "length": 3},
        },
    }
    flow["validation"] |= {"rollout_length": 3, "statistics_start": 0, "windows": 2, "bootstrap_samples": 100}
    experiment = Experiment.model_validate({"name": "tiny", "seed": 1, "device": "cpu", "flows": {"layer": flow}})
    results = tmp_path_factory.mktemp("results")
    data = results / "layer" / "generate" / "0"
    data.mkdir(parents=True)
    generate.run(experiment, "layer", 0, results=results, output=data, work=results)
    found = {}
    for stepper in ("dns", "no_model", "matched_noise"):
        folder = results / "layer" / "validate" / stepper
        folder.mkdir(parents=True)
        validate.run(experiment, "layer", stepper, results=results, output=folder, work=results / "work" / stepper)
        scores = pd.read_csv(folder / "scores.csv").set_index(["statistic", "window"])
        found[stepper] = (xr.load_dataset(folder / "statistics.nc", engine="h5netcdf"), scores)
    return found


def test_layers_are_measured_at_matched_times(tables: dict[str, tuple[xr.Dataset, pd.DataFrame]]) -> None:
    dns, les = tables["dns"][0], tables["no_model"][0]
    for statistics in (dns, les):
        assert statistics["mean_velocity"].dims == ("trajectory", "window", "distance")
        assert statistics["reynolds_stress"].dims == ("trajectory", "window", "stress", "distance")
        assert statistics["momentum_thickness"].shape == (3, 7)
        assert statistics["stress"].values.tolist() == ["uu", "vv", "ww", "uv"]
        np.testing.assert_allclose(statistics["distance"], np.arange(-8, 9) * 4 * np.pi / 32, atol=1e-12)
    # All start from the same states, and the layers grow.
    np.testing.assert_allclose(les["momentum_thickness"][:, 0], dns["momentum_thickness"][:, 0], rtol=1e-6)
    assert (dns["momentum_thickness"][:, -1] > 1.05 * dns["momentum_thickness"][:, 0]).all()


def test_layers_of_different_runs_are_uncorrelated_in_spite_of_their_mean_flow(
    tables: dict[str, tuple[xr.Dataset, pd.DataFrame]],
) -> None:
    chance, les = (tables[name][1].loc[("decorrelation_time", "rollout"), "value"] for name in ("dns", "no_model"))
    assert chance < 0.15
    assert les > 1


def test_scores_of_layers_tell_an_les_from_noise(tables: dict[str, tuple[xr.Dataset, pd.DataFrame]]) -> None:
    """Noise with the spectrum of the DNS has no mean profile: half the velocity difference is missing, in rms."""
    les, noise = tables["no_model"][1], tables["matched_noise"][1]
    for statistic in ("momentum_thickness_error", "mean_velocity_error", "reynolds_stress_error"):
        row = les.loc[(statistic, "statistics")]
        assert row["low"] <= row["value"] <= row["high"]
        assert row["floor"] > 0
        assert 5 * row["value"] < noise.loc[(statistic, "statistics"), "value"]
    assert les.loc[("momentum_thickness", "statistics"), "value"] == pytest.approx(1, abs=0.05)
    assert 0.3 < noise.loc[("mean_velocity_error", "statistics"), "value"] < 0.5
    assert les.loc[("spectrum_error_all", "all shells"), "value"] > 0
