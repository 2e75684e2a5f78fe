"""What a rollout costs: time and memory, measured alike for every stepper."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from eddymark.memory import Result, memory_growth
from eddymark.stepping.stepper import Stepper, outputs_of_a_call


@dataclass(frozen=True)
class Timing:
    """Cost of one stepper, in seconds per turnover time per trajectory.

    Arguments:
        median: over the repeats.
        low, high: quartiles over the repeats.
        repeats: number of rounds.
    """

    median: float
    low: float
    high: float
    repeats: int


def time_steppers(
    steppers: Mapping[str, Stepper],
    states: Mapping[str, Tensor],
    *,
    turnover_time: float,
    repeats: int = 7,
    turnovers: float = 1.0,
) -> dict[str, Timing]:
    """Time several steppers alternately, so that a slow spell of the machine hits all of them.

    Every output starts from the given states, one output later each time, and from the first again when they are
    used up. So what a step costs does not hang on how good the steps before it were: a rollout that decays takes
    longer time steps than one that follows the flow, and an untrained network costs what a trained one does.
    A call that gives several outputs counts as so many.
    A first round is not counted: it pays for plans, caches and compilation. Threads, precision and device are
    those of the process and of the states.

    Arguments:
        steppers: what is timed, by name.
        states: by name, velocity `(batch, time, component, *grid)` at successive outputs, at least the longest history.
        turnover_time: flow units.
        repeats: counted rounds, at least 5.
        turnovers: what one round makes, turnover times; at least one output.
    """
    if repeats < 5:
        raise ValueError(f"at least 5 repeats are needed for a median and its spread; got {repeats}")
    seconds: dict[str, list[float]] = {name: [] for name in steppers}
    first = max((stepper.history for stepper in steppers.values()), default=1)
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(repeats + 1):
            for name, stepper in steppers.items():
                interval = outputs_of_a_call(stepper) * stepper.interval
                calls = max(1, round(turnovers * turnover_time / interval))
                made = calls * interval / turnover_time * states[name].shape[0]
                seconds[name].append(_time_calls(stepper, states[name], calls, first=first) / made)
    finally:
        if collecting:
            gc.enable()
    result = {}
    for name, values in seconds.items():
        low, median, high = np.percentile(values[1:], [25, 50, 75])
        result[name] = Timing(median=float(median), low=float(low), high=float(high), repeats=repeats)
    return result


def _time_calls(stepper: Stepper, states: Tensor, calls: int, *, first: int) -> float:
    """Return the seconds that a number of calls takes; what the first one gives follows the first `first` states."""
    starts = states.shape[1] - first + 1
    with torch.inference_mode():
        _synchronise(states.device)
        start = time.perf_counter()
        for call in range(calls):
            end = first + call % starts
            stepper(states[:, end - stepper.history : end])
        _synchronise(states.device)
        return time.perf_counter() - start


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure_memory(device: torch.device, work: Callable[[], Result]) -> tuple[Result, int]:
    """Return what a piece of work returns and how many bytes it made memory grow at its peak.

    On a GPU that is the peak of all arrays less those that were there before. On a CPU it is the growth of the
    process's resident memory (`eddymark.memory.memory_growth`), which includes what libraries set up on first use:
    do the work once before, if that shall not count.

    Arguments:
        device: where the work is done.
        work: what is measured.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        result = work()
        return result, int(torch.cuda.max_memory_allocated(device)) - before
    return memory_growth(work)
