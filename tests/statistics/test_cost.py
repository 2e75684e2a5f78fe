from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch import Tensor

from eddymark.statistics.cost import measure_memory, time_steppers


class Sleeper:
    """Takes a known time per output and records when it was called."""

    def __init__(self, name: str, seconds: float, calls: list[str], history: int = 1) -> None:
        self.interval = 0.5
        self.history = history
        self.name = name
        self.seconds = seconds
        self.calls = calls

    def __call__(self, past: Tensor) -> Tensor:
        assert torch.is_inference_mode_enabled()
        assert past.shape[1] == self.history
        self.calls.append(self.name)
        time.sleep(self.seconds)
        return past[:, -1] + 1


def test_timing_alternates_between_steppers_and_orders_them() -> None:
    calls: list[str] = []
    steppers = {"slow": Sleeper("slow", 0.006, calls), "fast": Sleeper("fast", 0.001, calls, history=2)}
    # Two outputs make one turnover time of 1.
    timings = time_steppers(steppers, dict.fromkeys(steppers, torch.zeros(4, 2, 2, 8, 8)), turnover_time=1.0, repeats=5)
    assert calls == ["slow", "slow", "fast", "fast"] * 6
    assert timings["slow"].median > timings["fast"].median
    # Two calls of 6 ms for four trajectories.
    assert timings["slow"].low >= 2 * 0.006 / 4
    for timing in timings.values():
        assert timing.low <= timing.median <= timing.high
        assert timing.repeats == 5


def test_the_first_round_is_not_counted() -> None:
    calls: list[str] = []

    class Compiling(Sleeper):
        def __call__(self, past: Tensor) -> Tensor:
            time.sleep(0.3 if not self.calls else 0)
            return super().__call__(past)

    stepper = Compiling("only", 0.0, calls)
    timing = time_steppers({"only": stepper}, {"only": torch.zeros(1, 1, 2, 8, 8)}, turnover_time=0.5, repeats=5)
    assert timing["only"].high < 0.3


def test_every_output_starts_from_a_given_state_and_never_from_what_the_stepper_made() -> None:
    seen: list[list[float]] = []

    class Recorder(Sleeper):
        def __call__(self, past: Tensor) -> Tensor:
            seen.append(past[0, :, 0, 0, 0].tolist())
            return past[:, -1] * torch.nan

    states = torch.arange(4.0).reshape(1, 4, 1, 1, 1).expand(1, 4, 2, 8, 8)
    steppers = {"a": Recorder("a", 0.0, []), "b": Recorder("b", 0.0, [], history=2)}
    time_steppers(steppers, dict.fromkeys(steppers, states), turnover_time=2.0, repeats=5)
    # Both follow the second state first, which the one with the longer history needs too; then all over again.
    assert seen[:4] == [[1.0], [2.0], [3.0], [1.0]]
    assert seen[4:8] == [[0.0, 1.0], [1.0, 2.0], [2.0, 3.0], [0.0, 1.0]]
    assert seen == seen[:8] * 6


def test_too_few_repeats_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 5"):
        time_steppers({}, {}, turnover_time=1.0, repeats=3)


def test_memory_is_what_the_work_adds_at_its_peak_whatever_was_used_before() -> None:
    cpu = torch.device("cpu")
    np.ones(100_000_000).sum()  # an earlier, higher peak must not hide what follows
    for count in (10_000_000, 30_000_000):
        result, grown = measure_memory(cpu, lambda count=count: float(np.ones(count).sum()))
        assert result == count
        assert 0.9 * 8 * count < grown < 8 * count + 20e6
    _, small = measure_memory(cpu, lambda: np.ones(1000).sum())
    assert small < 5e6
