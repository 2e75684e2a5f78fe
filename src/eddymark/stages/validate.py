"""Validation of one stepper: long rollouts from the test states, statistics, scores against DNS."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from eddymark.config.schema import Experiment
from eddymark.config.schema import Flow as FlowConfiguration
from eddymark.config.steppers import StepperName, find_stepper
from eddymark.grid import Grid
from eddymark.progress import Progress
from eddymark.statistics.cost import peak_memory
from eddymark.statistics.measure import Window, measure, measure_scales
from eddymark.statistics.scores import score_table
from eddymark.statistics.survival import RecordedFailure, survival
from eddymark.stepping.build import build_stepper, select_device, select_precision, split_files
from eddymark.stepping.rollout import rollout
from eddymark.stepping.stepper import Stepper
from eddymark.storage import read_trajectories, trajectory_dataset, write_trajectories

DNS_WINDOW = Window(start=-np.inf)
"""The flows are statistically steady and spun up: every test state of the DNS counts."""


def run(
    experiment: Experiment,
    flow_name: str,
    stepper: str,
    *,
    results: Path,
    output: Path,
    work: Path,
) -> None:
    """Write `rollouts.zarr.zip`, `statistics.nc`, `scores.csv` and `cost.json` of one stepper.

    The stepper starts from the first states of every test trajectory, as many as its history needs. For `dns`
    the rollouts are the test trajectories themselves and the scores are the sampling floor. Times are in
    the nominal turnover time, in which the experiment is written.

    Arguments:
        experiment: the experiment.
        flow_name: one of its flows.
        stepper: folder name of the stepper (see `eddymark.config.steppers`).
        results: root of the results, where data and weights are.
        output: folder to write into.
        work: not needed; a rollout is short enough to start again.
    """
    torch.set_num_threads(experiment.threads)
    flow = experiment.flows[flow_name]
    name = find_stepper(flow, stepper)
    device = select_device(experiment)
    data = read_trajectories(split_files(flow, flow_name, "test", results))
    test = torch.as_tensor(data["velocity"].to_numpy()).to(device)
    grid = Grid(points=flow.large_eddy_grid.points, sides=flow.sides)
    scales = measure_scales(test, grid=grid)
    interval = flow.sampling.interval
    dns = measure(test, grid=grid, interval=interval, window=DNS_WINDOW, scales=scales)
    dns = dns.assign_coords(run=("trajectory", data["run"].to_numpy()))
    reference = _with_failures(dns, dns, flow, [])
    cost: dict[str, object] = {"rollout_seconds": None, "parameters": None}
    velocity, statistics = test, reference
    if name.kind != "floor":
        built = build_stepper(experiment, flow_name, stepper, results=results)
        steps = round(flow.validation.rollout_length / interval)
        initial = test[:, : built.history].to(select_precision(experiment))
        start = time.perf_counter()
        with Progress(f"{flow_name}, {stepper}: rollout", steps) as progress:
            made = rollout(built, initial, steps, progress=progress.update)
        cost = {"rollout_seconds": time.perf_counter() - start, "parameters": _parameters(built)}
        velocity = made.velocity
        statistics = measure(
            velocity,
            grid=grid,
            interval=interval,
            window=Window(start=flow.validation.statistics_start),
            scales=scales,
            truth=test[:, built.history : built.history + steps],
            correlation_threshold=flow.validation.correlation_threshold,
        )
        recorded = [RecordedFailure(f.trajectory, f.step * interval, f.cause) for f in made.failures]
        statistics = _with_failures(statistics, dns, flow, recorded)
        if getattr(built, "constrains", False):
            # Held shells are rescaled after every output.
            activity = np.ones(statistics.sizes["trajectory"])
            statistics = statistics.assign(constraint_activity=("trajectory", activity))
    description = _description(flow, flow_name, name)
    statistics = statistics.assign_attrs(description)
    scores = score_table([statistics], reference, seed=experiment.seed, samples=flow.validation.bootstrap_samples)
    runs = data["run"].to_numpy()
    trajectories = _trajectories(velocity, grid=grid, flow=flow, runs=runs)
    write_trajectories(output / "rollouts.zarr.zip", trajectories.assign_attrs(description))
    statistics.to_netcdf(output / "statistics.nc", engine="h5netcdf")
    scores.to_csv(output / "scores.csv", index=False)
    cost |= {"peak_memory_bytes": peak_memory(device), "failures": _failures(statistics)}
    (output / "cost.json").write_text(json.dumps(cost, indent=2) + "\n")


def _with_failures(
    statistics: xr.Dataset, dns: xr.Dataset, flow: FlowConfiguration, recorded: list[RecordedFailure]
) -> xr.Dataset:
    """Return the statistics with the time and cause of each trajectory's failure."""
    rule = flow.validation.survival
    times, causes = survival(
        time=statistics["time"].to_numpy(),
        kinetic_energy=statistics["kinetic_energy"].to_numpy(),
        enstrophy=statistics["enstrophy"].to_numpy(),
        mean_kinetic_energy=float(dns["mean_kinetic_energy"].mean()),
        mean_enstrophy=float(dns["mean_enstrophy"].mean()),
        energy_range=rule.energy,
        enstrophy_range=rule.enstrophy,
        average=rule.average,
        recorded=recorded,
    )
    return statistics.assign(
        failure_time=("trajectory", times), failure_cause=("trajectory", np.array(causes, dtype=object))
    )


def _failures(statistics: xr.Dataset) -> list[dict[str, object]]:
    times, causes = statistics["failure_time"].to_numpy(), statistics["failure_cause"].to_numpy()
    return [
        {"trajectory": int(index), "time": float(times[index]), "cause": str(causes[index])}
        for index in np.flatnonzero(~np.isnan(times))
    ]


def _parameters(stepper: Stepper) -> int:
    """Return the number of trained real numbers."""
    if not isinstance(stepper, torch.nn.Module):
        return 0
    return sum(value.numel() * (2 if value.is_complex() else 1) for value in stepper.parameters())


def _description(flow: FlowConfiguration, flow_name: str, name: StepperName) -> dict[str, object]:
    return {
        "flow": flow_name,
        "stepper": name.name,
        "kind": name.kind,
        "seed": "" if name.seed is None else name.seed,
        "turnover_time": flow.turnover_time,
    }


def _trajectories(
    velocity: Tensor, *, grid: Grid, flow: FlowConfiguration, runs: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> xr.Dataset:
    return trajectory_dataset(
        velocity.to(torch.float32).cpu().numpy(),
        grid=grid,
        interval=flow.interval,
        turnover_time=flow.turnover_time,
        attributes={},
        runs=[int(run) for run in runs],
    )
