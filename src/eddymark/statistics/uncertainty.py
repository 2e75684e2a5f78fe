"""Bootstrap intervals and the sampling floor, by weights on trajectories.

Every score is a function of averages over an ensemble of trajectories. Drawing trajectories again, or
dividing them in two, only changes the weights of these averages; so all samples are one matrix product.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


FEWEST_RUNS = 4
"""With fewer runs than this, trajectories are taken to be independent, as so few runs tell nothing of their scatter."""


def independent_groups(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return to which of the groups 0, 1, … that count as independent each trajectory belongs.

    Stretches of one run, and rollouts which start from them, are correlated. With four runs or more, groups are
    whole runs; with fewer they are single trajectories, which needs stretches several turnover times apart.

    Arguments:
        runs: the run of each trajectory, `(trajectory,)`.

    Returns:
        `(trajectory,)`.
    """
    names, groups = np.unique(runs, return_inverse=True)
    return groups if len(names) >= FEWEST_RUNS else np.arange(len(runs))


def bootstrap_weights(generator: np.random.Generator, *, runs: NDArray[np.int64], samples: int) -> Array:
    """Return how often each trajectory is drawn in each bootstrap sample, drawing whole `independent_groups`.

    Source: Davison & Hinkley (1997), Bootstrap Methods and their Application, Sec. 3.8 (hierarchical data).

    Arguments:
        generator: source of random numbers.
        runs: the run of each trajectory, `(trajectory,)`.
        samples: number of bootstrap samples.

    Returns:
        `(sample, trajectory)`.
    """
    groups = independent_groups(runs)
    count = int(groups.max()) + 1
    drawn = generator.multinomial(count, np.full(count, 1 / count), samples)
    return drawn[:, groups].astype(np.float64)


def halves(generator: np.random.Generator, *, runs: NDArray[np.int64], splits: int) -> tuple[Array, Array]:
    """Return the weights of random disjoint halves of the DNS trajectories, dealing whole `independent_groups`.

    Arguments:
        generator: source of random numbers.
        runs: the run of each trajectory, `(trajectory,)`.
        splits: number of random splits.

    Returns:
        two arrays `(split, trajectory)`; empty splits (0, trajectory) for a single trajectory.
    """
    groups = independent_groups(runs)
    members = np.unique(groups)
    if len(members) < 2:
        return np.zeros((0, len(runs))), np.zeros((0, len(runs)))
    order = np.argsort(generator.random((splits, len(members))), axis=1)
    chosen = members[order[:, : len(members) // 2]]
    first = (groups[None, :, None] == chosen[:, None, :]).any(axis=-1)
    return first.astype(np.float64), (~first).astype(np.float64)


def ensemble_averages(values: Mapping[str, Array], weights: Array) -> dict[str, Array]:
    """Return weighted averages over the trajectories for which a value exists.

    Arguments:
        values: arrays `(trajectory, ...)`, not finite where there is no value.
        weights: `(sample, trajectory)`.

    Returns:
        arrays `(sample, ...)`; NaN where no trajectory with a value has weight.
    """
    averages = {}
    for name, array in values.items():
        present = np.isfinite(array)
        total = np.tensordot(weights, np.where(present, array, 0.0), axes=1)
        count = np.tensordot(weights, present.astype(np.float64), axes=1)
        averages[name] = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return averages


def weighted_median(values: Array, weights: Array) -> Array:
    """Return the median of the values that exist (not NaN) for each set of weights.

    Arguments:
        values: `(trajectory,)`.
        weights: `(sample, trajectory)`, how often each value counts.

    Returns:
        `(sample,)`: the mean of the two middle values if their number is even; NaN if no value has weight.
    """
    present = np.flatnonzero(~np.isnan(values))
    order = present[np.argsort(values[present], kind="stable")]
    if len(order) == 0:
        return np.full(len(weights), np.nan)
    ranked = values[order]
    cumulative = weights[:, order].cumsum(axis=1)
    half = cumulative[:, -1:] / 2
    lower = ranked[(cumulative >= half).argmax(axis=1)]
    upper = ranked[np.where((cumulative > half).any(axis=1), (cumulative > half).argmax(axis=1), -1)]
    return np.where(half[:, 0] > 0, 0.5 * (lower + upper), np.nan)


def interval(samples: Array, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of the samples that are not NaN; (NaN, NaN) if none is.

    The percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13) covers
    the truth somewhat less often than its nominal rate with few trajectories.
    """
    finite = samples[~np.isnan(samples)]
    if finite.size == 0:
        return float("nan"), float("nan")
    outer = 50 - 50 * confidence
    low, high = np.percentile(finite, [outer, 100 - outer], method="inverted_cdf")
    return float(low), float(high)
