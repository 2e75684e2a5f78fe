"""Stage 1: DNS of a flow, filtered to the LES grid and cut into training, validation and test data."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from eddymark import __version__
from eddymark.checkpoints import Checkpoints
from eddymark.config.schema import Experiment, Flow
from eddymark.execution import select_device
from eddymark.flows.base import flow_attributes
from eddymark.flows.build import build_flow
from eddymark.flows.sampling import SampledRuns, sample_runs
from eddymark.flows.schedule import SPLITS
from eddymark.records import write_measured

STEADY = 0.02
"""A mean dE/dt beyond this share of the energy input means that the flow is not statistically steady."""


def shard_runs(runs: int, shards: int, shard: int) -> list[int]:
    """Return the numbers of the runs that a shard computes: every `shards`-th one."""
    return list(range(shard, runs, shards))


def run(experiment: Experiment, flow_name: str, shard: int, *, results: Path, output: Path, work: Path) -> None:
    """Compute one shard: `{train,validation,test,unfiltered_validation,unfiltered_test,stress}.zarr.zip`, `budget.csv`.

    Arguments:
        experiment: the experiment.
        flow_name, shard: what to compute.
        results: not needed.
        output: folder for the files.
        work: folder that survives a kill; samples are written there, and the computation goes on from the checkpoint.
    """
    torch.set_num_threads(experiment.threads)
    flow = build_flow(experiment.flows[flow_name])
    sampling = flow.configuration.sampling
    runs = shard_runs(flow.configuration.runs, sampling.shards, shard)
    device = select_device(experiment)
    numerics = flow.configuration.direct_numerical_simulation
    assert numerics is not None
    key = {"flow": flow_name, "seed": experiment.seed, "runs": runs, "device": device.type}
    checkpoints = Checkpoints(work, key | numerics.model_dump(mode="json"))
    sampled = sample_runs(
        flow, flow_name, seed=experiment.seed, runs=runs, device=device, folder=work, checkpoints=checkpoints
    )
    write_measured(output, seconds_before=checkpoints.seconds_before)
    budget = budget_means(sampled.budget, sampling.spin_up)
    _warn(flow_name, flow.configuration, sampled, budget)
    attributes = {split: _attributes(experiment, flow_name, split, sampled, budget) for split in SPLITS}
    unfiltered = {"title": f"unfiltered DNS of {flow_name}", "filter": "none"}
    attributes |= {f"unfiltered_{split}": own | unfiltered for split, own in attributes.items()}
    sampled.recording.pack(output, attributes)
    sampled.budget.to_csv(output / "budget.csv", index=False, float_format="%.7g")


def _attributes(
    experiment: Experiment, flow_name: str, split: str, sampled: SampledRuns, budget: dict[str, float]
) -> dict[str, Any]:
    flow = experiment.flows[flow_name]
    assert flow.direct_numerical_simulation is not None
    final = {} if sampled.final_scales is None else vars(sampled.final_scales)
    return {
        "title": f"filtered DNS of {flow_name}",
        "flow": flow_name,
        "split": split,
        "dns_points": list(flow.direct_numerical_simulation.points),
        **flow_attributes(flow),
        **vars(sampled.scales),
        **{f"final_{name}": value for name, value in final.items()},
        "energy_budget": json.dumps(budget),
        "seed": experiment.seed,
        "code_version": __version__,
    }


def budget_means(budget: pd.DataFrame, spin_up: float) -> dict[str, float]:
    """Return the energy budget averaged over the time after the spin-up, its residual and dE/dt relative to the supply.

    The supply is what has to be dissipated: the injection, or in a flow without a force the loss of kinetic energy.

    Arguments:
        budget: rows of `budget.csv`.
        spin_up: end of the spin-up, turnover times.
    """
    kept = budget[budget["time"] >= spin_up]
    # The last output of a run has no interval after it, over which a constraint could have added energy.
    kept = kept[kept["time"] < kept.groupby("run")["time"].transform("max")]
    means = {name: float(kept[name].mean()) for name in ("injection", "dissipation", "drag", "residual")}
    drift = means["injection"] - means["dissipation"] - means["drag"] - means["residual"]
    supply = means["injection"] or -drift or float("nan")
    relative = {"relative_residual": means["residual"] / supply, "relative_drift": drift / supply}
    return means | {"supply": supply} | relative


def _warn(flow_name: str, flow: Flow, sampled: SampledRuns, budget: dict[str, float]) -> None:
    """Say in the log what a reader of the data must know."""
    scales, nominal = sampled.scales, flow.turnover_time
    print(
        f"{flow_name}: {flow.clock} {scales.turnover_time:.3f}, Taylor Reynolds number "
        f"{scales.taylor_reynolds_number:.1f}, {'lowest ' if flow.is_transient else ''}k_max η {scales.resolution:.2f}",
        file=sys.stderr,
    )
    if abs(scales.turnover_time / nominal - 1) > 0.1:
        print(
            f"WARNING: {flow_name}: measured {flow.clock} {scales.turnover_time:.3f} differs from the configured "
            f"{nominal} by more than 10 %; set turnover_time accordingly",
            file=sys.stderr,
        )
    if not flow.is_transient and abs(budget["relative_drift"]) > STEADY:
        print(
            f"WARNING: {flow_name} is not steady: dE/dt is {budget['relative_drift']:.1%} of the energy input; "
            "raise spin_up or sample longer",
            file=sys.stderr,
        )
    if scales.resolution < 1:
        print(f"WARNING: {flow_name} is under-resolved: k_max η = {scales.resolution:.2f} < 1", file=sys.stderr)
