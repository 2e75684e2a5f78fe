"""Cost of all steppers of a flow, timed alternately in one process on equal terms."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from eddymark.config.schema import Experiment
from eddymark.config.steppers import StepperName, find_stepper, stepper_names
from eddymark.execution import select_device, select_precision
from eddymark.grid import Grid, SpectralSpace
from eddymark.statistics.cost import Timing, time_steppers
from eddymark.stepping.build import dns_stepper, untrained_stepper
from eddymark.stepping.hybrid import Hybrid
from eddymark.stepping.large_eddy_simulation import LargeEddySimulation
from eddymark.stepping.states import GridStates, resampled
from eddymark.stepping.trainable import TrainableStepper

REPEATS = 9
DNS_REPEATS = 5


def run(experiment: Experiment, flow_name: str, *, results: Path, output: Path, work: Path) -> None:
    """Write `cost.csv`: seconds per turnover time and trajectory, for one trajectory and for all test
    trajectories.

    LES, surrogates and hybrids run on the same device with the same threads and precision from the same test
    states, and LES on alternative grids from states of the same trajectories on these grids. So does the DNS, for one
    trajectory and one output interval per repeat, after the others. It starts from a test state without the scales
    below the LES grid: they do not change what a step costs, and the largest velocity, hence the number of steps, by a
    few percent at most. Controls are not timed, and neither is
    the DNS of a flow with a source: what it took to make the data is not known.

    The column `solver_code` says which steppers take their solver's steps in compiled code and which in torch: a
    closure without compiled steps costs more than it would have to.

    A model is timed once, with the initial weights of its first seed: the time does not depend on their values,
    so a training repeated with another seed or schedule leaves the timing as it is. Each LES takes the time step with
    which it is validated.

    Arguments:
        experiment: the experiment.
        flow_name: one of its flows.
        results: root of the results, where the data are.
        output: folder to write into.
        work: not needed.
    """
    torch.set_num_threads(experiment.threads)
    flow = experiment.flows[flow_name]
    # One name per model: the first of its seeds.
    names = {name.name: name for name in reversed(stepper_names(flow)) if name.kind not in ("floor", "control")}
    steppers = {
        name: untrained_stepper(experiment, flow_name, names[name].folder, results=results) for name in reversed(names)
    }
    if not steppers:
        raise ValueError(f"{flow_name}: neither an LES nor a surrogate to time")
    device, dtype = select_device(experiment), select_precision(experiment)
    grids = {
        points: GridStates(flow, flow_name, "test", points=points, results=results).states().to(device, dtype)
        for points in {None, *(name.points for name in names.values())}
    }
    rows = []
    for batch in sorted({1, len(grids[None])}):
        states = {name: grids[names[name].points][:batch] for name in steppers}
        timings = time_steppers(steppers, states, turnover_time=flow.turnover_time, repeats=REPEATS)
        rows += [
            _row(experiment, flow_name, names[name], batch, timing, steppers[name]) for name, timing in timings.items()
        ]
    if flow.source is None:
        dns = dns_stepper(experiment, flow_name)
        timing = _time_dns(experiment, flow_name, dns, grids[None][:1, 0])
        rows.insert(0, _row(experiment, flow_name, find_stepper(flow, "dns"), 1, timing, dns))
    pd.DataFrame(rows).to_csv(output / "cost.csv", index=False)


def _time_dns(experiment: Experiment, flow_name: str, dns: LargeEddySimulation, state: Tensor) -> Timing:
    """Time the DNS of a flow over one output interval from a state on the LES grid, `(1, component, *grid)`."""
    flow = experiment.flows[flow_name]
    coarse = Grid(points=flow.large_eddy_grid.points, sides=flow.sides)
    fine = resampled(state, SpectralSpace(coarse, dtype=state.dtype, device=state.device), dns.solver.space)
    timings = time_steppers(
        {"dns": dns},
        {"dns": fine.unsqueeze(1)},
        turnover_time=flow.turnover_time,
        repeats=DNS_REPEATS,
        turnovers=flow.sampling.interval,
    )
    return timings["dns"]


def _row(
    experiment: Experiment, flow_name: str, name: StepperName, batch: int, timing: Timing, stepper: TrainableStepper
) -> dict[str, object]:
    device = select_device(experiment)
    return {
        "flow": flow_name,
        "stepper": name.name,
        "kind": name.kind,
        "batch": batch,
        "seconds_per_turnover_time": timing.median,
        "low": timing.low,
        "high": timing.high,
        "repeats": timing.repeats,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "precision": experiment.precision,
        "solver_code": _solver_code(stepper),
    }


def _solver_code(stepper: TrainableStepper) -> str:
    """Return what takes the steps of the solver in a stepper; nothing if there is none."""
    solver = stepper.simulation if isinstance(stepper, Hybrid) else stepper
    return solver.solver_code if isinstance(solver, LargeEddySimulation) else ""
