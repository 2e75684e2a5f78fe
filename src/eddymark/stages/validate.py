"""Validation of one stepper: long rollouts from the test states, statistics, scores against DNS."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from eddymark.checkpoints import Checkpoints
from eddymark.config.schema import Experiment
from eddymark.config.schema import Flow as FlowConfiguration
from eddymark.config.steppers import StepperName, find_stepper, longest_history
from eddymark.execution import select_device, select_precision, split_files
from eddymark.grid import Grid, SpectralSpace
from eddymark.progress import Progress
from eddymark.records import write_measured
from eddymark.stages.measuring import Measuring
from eddymark.statistics.constraint_activity import with_activity
from eddymark.statistics.cost import measure_memory
from eddymark.statistics.measure import unrelated_trajectories
from eddymark.statistics.scores import score_table
from eddymark.statistics.survival import RecordedFailure, survival
from eddymark.stepping.build import build_stepper
from eddymark.stepping.hybrid import Hybrid
from eddymark.stepping.large_eddy_simulation import LargeEddySimulation
from eddymark.stepping.rollout import Rollout, rollout
from eddymark.stepping.states import GridStates, resampled
from eddymark.stepping.stepper import Stepper, outputs_of_a_call
from eddymark.stepping.trainable import parameter_count
from eddymark.storage import read_trajectories, trajectory_dataset, write_trajectories

MEMORY_CALLS = 2
"""Calls over which the memory of a stepper is measured: the first one sets up caches, all others are alike."""


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

    All steppers of a flow start from the same state of every test trajectory: the first one up to which there are
    as many states as the surrogate with the longest history needs. Each sees as many of them as its own history
    asks for; DNS states before the start are used for nothing else. In a transient flow that is a fixed time after the
    start of each run, and everything is compared with the DNS at the same times. For `dns` the rollouts are the test
    trajectories from that state on and the scores are the sampling floor; its errors and decorrelation time are
    those between unrelated test trajectories at equal times, the chance level, and are in `scores.csv` only.
    Times are in the nominal turnover time, in which the experiment is written.

    An LES on an alternative grid starts from the same test states, filtered to that grid. Scores are taken on the
    wavenumbers which that grid and `large_eddy_grid` have in common: of a finer one, on those of all other steppers; of
    a coarser one, with the filtered DNS cut to what it resolves. Its rollouts are stored on `large_eddy_grid`, with
    the modes beyond the common ones zero.

    `constraint_activity` is the share of the resolved shells which a stepper's constraint rescales. It does so on
    every step: the definition of the flow holds the energy of these shells. What constraints from training data did is
    in the statistics, too (`statistics.constraint_activity`).

    What is measured goes into the job's record: `rollout_seconds`, and `peak_memory_bytes`, how much memory grew while
    the stepper was built and made its first outputs for all test states (`statistics.cost.measure_memory`) once more:
    weights, constants and work space, without libraries and compiled code, without the stored trajectories, which are
    equally large for all, and before any statistics are computed. Noise controls also read training data.

    Arguments:
        experiment: the experiment.
        flow_name: one of its flows.
        stepper: folder name of the stepper (see `eddymark.config.steppers`).
        results: root of the results, where data and weights are.
        output: folder to write into.
        work: folder that survives a kill; the rollout goes on from the checkpoint there.
    """
    torch.set_num_threads(experiment.threads)
    flow = experiment.flows[flow_name]
    name = find_stepper(flow, stepper)
    data = read_trajectories(split_files(flow, flow_name, "test", results))
    past = longest_history(flow)
    runs = data["run"].to_numpy()
    states = torch.as_tensor(data["velocity"].to_numpy()).to(select_device(experiment))
    main = Grid(points=flow.large_eddy_grid.points, sides=flow.sides)
    own = main.coarsened(name.points or main.points)
    grid = main.coarsened([min(pair) for pair in zip(own.points, main.points, strict=True)])
    test = _on(grid, states[:, past - 1 :], main)
    given = states[:, :past]
    if name.points is not None:
        stored = GridStates(flow, flow_name, "test", points=name.points, results=results)
        given = stored.state(past - 1).unsqueeze(1).to(states)
    interval = flow.sampling.interval
    made, built, constrains, parameters = None, None, False, None
    if name.kind != "floor":
        # Before the statistics, whose work in double precision would hide what the stepper itself needs.
        built, memory = _build(experiment, flow_name, stepper, given, results=results)
        start = time.perf_counter()
        made, before = _roll_out(built, given, experiment, flow_name, stepper, own=own, kept=grid, work=work)
        seconds = before + time.perf_counter() - start
        write_measured(output, rollout_seconds=seconds, peak_memory_bytes=memory, seconds_before=before)
        constrains, parameters = getattr(built, "constrains", False), parameter_count(built)

    if flow.is_transient:
        test = test[:, : 1 + _outputs(flow)]
    measuring = Measuring(flow, grid, test)
    dns = measuring.dns.assign_coords(run=("trajectory", runs))
    reference = _with_failures(dns, dns, flow, [])
    description = _description(flow, flow_name, name, built)
    if made is None:
        velocity, statistics = test, reference.assign_attrs(description)
        others = test[unrelated_trajectories(runs)]
        scored = statistics.merge(measuring.errors(test[:, 1:], others[:, 1:]))
    else:
        velocity = made.velocity
        # What the model of an LES does is known on the grid of the LES.
        modelled = built if isinstance(built, LargeEddySimulation) and own == grid else None
        statistics = measuring.rollouts(velocity, modelled)
        recorded = [RecordedFailure(f.trajectory, f.step * interval, f.cause) for f in made.failures]
        statistics = _with_failures(statistics, dns, flow, recorded).assign_coords(run=("trajectory", runs))
        if constrains:
            activity = np.full(len(runs), _rescaled_share(flow, grid))
            statistics = statistics.assign(constraint_activity=("trajectory", activity))
        if made.activity is not None:
            model = flow.surrogates[name.model or name.name]
            statistics = with_activity(statistics, made.activity, [one.type for one in model.constraints])
        statistics = scored = statistics.assign_attrs(description)
    samples, paired = flow.validation.bootstrap_samples, flow.is_transient
    scores = score_table(scored, reference, seed=experiment.seed, samples=samples, paired=paired)
    trajectories = _trajectories(_on(main, velocity, grid), grid=main, flow=flow, runs=runs)
    write_trajectories(output / "rollouts.zarr.zip", trajectories.assign_attrs(description))
    statistics.to_netcdf(output / "statistics.nc", engine="h5netcdf")
    scores.to_csv(output / "scores.csv", index=False)
    cost = {"parameters": parameters, "failures": _failures(statistics)}
    (output / "cost.json").write_text(json.dumps(cost, indent=2) + "\n")


