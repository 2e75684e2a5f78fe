"""LES on coarser and finer grids, from the DNS over time steps, rollouts and timing to the page: the real stages."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from eddymark.config import Experiment, load_experiment
from eddymark.grid import Grid, SpectralSpace
from eddymark.plan import plan
from eddymark.stepping.build import build_stepper
from eddymark.stepping.large_eddy_simulation import LargeEddySimulation
from eddymark.stepping.states import GridStates, resampled
from eddymark.storage import read_trajectories
from tests.small_experiment import write_experiment

FLOW = "flows/kolmogorov.yaml"
SIDES = (2 * np.pi, 2 * np.pi)
MAIN, COARSER, FINER = (16, 16), (12, 12), (24, 24)
STRETCHES = {name: {"stretches": 1, "length": 2} for name in ("train", "validation", "test")}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    changes = {
        "viscosity": 0.01,
        "forcing.wavenumber": 2,
        "direct_numerical_simulation": {"points": [48, 48]},
        "large_eddy_grid": {"points": list(MAIN)},
        "alternative_grids": [list(COARSER), list(FINER)],
        "sampling.splits": STRETCHES,
        "sampling.runs": 4,
        "validation.rollout_length": 3,
        "validation.statistics_start": 1,
        "validation.bootstrap_samples": 100,
        "validation.survival": {"energy": [0.01, 50], "enstrophy": [0.01, 1000]},
        "surrogates": {},
    }
    folder = tmp_path_factory.mktemp("configuration")
    return load_experiment([write_experiment(folder, *((FLOW, key, value) for key, value in changes.items()))])


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, experiment: Experiment) -> Path:
    """The results of every job."""
    root = tmp_path_factory.mktemp("results")
    for folder, job in plan(experiment).items():
        work = root / ".work" / folder
        for needed in (work, root / folder):
            needed.mkdir(parents=True)
        stage = importlib.import_module(f"eddymark.stages.{job.driver}")
        item = [int(job.name)] if job.stage == "generate" else [job.name] if job.name else []
        names = [job.flow, *item] if job.flow else []
        stage.run(experiment, *names, results=root, output=root / folder, work=work)
        assert {path.name for path in (root / folder).iterdir()} - {"measured.json"} == set(job.outputs)
    return root


@pytest.fixture(scope="module")
def truth(results: Path) -> torch.Tensor:
    """Filtered DNS of the test trajectories, `(trajectory, output, component, *grid)`."""
    files = [results / "kolmogorov" / "generate" / shard / "test.zarr.zip" for shard in "01"]
    return torch.as_tensor(read_trajectories(files)["velocity"].to_numpy())


def space(points: tuple[int, ...]) -> SpectralSpace:
    return SpectralSpace(Grid(points, SIDES), dtype=torch.float32)


def states(experiment: Experiment, results: Path, points: tuple[int, ...], split: str = "test") -> GridStates:
    return GridStates(experiment.flows["kolmogorov"], "kolmogorov", split, points=points, results=results)


def test_every_les_runs_on_every_grid(experiment: Experiment) -> None:
    jobs = plan(experiment)
    for name in ("no_model", "smagorinsky"):
        for suffix in ("", "-12", "-24"):
            assert f"kolmogorov/train/{name}{suffix}/timestep" in jobs
            assert f"kolmogorov/train/{name}{suffix}/timestep" in jobs[f"kolmogorov/validate/{name}{suffix}"].upstream


def test_states_on_a_finer_grid_are_the_same_dns_with_more_scales(
    experiment: Experiment, results: Path, truth: torch.Tensor
) -> None:
    found = states(experiment, results, FINER)
    assert found.outputs.tolist() == [0, 3, 7, 10]
    finer = found.states()
    cut = resampled(finer, space(FINER), space(MAIN))
    torch.testing.assert_close(cut, truth[:, found.outputs], rtol=0, atol=2e-5)
    spectrum = space(FINER).to_spectral(finer)
    beyond = space(FINER).energy_spectrum(spectrum)[..., 6:].sum(dim=-1)
    assert (beyond > 1e-6).all()
    assert float(space(FINER).divergence(spectrum).abs().max()) < 1e-5


def test_states_on_a_coarser_grid_are_a_part_of_the_filtered_dns(
    experiment: Experiment, results: Path, truth: torch.Tensor
) -> None:
    found = states(experiment, results, COARSER)
    assert found.outputs.tolist() == list(range(11))
    torch.testing.assert_close(found.states(), resampled(truth, space(MAIN), space(COARSER)), rtol=0, atol=2e-5)


def test_the_time_step_on_a_finer_grid_is_measured_over_one_output(experiment: Experiment, results: Path) -> None:
    start, end = states(experiment, results, FINER, "validation").successive(16)
    files = [results / "kolmogorov" / "generate" / shard / "validation.zarr.zip" for shard in "01"]
    filtered = torch.as_tensor(read_trajectories(files)["velocity"].to_numpy())
    # The first and the last interval of each of the four trajectories.
    assert len(start) == 8
    for states_, outputs in ((start, (0, 9)), (end, (1, 10))):
        expected = filtered[:, outputs].flatten(0, 1)
        torch.testing.assert_close(resampled(states_, space(FINER), space(MAIN)), expected, rtol=0, atol=2e-5)


def test_the_scored_and_the_timed_les_take_the_measured_step(experiment: Experiment, results: Path) -> None:
    for name in ("no_model", "smagorinsky-12", "smagorinsky-24"):
        measured = json.loads((results / "kolmogorov" / "train" / name / "timestep" / "timestep.json").read_text())
        assert measured["accurate"]
        assert measured["stable"]
        stepper = build_stepper(experiment, "kolmogorov", name, results=results)
        assert isinstance(stepper, LargeEddySimulation)
        assert stepper.integration.courant_number == measured["courant_number"]
        with xr.open_dataset(results / "kolmogorov" / "validate" / name / "statistics.nc", engine="h5netcdf") as data:
            assert data.attrs["courant_number"] == measured["courant_number"]


@pytest.mark.parametrize("points", [COARSER, FINER])
def test_rollouts_go_on_from_the_same_states_on_their_own_grid(
    experiment: Experiment, results: Path, truth: torch.Tensor, points: tuple[int, ...]
) -> None:
    name = f"smagorinsky-{points[0]}"
    stored = read_trajectories(results / "kolmogorov" / "validate" / name / "rollouts.zarr.zip")
    made = torch.as_tensor(stored["velocity"].to_numpy())
    common = space(min(points, MAIN))
    stepper = build_stepper(experiment, "kolmogorov", name, results=results)
    past = states(experiment, results, points).state(0).unsqueeze(1)
    with torch.inference_mode():
        for output in range(3):
            on_common = resampled(past[:, 0], space(points), common)
            expected = resampled(on_common, common, space(MAIN))
            torch.testing.assert_close(made[:, output], expected, rtol=0, atol=1e-4)
            past = stepper(past).unsqueeze(1)
    first = resampled(made[:, 0], space(MAIN), common)
    torch.testing.assert_close(first, resampled(truth[:, 0], space(MAIN), common), rtol=0, atol=2e-5)


def test_scores_are_taken_on_common_wavenumbers(results: Path) -> None:
    folder = results / "kolmogorov" / "validate"
    error, cutoff = {}, {}
    for name in ("no_model-12", "no_model", "no_model-24"):
        scores = pd.read_csv(folder / name / "scores.csv").set_index(["statistic", "window"])
        error[name] = float(scores.loc[("relative_l2_error", "step 1"), "value"])
        with xr.open_dataset(folder / name / "statistics.nc", engine="h5netcdf") as statistics:
            cutoff[name] = int(statistics.attrs["cutoff"])
    assert cutoff == {"no_model-12": 3, "no_model": 5, "no_model-24": 5}
    # More resolved scales make a better forecast of those that are compared.
    assert error["no_model-24"] < 0.5 * error["no_model"]


def test_all_are_timed_and_the_page_tells_grids_apart(results: Path) -> None:
    costs = pd.read_csv(results / "kolmogorov" / "validate" / "cost" / "cost.csv")
    names = {f"{name}{suffix}" for name in ("no_model", "smagorinsky") for suffix in ("", "-12", "-24")}
    assert set(costs.loc[costs["batch"] == 4, "stepper"]) == names
    page = (results / "report" / "index.html").read_text(encoding="utf-8")
    assert "Not ranked, because their grids resolve fewer shells: no_model-12 (shells up to 3)" in page
    assert "an LES whose name ends with a number of points runs on that grid" in page
    comparison = pd.read_csv(results / "report" / "tables" / "kolmogorov-comparison.csv").set_index("stepper")
    assert comparison["Time step [Courant number]"].notna()[sorted(names)].all()
    order = [name for name in comparison.index if name in names]
    assert set(order[-2:]) == {"no_model-12", "smagorinsky-12"}
    closures = pd.read_csv(results / "kolmogorov" / "validate" / "apriori" / "apriori.csv")
    assert set(closures["stepper"]) == {"dns", "smagorinsky"}
