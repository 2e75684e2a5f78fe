"""One step of each training of an experiment, and what it will need: `eddymark check --trial`."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from eddymark.config.documents import NAME
from eddymark.config.findings import Problem
from eddymark.config.schema import Experiment
from eddymark.config.training import CurriculumStage
from eddymark.errors import EddymarkError
from eddymark.execution import select_device, select_precision
from eddymark.flows.build import build_flow
from eddymark.grid import SpectralSpace
from eddymark.memory import available_memory_bytes
from eddymark.resources import MARGIN, generate_memory, training_host_memory
from eddymark.statistics.cost import measure_memory
from eddymark.stepping.build import trainable_stepper
from eddymark.training.module import Training
from eddymark.training.spectral_normalisation import bound_linear_maps
from eddymark.training_needs import (
    Needs,
    predict,
    shortest_rollout,
    synthetic_windows,
    trial_equations,
    validation_outputs,
    validation_windows,
    windows_per_device,
    with_time_step,
)

_LARGEST_SHARE = 0.9
"""Part of the free memory up to which a step is taken: predictions are not exact."""
_AGAIN = 3.0
"""Work that takes less than this many seconds is timed a second time, when all is warm."""


Row = tuple[str, ...]

HEADINGS: Row = ("flow", "job", "parameters", "GFLOP", "memory, GB", "measured", "s per step", "training")
"""Of the rows: floating-point operations of one call with one sample; seconds by the number of unrolled outputs."""
WIDTHS = (18, 18, 13, 7, 10, 10, 16, 8)
"""Letters of the columns."""


@dataclass(frozen=True)
class Trial:
    """What came out of trying one training.

    Arguments:
        flow, model: which one.
        needs: what it should need.
        measured: peak of memory when it was tried, bytes; None if it was not.
        step_seconds: seconds of a step by the number of unrolled outputs, or the lead times; empty if it was not tried.
        training_seconds: all steps and validations of a training at this speed.
        remark: why it was not tried.
    """

    flow: str
    model: str
    needs: Needs
    measured: int | None = None
    step_seconds: dict[str, float] = field(default_factory=dict)
    training_seconds: float | None = None
    remark: str = ""


def try_trainings(experiment: Experiment, limit: int | None, show: Callable[[Row], object]) -> list[Problem]:
    """Predict what each training needs and take steps of those for which there is memory here; return what fails.

    Arguments:
        experiment: an experiment with no other problem.
        limit: memory that a job may need, bytes; None: what is free here.
        show: called with a row below `HEADINGS` for each DNS and each training, as soon as it is known.
    """
    device = select_device(experiment)
    problems: list[Problem] = []
    for flow_name, flow in experiment.flows.items():
        if flow.direct_numerical_simulation is not None:
            needed = generate_memory(flow, threads=experiment.threads)
            problems += _fits(("flows", flow_name, "direct_numerical_simulation", "points"), needed, limit, device)
            show((flow_name, "DNS", "", "", f"{needed / 1e9:.3g}", "", "", ""))
        for model in flow.surrogates:
            path = ("flows", flow_name, "surrogates", model)
            stepped = with_time_step(experiment, flow_name, model)
            trial = Trial(flow_name, model, predict(stepped, flow_name, model))
            host = training_host_memory(flow) if device.type == "cpu" else 0
            needed = round(MARGIN * trial.needs.memory) + host
            misfit = list(_fits((*path, "schedule", "batch_size"), needed, limit, device))
            problems += misfit
            free = free_memory(device)
            if misfit and limit is None:
                trial = replace(trial, remark="does not fit")
            elif free is not None and needed > _LARGEST_SHARE * free:
                trial = replace(trial, remark=f"not tried: {free / 1e9:.3g} GB are free here")
            else:
                try:
                    trial = take_steps(stepped, trial)
                except EddymarkError as error:
                    problems.append(Problem((*path, NAME), "a training that can take a step", str(error)))
                    trial = replace(trial, remark="fails")
            gc.collect()
            show(_cells(trial))
    return problems


def free_memory(device: torch.device) -> int | None:
    """Return the memory that is free on a device, bytes; None if it is not known."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return available_memory_bytes()


def _fits(path: tuple[str, ...], needed: int, limit: int | None, device: torch.device) -> Iterator[Problem]:
    most = free_memory(device) if limit is None else limit
    if most is not None and needed > most:
        where = "free here" if limit is None else "allowed"
        expected = f"a job that fits into the {most / 1e9:.3g} GB which are {where}"
        yield Problem(path, expected, f"one that needs about {needed / 1e9:.3g} GB")


