"""A-priori test of every LES closure of a flow on filtered DNS states with their true subgrid-scale stress."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Column, Table

from eddymark.closures.base import modelled_stress
from eddymark.config.schema import Experiment
from eddymark.config.steppers import closure_models, stepper_names
from eddymark.execution import select_device, select_precision, split_files
from eddymark.flows.build import build_flow
from eddymark.randomness import generator
from eddymark.solvers.resolved import ResolvedVelocity, contract
from eddymark.statistics.apriori import StressComparison, bins, compare_stress
from eddymark.statistics.uncertainty import bootstrap_weights, ensemble_averages, interval
from eddymark.stepping.build import load_closure
from eddymark.storage import open_trajectories, read_stresses

STATISTICS = ("stress_correlation", "force_correlation", "dissipation", "dissipation_ratio", "backscatter_fraction")


def run(experiment: Experiment, flow_name: str, *, results: Path, output: Path, work: Path) -> None:
    """Write `apriori.csv` (tidy: value, low, high per closure and statistic) and `dissipation.csv` (densities).

    Averages are over the stored states of each test trajectory, then over trajectories; correlations leave out states
    of which a model says that there is no stress. Intervals are bootstrapped over independent trajectories or runs. The
    row `dns` is the truth. An LES without a model has nothing to compare. The statistics are printed as a table, too.

    Arguments:
        experiment: the experiment.
        flow_name: one of its flows.
        results: root of the results, where data and fitted constants are.
        output: folder to write into.
        work: not needed.
    """
    torch.set_num_threads(experiment.threads)
    configuration = experiment.flows[flow_name]
    flow = build_flow(configuration)
    device, dtype = select_device(experiment), select_precision(experiment)
    solver = flow.solver(flow.coarse_grid, dtype=dtype, device=device)
    files = split_files(configuration, flow_name, "test", results)
    stresses = read_stresses([path.with_name("stress.zarr.zip") for path in files])
    data = open_trajectories(files)
    states = data["velocity"].isel(time=stresses["output"].to_numpy()).to_numpy()
    velocity = torch.as_tensor(states).flatten(0, 1).to(device=device, dtype=dtype)
    truth = torch.as_tensor(stresses["stress"].to_numpy()).flatten(0, 1).to(device=device, dtype=dtype)

    with torch.inference_mode():
        resolved = ResolvedVelocity(solver.space, solver.space.to_spectral(velocity))
        mean = float(-contract(truth, resolved.strain_rate).double().mean())
        compared = {("dns", "floor", ""): compare_stress(truth, truth, resolved, solver, mean_dissipation=mean)}
        trained = closure_models(configuration)
        for name in stepper_names(configuration):
            # Of alternative grids the true stress is not kept.
            if name.points is not None or not (name.kind == "les" or name.name in trained):
                continue
            closure = load_closure(experiment, flow_name, name.folder, results=results)
            modelled = modelled_stress(closure, resolved)
            if bool((modelled != 0).any()):
                seed = "" if name.seed is None else str(name.seed)
                compared[name.name, name.kind, seed] = compare_stress(
                    modelled, truth, resolved, solver, mean_dissipation=mean
                )

    random = generator(experiment.seed, flow_name, "apriori", "bootstrap")
    weights = bootstrap_weights(random, runs=data["run"].to_numpy(), samples=configuration.validation.bootstrap_samples)
    rows, densities = [], []
    for (stepper_name, kind, seed), comparison in compared.items():
        label = {"flow": flow_name, "stepper": stepper_name, "kind": kind, "seed": seed}
        for statistic, (value, low, high) in _averages(comparison, mean, len(states), weights).items():
            unit = "flow units" if statistic == "dissipation" else "1"
            rows.append(label | {"statistic": statistic, "value": value, "low": low, "high": high, "unit": unit})
        edges = bins()
        densities.append(
            pd.DataFrame(
                label | {"dissipation": (edges[1:] + edges[:-1]) / 2, "density": comparison.density.mean(axis=0)}
            )
        )
    pd.DataFrame(rows).to_csv(output / "apriori.csv", index=False, float_format="%.6g")
    pd.concat(densities).to_csv(output / "dissipation.csv", index=False, float_format="%.6g")
    _show(output)


def _show(folder: Path) -> None:
    """Print the statistics in `folder` as a table."""
    table = pd.read_csv(folder / "apriori.csv", dtype={"seed": str}).fillna({"seed": ""})
    columns = [statistic for statistic in STATISTICS if statistic != "dissipation"]
    shown = Table(Column("closure", no_wrap=True), *(column.replace("_", " ") for column in columns), box=None)
    for (stepper, seed), rows in table.groupby(["stepper", "seed"], sort=False):
        values = rows.set_index("statistic")["value"]
        name = f"{stepper}, seed {seed}" if seed else str(stepper)
        shown.add_row(name, *(f"{float(values[column]):.3f}" for column in columns))
    Console(soft_wrap=not sys.stdout.isatty()).print(shown)


def _averages(
    comparison: StressComparison, mean_dissipation: float, trajectories: int, weights: NDArray[np.float64]
) -> dict[str, tuple[float, float, float]]:
    """Return value, low and high of each statistic."""
    per_state = {
        "stress_correlation": comparison.stress_correlation,
        "force_correlation": comparison.force_correlation,
        "dissipation": comparison.dissipation,
        # Where energy returns to the resolved scales on average, as in 2-D, the truth is −1: signs keep their meaning.
        "dissipation_ratio": comparison.dissipation / abs(mean_dissipation),
        "backscatter_fraction": comparison.backscatter_fraction,
    }
    values = {name: per_state[name].reshape(trajectories, -1) for name in STATISTICS}
    # A state of which the model says nothing (a dynamic constant of zero) has no correlation and is left out.
    means = {
        name: ensemble_averages({name: one.T}, np.ones((1, one.shape[1])))[name][0] for name, one in values.items()
    }
    whole = ensemble_averages(means, np.ones((1, trajectories)))
    samples = ensemble_averages(means, weights)
    return {name: (float(whole[name][0]), *interval(samples[name])) for name in STATISTICS}
