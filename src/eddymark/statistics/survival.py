"""When and why a rollout fails."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RecordedFailure:
    """A failure which ended a rollout: the trajectory, the time in turnover times, and the cause in words."""

    trajectory: int
    time: float
    cause: str


def running_mean(ratio: Array, *, samples: int) -> Array:
    """Return the mean of the last `samples` values at each time.

    Before the start a rollout is taken to have been at the DNS mean (ratio 1): the mean neither waits for its
    window to fill nor rests on single values before it has.

    Arguments:
        ratio: a quantity divided by its DNS mean, `(..., time)`.
        samples: length of the window, at least 1.

    Returns:
        same shape; NaN from the first NaN on.
    """
    padded = np.concatenate([np.ones((*ratio.shape[:-1], samples - 1)), ratio], axis=-1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, samples, axis=-1)
    return np.asarray(windows.mean(axis=-1))


def survival(
    *,
    time: Array,
    kinetic_energy: Array,
    enstrophy: Array,
    mean_flow_energy: Array,
    mean_kinetic_energy: Array,
    mean_enstrophy: Array,
    energy_range: tuple[float, float],
    enstrophy_range: tuple[float, float],
    average: float,
    recorded: Iterable[RecordedFailure] = (),
) -> tuple[Array, list[str]]:
    """Return when each trajectory failed first and why.

    A trajectory fails when the running mean of energy or enstrophy, divided by the DNS mean, leaves its
    range, or when its rollout recorded a failure. The initial state is not tested. The equations conserve the mean
    flow, or damp it: where the energy would be in its range without what the mean flow has gained since the start, the
    cause says so.

    Arguments:
        time: turnover times, `(time,)`, the initial state first.
        kinetic_energy, enstrophy: `(trajectory, time)`, NaN after a recorded failure.
        mean_flow_energy: the part of the kinetic energy in the mode k = 0, same shape.
        mean_kinetic_energy, mean_enstrophy: means of the DNS, or its ensemble means at the same times, `(time,)`.
        energy_range, enstrophy_range: lowest and highest multiple of the DNS mean.
        average: length of the running mean, turnover times.
        recorded: failures which the rollout met.

    Returns:
        time of failure `(trajectory,)`, NaN where the trajectory survived, and the causes, "" where it
        survived.
    """
    samples = max(1, round(average / float(time[1] - time[0])))
    tests = [
        ("kinetic energy", kinetic_energy / mean_kinetic_energy, energy_range),
        ("enstrophy", enstrophy / mean_enstrophy, enstrophy_range),
    ]
    failures = list(recorded)
    gained = (mean_flow_energy - mean_flow_energy[:, :1]) / mean_kinetic_energy
    mean_gained = running_mean(1 + gained[:, 1:], samples=samples) - 1
    for name, ratio, (lowest, highest) in tests:
        mean = running_mean(ratio[:, 1:], samples=samples)
        for word, outside in (("below", mean < lowest), ("above", mean > highest)):
            limit = lowest if word == "below" else highest
            for trajectory in np.flatnonzero(outside.any(axis=1)):
                first = int(outside[trajectory].argmax())
                cause = f"{name} {word} {limit:g} × DNS mean"
                if (name, word) == ("kinetic energy", "above"):
                    without = mean[trajectory, first] - mean_gained[trajectory, first]
                    cause += " by the mean flow" if without <= highest else ""
                failures.append(RecordedFailure(int(trajectory), float(time[1 + first]), cause))
    times = np.full(len(kinetic_energy), np.nan)
    causes = [""] * len(kinetic_energy)
    for failure in sorted(failures, key=lambda failure: failure.time, reverse=True):
        times[failure.trajectory] = failure.time
        causes[failure.trajectory] = failure.cause
    return times, causes
