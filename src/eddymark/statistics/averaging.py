"""Averages over time, a few states at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

VALUES_AT_ONCE = 2**22
"""Numbers of a velocity field which are worked on at a time; bounds the memory to a few hundred megabytes."""

SAMPLES = 64
"""States of each part of a window, at equal distances in time, from which costly statistics are taken.

Long rollouts hold many more, but few that are independent."""

Statistic = Callable[[Tensor], dict[str, Tensor]]
"""From states `(trajectory, time, component, *grid)` to numbers of each, `(trajectory, time, ...)`, by name."""


def chunks(velocity: Tensor) -> Iterator[Tensor]:
    """Return some states of all trajectories after others, in double precision.

    Arguments:
        velocity: `(trajectory, time, component, *grid)`.
    """
    frame = velocity[:, 0].numel()
    for part in torch.split(velocity, max(1, VALUES_AT_ONCE // max(1, frame)), dim=1):
        yield part.to(torch.float64)


def spread(states: Tensor, *, most: int) -> Tensor:
    """Return at most so many states at equal distances in time, `(trajectory, fewer times, component, *grid)`.

    Arguments:
        states: `(trajectory, time, component, *grid)`.
        most: how many states, at least 1.
    """
    return states[:, :: -(-states.shape[1] // most)]


def time_average(states: Tensor, statistic: Statistic, *, most: int | None = None) -> dict[str, NDArray[np.float64]]:
    """Return averages over time of trajectories which are finite throughout; NaN for the others.

    Arguments:
        states: `(trajectory, time, component, *grid)`.
        statistic: what is averaged.
        most: of how many states at equal distances the average is taken; None: of all.

    Returns:
        arrays `(trajectory, ...)`.
    """
    alive = torch.stack([part.isfinite().flatten(1).all(dim=1) for part in chunks(states)]).all(dim=0)
    used = states if most is None else spread(states, most=most)
    sums: dict[str, Tensor] = {}
    # With no trajectory alive, a state at rest still tells which variables there are and how long they are.
    parts = (part[alive] for part in chunks(used)) if alive.any() else [torch.zeros_like(states[:1, :1]).double()]
    for part in parts:
        for name, values in statistic(part).items():
            total = values.sum(dim=1)
            sums[name] = sums[name] + total if name in sums else total
    averages = {}
    for name, total in sums.items():
        full = np.full((len(alive), *total.shape[1:]), np.nan)
        if alive.any():
            full[alive.cpu().numpy()] = (total / used.shape[1]).cpu().numpy()
        averages[name] = full
    return averages


def window_averages(
    velocity: Tensor, parts: Sequence[slice], statistics: Sequence[Statistic], *, most: int | None = None
) -> dict[str, NDArray[np.float64]]:
    """Return the averages over each part of a window, for trajectories which are finite throughout that part.

    Arguments:
        velocity: `(trajectory, time, component, *grid)`.
        parts: which outputs lie in each part.
        statistics: what is averaged over each part.
        most: of how many states of a part at equal distances; None: of all.

    Returns:
        arrays `(trajectory, window, ...)`.
    """
    averages = [
        time_average(velocity[:, part], statistic, most=most) for part, statistic in zip(parts, statistics, strict=True)
    ]
    return {name: np.stack([one[name] for one in averages], axis=1) for name in averages[0]}
