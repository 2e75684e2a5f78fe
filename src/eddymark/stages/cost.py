"""Cost of all steppers of a flow, timed alternately in one process on equal terms."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from eddymark.config.schema import Experiment
from eddymark.config.steppers import stepper_names
from eddymark.statistics.cost import time_steppers
from eddymark.stepping.build import build_stepper, select_device, select_precision, split_files
from eddymark.storage import open_trajectories

REPEATS = 9


def run(experiment: Experiment, flow_name: str, *, results: Path, output: Path, work: Path) -> None:
    """Write `cost.csv`: seconds per turnover time and trajectory, for one trajectory and for all test
    trajectories.

    LES, surrogates and hybrids run on the same device with the same threads and precision from the same test
    states; controls and DNS are not timed.

    Arguments:
        experiment: the experiment.
        flow_name: one of its flows.
        results: root of the results, where data and weights are.
        output: folder to write into.
        work: not needed.
    """
    torch.set_num_threads(experiment.threads)
    flow = experiment.flows[flow_name]
    device = select_device(experiment)
    names = [name for name in stepper_names(flow) if name.kind not in ("floor", "control")]
    steppers = {name.folder: build_stepper(experiment, flow_name, name.folder, results=results) for name in names}
    if not steppers:
        raise ValueError(f"{flow_name}: neither an LES nor a surrogate to time")
    history = max(stepper.history for stepper in steppers.values())
    data = open_trajectories(split_files(flow, flow_name, "test", results))
    states = torch.as_tensor(data["velocity"].isel(time=slice(history)).to_numpy())
    states = states.to(device=device, dtype=select_precision(experiment))
    rows = []
    for batch in sorted({1, len(states)}):
        timings = time_steppers(steppers, states[:batch], turnover_time=flow.turnover_time, repeats=REPEATS)
        for name in names:
            timing = timings[name.folder]
            rows.append(
                {
                    "flow": flow_name,
                    "stepper": name.name,
                    "kind": name.kind,
                    "seed": "" if name.seed is None else name.seed,
                    "batch": batch,
                    "seconds_per_turnover_time": timing.median,
                    "low": timing.low,
                    "high": timing.high,
                    "repeats": timing.repeats,
                    "threads": torch.get_num_threads(),
                    "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
                    "precision": experiment.precision,
                }
            )
    pd.DataFrame(rows).to_csv(output / "cost.csv", index=False)
