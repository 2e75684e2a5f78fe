"""The results of the small experiment, tiny and invented, but of the kinds that the stages write and with records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
from numpy.typing import NDArray
from safetensors.torch import save_file

from eddymark.config import load_experiment
from eddymark.grid import Grid
from eddymark.plan import Job, plan
from eddymark.records import publish, upstream_digests
from eddymark.storage import at_outputs, stress_dataset, trajectory_dataset, write_trajectories
from tests.small_experiment import write_experiment

INTERVAL, TRAJECTORIES, TIMES = 0.2, 2, 4
GRID = Grid(points=(4, 4), sides=(6.0, 6.0))
FAILURE = {"trajectory": 1, "time": 2 * INTERVAL, "cause": "not finite"}
"""Every rollout of the tree has lost its second trajectory at the third output."""


Tree = tuple[dict[str, Job], Path]


def planned_tree(folder: Path) -> Tree:
    """Return the jobs of the small experiment and the root of their results, all written in a folder."""
    jobs = plan(load_experiment([write_experiment(folder / "config")]))
    write_tree(jobs, folder / "results")
    return jobs, folder / "results"


def write_tree(jobs: Mapping[str, Job], results: Path) -> None:
    for folder in jobs:
        write_job(folder, jobs, results)


def write_job(folder: str, jobs: Mapping[str, Job], results: Path) -> None:
    """Write the outputs of one job and publish them as it would."""
    job = jobs[folder]
    partial = results / ".work" / "partial"
    partial.mkdir(parents=True, exist_ok=True)
    WRITERS[job.driver](partial, np.random.default_rng(sum(folder.encode())))
    publish_again(folder, jobs, results, partial)


def publish_again(folder: str, jobs: Mapping[str, Job], results: Path, partial: Path) -> None:
    """Publish outputs, whatever is in them, with a record that is right."""
    job = jobs[folder]
    upstream = upstream_digests(job, jobs, results)
    record = {"signature": job.signature, **job.own, "job": folder, "upstream": upstream, "seconds": 83.4}
    publish(partial, results / folder, job.outputs, record)


def trajectories(random: np.random.Generator) -> xr.Dataset:
    velocity = random.standard_normal((TRAJECTORIES, TIMES, 2, *GRID.points)).astype(np.float32)
    return trajectory_dataset(
        velocity, grid=GRID, interval=0.8 * INTERVAL, turnover_time=0.8, attributes={"flow": "kolmogorov"}
    )


def stresses(random: np.random.Generator) -> NDArray[np.float32]:
    return random.standard_normal((TRAJECTORIES, 2, 2, *GRID.points)).astype(np.float32)


def statistics(random: np.random.Generator) -> xr.Dataset:
    energy = 1 + random.random((TRAJECTORIES, TIMES))
    energy[1, 2:] = np.nan
    spectrum = random.random((TRAJECTORIES, 3))
    spectrum[1] = np.nan
    return xr.Dataset(
        {
            "kinetic_energy": (("trajectory", "time"), energy),
            "energy_spectrum": (("trajectory", "shell"), spectrum),
            "relative_l2_error": (("trajectory", "lead_time"), energy[:, 1:]),
            "decorrelation_time": ("trajectory", [np.nan, 0.3]),
            "failure_time": ("trajectory", [np.nan, FAILURE["time"]]),
            "failure_cause": ("trajectory", np.array(["", FAILURE["cause"]], dtype=object)),
        },
        coords={"time": INTERVAL * np.arange(TIMES), "lead_time": INTERVAL * np.arange(1, TIMES), "shell": [1, 2, 3]},
    )


def _data(folder: Path, random: np.random.Generator) -> None:
    for split in ("train", "validation", "test"):
        write_trajectories(folder / f"{split}.zarr.zip", trajectories(random))
    for split in ("validation", "test"):
        write_trajectories(folder / f"unfiltered_{split}.zarr.zip", at_outputs(trajectories(random), range(0, 8, 2)))
    write_trajectories(folder / "stress.zarr.zip", stress_dataset(stresses(random), outputs=[0, TIMES - 1]))
    pd.DataFrame({"run": [0, 0], "time": [0.0, 0.2], "residual": random.random(2)}).to_csv(
        folder / "budget.csv", index=False
    )


def _timestep(folder: Path, random: np.random.Generator) -> None:
    content = {"courant_number": 2 + random.random(), "trials": [{"courant_number": 16.0, "error": None}]}
    (folder / "timestep.json").write_text(json.dumps(content))


def _training(folder: Path, random: np.random.Generator) -> None:
    save_file({"first.weight": torch.from_numpy(random.random((3, 3)))}, folder / "weights.safetensors")
    (folder / "model.json").write_text(json.dumps({"parameters": 9, "normaliser": {"scale": random.random()}}))
    pd.DataFrame({"step": [5, 10], "training_loss": random.random(2)}).to_csv(folder / "history.csv", index=False)


def _validation(folder: Path, random: np.random.Generator) -> None:
    rollouts = trajectories(random)
    rollouts["velocity"][1, 2:] = np.nan
    write_trajectories(folder / "rollouts.zarr.zip", rollouts)
    statistics(random).to_netcdf(folder / "statistics.nc", engine="h5netcdf")
    rows = [["spectrum_error", np.nan, np.nan, np.nan, 0.1], ["surviving_fraction", 0.5, 0.0, 1.0, np.nan]]
    rows.append(["kinetic_energy", random.random(), 0.0, 1.0, 0.1])
    pd.DataFrame(rows, columns=["statistic", "value", "low", "high", "floor"]).to_csv(
        folder / "scores.csv", index=False
    )
    (folder / "cost.json").write_text(json.dumps({"rollout_seconds": random.random(), "failures": [FAILURE]}))


def _apriori(folder: Path, random: np.random.Generator) -> None:
    values, bins = [], []
    for stepper, kind in (("dns", "floor"), ("smagorinsky", "les")):
        label = {"flow": "kolmogorov", "stepper": stepper, "kind": kind, "seed": ""}
        for name in ("stress_correlation", "dissipation", "backscatter_fraction"):
            values.append(label | {"statistic": name, "value": random.random(), "low": 0.0, "high": 1.0})
        bins += [label | {"dissipation": centre, "density": random.random()} for centre in (-0.5, 0.5)]
    pd.DataFrame(values).to_csv(folder / "apriori.csv", index=False)
    pd.DataFrame(bins).to_csv(folder / "dissipation.csv", index=False)


def _cost(folder: Path, random: np.random.Generator) -> None:
    pd.DataFrame({"stepper": ["fno"], "seconds_per_turnover_time": random.random(1)}).to_csv(
        folder / "cost.csv", index=False
    )


def _report(folder: Path, random: np.random.Generator) -> None:
    (folder / "index.html").write_text("<!DOCTYPE html>\n<html><body>A page</body></html>\n")
    for name in ("figures", "tables"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "figures" / "spectrum.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><path/></svg>\n')
    (folder / "tables" / "scores.csv").write_text("stepper,value\nfno,0.1\n")
    (folder / "metrics.json").write_text('{"kolmogorov": {"fno": {"spectrum_error": 0.1}}}\n')


WRITERS = {
    "generate": _data,
    "timestep": _timestep,
    "train": _training,
    "validate": _validation,
    "apriori": _apriori,
    "cost": _cost,
    "report": _report,
}
"""What writes the outputs of a job, by its driver."""
