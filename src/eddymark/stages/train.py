"""Stage train: fits one model of one flow with one seed."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import pandas as pd
import torch

from eddymark import __version__
from eddymark.closures.learned_constant import LearnedConstant
from eddymark.config.schema import Experiment
from eddymark.config.schema import Flow as FlowConfiguration
from eddymark.config.training import Objective
from eddymark.errors import EddymarkError
from eddymark.execution import select_device, select_precision, split_files
from eddymark.flows.base import Flow
from eddymark.flows.build import build_flow
from eddymark.grid import SpectralSpace
from eddymark.randomness import generator
from eddymark.ranks import this_rank
from eddymark.records import write_measured
from eddymark.stepping.boosting import fit_residual_scale, take_over_boosted
from eddymark.stepping.build import fit_constraints, trainable_stepper
from eddymark.stepping.trainable import parameter_count
from eddymark.storage import save_weights
from eddymark.training.equations import Equations, build_equations
from eddymark.training.loop import Data, fit
from eddymark.training.module import Training
from eddymark.training.spectral_normalisation import bound_linear_maps, release_linear_maps
from eddymark.training.windows import TrainingBatches, Windows

SCALE_WINDOWS = 256
"""Training windows to which the constants of normalisation are fitted."""


def run(
    experiment: Experiment,
    flow_name: str,
    model: str,
    seed: int,
    *,
    results: Path,
    output: Path,
    work: Path,
) -> None:
    """Train a model and write `weights.safetensors`, `model.json` and `history.csv`.

    Where a model is trained on several devices, each of its processes runs this; the first one writes.

    Arguments:
        experiment: the experiment.
        flow_name, model, seed: what to train.
        results: root of the results, where the training and validation data, the solver's time step and the weights of
            a boosted surrogate are; TensorBoard files go to `.work/tensorboard/<flow>/<model>/seed<k>` there.
        output: folder for the files.
        work: folder that survives a kill; a checkpoint there is resumed.

    Raises:
        EddymarkError: if the data do not suffice or the loss is not finite.
    """
    # Before anything is computed: a sum over another number of threads rounds differently.
    torch.set_num_threads(experiment.threads)
    configuration = experiment.flows[flow_name]
    surrogate = configuration.surrogates[model]
    schedule = surrogate.schedule
    rank = this_rank(surrogate.parallel)
    flow = build_flow(configuration)
    device, dtype = select_device(experiment), select_precision(experiment)
    if device.type == "cuda" and rank.count > 1:
        # Each process has a GPU of its own, which is what "cuda" means to it from here on.
        torch.cuda.set_device(rank.local)
    stepper = trainable_stepper(experiment, flow_name, model, seed, results=results)

    windows = Windows(split_files(configuration, flow_name, "train", results), dtype=dtype)
    batches = TrainingBatches(
        windows,
        history=stepper.history,
        objective=surrogate.objective,
        steps=schedule.steps,
        steps_per_epoch=schedule.steps_per_epoch,
        batch_size=schedule.batch_size,
        augmentation=surrogate.augmentation,
        flow=flow,
        seed=experiment.seed,
        names=(flow_name, model, seed),
    )
    data = Data(
        batches,
        Windows(split_files(configuration, flow_name, "validation", results), dtype=dtype),
        validation_steps=_outputs(schedule.validation_length, configuration),
    )
    lead_times = surrogate.objective.lead_times or 1
    scaled = windows.spread(stepper.history + lead_times, most=SCALE_WINDOWS).to(device)
    equations = _equations(flow, surrogate.objective, windows, data, dtype=dtype, device=device)
    if equations is not None and not surrogate.objective.compares:
        # Nothing is to be known of the DNS but initial states, nor by how much it changes from output to output.
        with torch.no_grad():
            scaled = equations.continued(scaled)
    if surrogate.boosts is None:
        with torch.no_grad():
            stepper.fit_scales(scaled)
    else:
        folder = results / flow_name / "train" / surrogate.boosts / f"seed{seed}"
        take_over_boosted(stepper, folder / "weights.safetensors")
    if stepper.constraints is not None:
        fit_constraints(stepper.constraints, experiment, flow_name, results=results)
    if surrogate.boosts is not None:
        fit_residual_scale(stepper, scaled)
    selection = schedule.selection_length or schedule.validation_length
    if schedule.spectral_normalisation is not None:
        bound_linear_maps(stepper, bound=schedule.spectral_normalisation)
    training = Training(
        stepper,
        objective=surrogate.objective,
        schedule=schedule,
        space=SpectralSpace(flow.coarse_grid, dtype=dtype, device=device),
        stream_seed=int(generator(experiment.seed, flow_name, model, seed, "torch").integers(2**62)),
        inspection=work,
        selection_steps=_outputs(selection, configuration) if schedule.select_by == "spectrum" else 0,
        equations=equations,
    )
    work.mkdir(parents=True, exist_ok=True)
    curves = results / ".work" / "tensorboard" / flow_name / model / f"seed{seed}"
    fit(training, data, parallel=surrogate.parallel, rank=rank, work=work, curves=curves, device=device)
    if rank.index > 0:
        return

    # Another one: the weights of the trained one may be spread over the processes.
    stepper = trainable_stepper(experiment, flow_name, model, seed, results=results)
    if schedule.spectral_normalisation is not None:
        bound_linear_maps(stepper, bound=schedule.spectral_normalisation)
    stepper.load_state_dict(training.best)
    release_linear_maps(stepper)
    save_weights(output / "weights.safetensors", stepper)
    history = pd.DataFrame([asdict(row) for row in training.history]).drop(columns="seconds")
    history = history.dropna(axis="columns", how="all")
    history.to_csv(output / "history.csv", index=False)
    write_measured(output, training_seconds=training.history[-1].seconds, seconds_before=training.seconds_before)
    description = {
        "flow": flow_name,
        "model": model,
        "seed": seed,
        "configuration": surrogate.model_dump(mode="json", exclude={"seeds", "extends", "refinement"}),
        "points": list(flow.coarse_grid.points),
        "sides": list(flow.coarse_grid.sides),
        "interval": stepper.interval,
        "history": stepper.history,
        "normaliser": {
            name: value.tolist()
            for name, value in stepper.named_buffers()
            if name in stepper.state_dict() and value.numel() == 1
        },
        "parameters": parameter_count(stepper),
        "best_epoch": training.best_epoch,
        "best_validation_error": training.history[training.best_epoch - 1].validation_error,
        "device": str(device),
        "threads": experiment.threads,
        "precision": experiment.precision,
        "versions": {
            "eddymark": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "pytorch_lightning": metadata.version("pytorch-lightning"),
        },
    }
    if equations is not None:
        description["residual_floor"] = training.history[-1].residual_floor
        if isinstance(equations.closure, LearnedConstant):
            description["closure_constant"] = {equations.closure.name: training.history[-1].closure_constant}
    (output / "model.json").write_text(json.dumps(description, indent=2) + "\n")


def _equations(
    flow: Flow, objective: Objective, windows: Windows, data: Data, *, dtype: torch.dtype, device: torch.device
) -> Equations | None:
    """Return the equations that an objective asks for, if it does.

    Raises:
        EddymarkError: if the data themselves have no finite residual.
    """
    configuration = objective.equations
    if configuration is None:
        return None
    learned = configuration.learned_constant
    known = None if learned is None else windows.read(learned.trajectory, windows.times).to(device)
    equations = build_equations(flow, configuration, dtype=dtype, device=device, known=known)
    states = data.rollouts[:, data.batches.history - 1 :].to(device)
    with torch.no_grad():
        floors = torch.cat([equations(window) for window in states.split(1)])
    if not bool(torch.isfinite(floors).all()):
        raise EddymarkError(
            "the filtered DNS itself has no finite residual of objective.equations: "
            f"{configuration.steps} solver steps are too few for an output interval"
        )
    return equations


def _outputs(turnovers: float, flow: FlowConfiguration) -> int:
    """Return how many outputs a rollout of some turnover times makes, at least one."""
    return max(1, round(turnovers / flow.sampling.interval))
