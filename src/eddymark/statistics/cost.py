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
from eddymark.stepping.stepper import Stepper


@dataclass(frozen=True)
class Timing:
    """Cost of one stepper, in seconds per turnover time per trajectory.

    Arguments:
        median: over the repeats.
        low, high: quartiles over the repeats.
        repeats: number of timed rollouts.
    """

    median: float
    low: float
    high: float
    repeats: int


def time_steppers(
    steppers: Mapping[str, Stepper],
    past: Tensor,
    *,
    turnover_time: float,
    repeats: int = 7,
    turnovers: float = 1.0,
) -> dict[str, Timing]:
    """Time rollouts of several steppers alternately, so that a slow spell of the machine hits all of them.

    Every repeat advances the same states by each stepper in turn. A first round is not counted: it pays for
    plans, caches and compilation. Threads, precision and device are those of the process and of the states.

    Arguments:
        steppers: what is timed, by name.
        past: velocity `(batch, history, component, *grid)`, oldest first, with the longest history needed.
        turnover_time: flow units.
        repeats: counted rounds, at least 5.
        turnovers: length of one timed rollout, turnover times; at least one output interval is made.
    """
    if repeats < 5:
        raise ValueError(f"at least 5 repeats are needed for a median and its spread; got {repeats}")
    seconds: dict[str, list[float]] = {name: [] for name in steppers}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(repeats + 1):
            for name, stepper in steppers.items():
                steps = max(1, round(turnovers * turnover_time / stepper.interval))
                elapsed = _time_rollout(stepper, past[:, past.shape[1] - stepper.history :], steps)
                made = steps * stepper.interval / turnover_time * past.shape[0]
                seconds[name].append(elapsed / made)
    finally:
        if collecting:
            gc.enable()
    result = {}
    for name, values in seconds.items():
        low, median, high = np.percentile(values[1:], [25, 50, 75])
        result[name] = Timing(median=float(median), low=float(low), high=float(high), repeats=repeats)
    return result


def _time_rollout(stepper: Stepper, past: Tensor, steps: int) -> float:
    """Return the seconds that a number of outputs takes."""
    with torch.inference_mode():
        _synchronise(past.device)
        start = time.perf_counter()
        for _ in range(steps):
            past = torch.cat([past[:, 1:], stepper(past).unsqueeze(1)], dim=1)
        _synchronise(past.device)
        return time.perf_counter() - start


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure_memory(device: torch.device, work: Callable[[], Result]) -> tuple[Result, int]:
    """Return what a piece of work returns and how many bytes it made memory grow at its peak.

    On a GPU that is the peak of all arrays less those that were there before. On a CPU it is the growth of the
    process's resident memory (`eddymark.memory.memory_growth`), which includes what libraries set up on first use.

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