def _build(experiment: Experiment, flow_name: str, stepper: str, past: Tensor, *, results: Path) -> tuple[Stepper, int]:
    """Return a stepper that has made its first outputs, and the memory which that took."""

    def first_outputs() -> Stepper:
        built = build_stepper(experiment, flow_name, stepper, results=results)
        rollout(built, _initial(built, past, experiment), MEMORY_CALLS * outputs_of_a_call(built))
        return built

    # Libraries and compiled code are loaded once per process, however many steppers there are.
    first_outputs()
    return measure_memory(select_device(experiment), first_outputs)


def _initial(built: Stepper, past: Tensor, experiment: Experiment) -> Tensor:
    """Return the states that a stepper sees first, `(trajectory, history, component, *grid)`."""
    return past[:, past.shape[1] - built.history :].to(select_precision(experiment))


def _roll_out(
    built: Stepper,
    past: Tensor,
    experiment: Experiment,
    flow_name: str,
    stepper: str,
    *,
    own: Grid,
    kept: Grid,
    work: Path,
) -> tuple[Rollout, float]:
    """Return the rollout, and the seconds that killed runs spent on what was resumed.

    Of a rollout on a finer grid, its `own`, only what the grid `kept` resolves is kept of each output.
    """
    flow = experiment.flows[flow_name]
    steps = _outputs(flow)
    initial = _initial(built, past, experiment)
    key = {"flow": flow_name, "stepper": stepper, "steps": steps, "shape": list(initial.shape)}
    checkpoints = Checkpoints(work, key | {"precision": str(initial.dtype), "device": initial.device.type})
    with Progress(f"{flow_name}, {stepper}: rollout", steps) as progress:
        keep = None if own == kept else _between(own, kept, like=initial)
        # Long rollouts of many trajectories need more memory than anything that is done with them.
        file = work / "rollout"
        made = rollout(built, initial, steps, keep=keep, progress=progress.update, checkpoints=checkpoints, file=file)
    return made, checkpoints.seconds_before


def _on(target: Grid, velocity: Tensor, grid: Grid) -> Tensor:
    """Return fields of a grid on another one of the same box, `(..., *target grid)`."""
    return velocity if target == grid else _between(grid, target, like=velocity)(velocity)


def _between(grid: Grid, target: Grid, *, like: Tensor) -> Callable[[Tensor], Tensor]:
    """Return what takes fields of a grid to another one, in the precision and on the device of a field."""
    space, other = (SpectralSpace(one, dtype=like.dtype, device=like.device) for one in (grid, target))
    return partial(resampled, space=space, target=other)


def _outputs(flow: FlowConfiguration) -> int:
    """Return how many outputs a rollout makes."""
    return round(flow.validation.rollout_length / flow.sampling.interval)


def _rescaled_share(flow: FlowConfiguration, grid: Grid) -> float:
    """Return the share of the resolved shells whose energy the flow holds."""
    held = [shell for shell in flow.forcing.energies or {} if shell <= grid.resolved_shells]
    return len(held) / grid.resolved_shells


def _with_failures(
    statistics: xr.Dataset, dns: xr.Dataset, flow: FlowConfiguration, recorded: list[RecordedFailure]
) -> xr.Dataset:
    """Return the statistics with the time and cause of each trajectory's failure."""
    rule = flow.validation.survival
    if flow.is_transient:
        energy, enstrophy = (dns[name].mean("trajectory").to_numpy() for name in ("kinetic_energy", "enstrophy"))
    else:
        energy, enstrophy = (dns[name].mean().to_numpy() for name in ("mean_kinetic_energy", "mean_enstrophy"))
    times, causes = survival(
        time=statistics["time"].to_numpy(),
        kinetic_energy=statistics["kinetic_energy"].to_numpy(),
        enstrophy=statistics["enstrophy"].to_numpy(),
        mean_flow_energy=statistics["mean_flow_energy"].to_numpy(),
        mean_kinetic_energy=energy,
        mean_enstrophy=enstrophy,
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


def _description(
    flow: FlowConfiguration, flow_name: str, name: StepperName, built: Stepper | None
) -> dict[str, object]:
    simulation = built.simulation if isinstance(built, Hybrid) else built
    steps: dict[str, object] = {}
    if isinstance(simulation, LargeEddySimulation):
        steps["courant_number"] = simulation.integration.courant_number
    return {
        "flow": flow_name,
        "stepper": name.name,
        "kind": name.kind,
        "seed": "" if name.seed is None else name.seed,
        "turnover_time": flow.turnover_time,
        "points": list(name.points or flow.large_eddy_grid.points),
        **steps,
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