def take_steps(experiment: Experiment, trial: Trial) -> Trial:
    """Return a trial with the memory and the time of steps and a validation as a training makes them.

    Forward and backward pass, clipping, AdamW, averaged weights; windows are synthetic.

    Raises:
        EddymarkError: if the loss or the gradient is not finite.
    """
    configuration = experiment.flows[trial.flow]
    surrogate = configuration.surrogates[trial.model]
    schedule, objective = surrogate.schedule, surrogate.objective
    flow = build_flow(configuration)
    device = select_device(experiment)
    space = SpectralSpace(flow.coarse_grid, dtype=select_precision(experiment), device=device)
    stages = sorted(objective.curriculum, key=lambda stage: stage.outputs)
    outputs = validation_outputs(flow, surrogate)

    def work() -> tuple[dict[str, float], float]:
        stepper = trainable_stepper(experiment, trial.flow, trial.model, surrogate.seeds[0], results=Path())
        windows = synthetic_windows(flow, space, windows_per_device(surrogate), stepper.history + stages[-1].outputs)
        with torch.no_grad():
            stepper.fit_scales(windows[:, : stepper.history + (objective.lead_times or 1)])
        if stepper.constraints is not None:
            stepper.constraints.fit(windows)
        if schedule.spectral_normalisation is not None:
            bound_linear_maps(stepper, bound=schedule.spectral_normalisation)
        training = Training(
            stepper,
            objective=objective,
            schedule=schedule,
            space=space,
            stream_seed=0,
            equations=trial_equations(flow, objective, windows),
        ).to(device)
        optimiser = training.configure_optimizers()["optimizer"]
        training.on_train_epoch_start()

        def step(window: Tensor) -> None:
            optimiser.zero_grad(set_to_none=True)
            training.training_step(window, 0).backward()
            training.configure_gradient_clipping(optimiser)
            optimiser.step()
            training.on_train_batch_end(None, window, 0)

        seconds = {}
        for stage in stages:
            alone = stage.model_copy(update={"start": 0.0})
            training.objective = objective.model_copy(update={"curriculum": (alone,)})
            seconds[_label(stage)] = _seconds(partial(step, windows[:, : stepper.history + stage.outputs]), device)
        training.on_validation_epoch_start()
        shortest = shortest_rollout(objective)
        past = synthetic_windows(flow, space, validation_windows(flow, surrogate), stepper.history + shortest)
        validation = _seconds(partial(training.validation_step, past, 0), device) / shortest
        # The best average so far, and a better one.
        kept = [[value.clone() for value in training.average.state_dict().values()] for _ in range(2)]
        del kept
        return seconds, validation

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (seconds, validation), measured = measure_memory(device, work)
    ends = [stage.start for stage in objective.curriculum[1:]] + [1.0]
    per_step = sum(
        (end - stage.start) * seconds[_label(stage)] for stage, end in zip(objective.curriculum, ends, strict=True)
    )
    total = schedule.steps * (per_step + validation * outputs / schedule.steps_per_epoch)
    return replace(trial, measured=measured, step_seconds=seconds, training_seconds=total)


def _label(stage: CurriculumStage) -> str:
    return str(stage.unroll) if stage.all_to_all is None else f"all to all within {stage.all_to_all}"


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return how long work takes; if it is short, the second time."""
    for _ in range(2):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - start
        if seconds > _AGAIN:
            break
    return seconds


def _cells(trial: Trial) -> Row:
    needs = trial.needs
    operations = "–" if needs.operations is None else f"{needs.operations / 1e9:.3g}"
    count = f"{needs.parameters:,}".replace(",", " ")
    cells = (trial.flow, trial.model, count, operations, f"{needs.memory / 1e9:.3g}")
    if trial.measured is None or trial.training_seconds is None:
        return (*cells, trial.remark, "", "")
    single = len(trial.step_seconds) == 1
    seconds = (f"{value:.2g}" + ("" if single else f" ({label})") for label, value in trial.step_seconds.items())
    return (*cells, f"{trial.measured / 1e9:.3g}", ", ".join(seconds), _duration(trial.training_seconds))


def _duration(seconds: float) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.2g} {name}"
    return f"{seconds:.2g} s"
