"""Largest time step of one LES, measured before anything is trained or validated with it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from eddymark.config.schema import Experiment
from eddymark.config.steppers import solvers
from eddymark.execution import select_device, select_precision
from eddymark.stepping.build import untrained_simulation
from eddymark.stepping.states import GridStates
from eddymark.stepping.time_step import REFERENCE, find_time_step

STATES = 16
"""Largest number of validation states from which the time step is measured."""
ROLLOUT_LENGTH = 10.0
"""Length of the rollouts that have to be stable, turnover times."""


def run(experiment: Experiment, flow_name: str, name: str, *, results: Path, output: Path, work: Path) -> None:
    """Write `timestep.json`: the Courant number with which an LES is trained, validated and timed, and its search.

    `eddymark.stepping.time_step.find_time_step` has the criterion. A fitted closure is measured with the constants from
    which its training starts, and the LES inside a hybrid without the network, so that training, too, takes this step.

    Arguments:
        experiment: the experiment.
        flow_name: one of its flows.
        name: an LES, or a model with an LES in it.
        results: root of the results, where the validation data are.
        output: folder to write into.
        work: not needed.
    """
    torch.set_num_threads(experiment.threads)
    flow = experiment.flows[flow_name]
    simulation = untrained_simulation(experiment, flow_name, name)
    points = solvers(flow)[name].points
    start, end = GridStates(flow, flow_name, "validation", points=points, results=results).successive(STATES)
    device, dtype = select_device(experiment), select_precision(experiment)
    found = find_time_step(
        simulation,
        start.to(device=device, dtype=dtype),
        end.to(device=device, dtype=dtype),
        outputs=round(ROLLOUT_LENGTH / flow.sampling.interval),
    )
    if not found.accurate or not found.stable:
        wrong = "not stable" if found.accurate else "not accurate"
        print(
            f"WARNING: {flow_name}, {name}: {wrong} even with Courant number {found.courant_number:g}, which it gets",
            file=sys.stderr,
        )
    description = {
        "flow": flow_name,
        "name": name,
        **found.description(),
        "reference_courant_number": REFERENCE,
        "states": len(start),
        "rollout_length": ROLLOUT_LENGTH,
    }
    (output / "timestep.json").write_text(json.dumps(description, indent=2) + "\n")
