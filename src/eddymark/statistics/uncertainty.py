"""Bootstrap intervals and the sampling floor, by weights on trajectories.

Every score is a function of averages over an ensemble of trajectories. Drawing trajectories again, or
dividing them in two, only changes the weights of these averages; so all samples are one matrix product.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def bootstrap_weights(generator: np.random.Generator, *, trajectories: int, samples: int, seeds: int = 1) -> Array:
    """Return how often each trajectory is drawn in each bootstrap sample.

    With several training seeds, seeds and trajectories are drawn independently of each other and crossed,
    because all seeds start from the same initial states.

    Arguments:
        generator: source of random numbers.
        trajectories: number of trajectories of one seed.
        samples: number of bootstrap samples.
        seeds: number of training seeds.

    Returns:
        `(sample, seed × trajectory)`, seed by seed.
    """
    of_trajectories = generator.multinomial(trajectories, np.full(trajectories, 1 / trajectories), samples)
    of_seeds = generator.multinomial(seeds, np.full(seeds, 1 / seeds), samples)
    crossed = of_seeds[:, :, None] * of_trajectories[:, None, :]
    return crossed.reshape(samples, seeds * trajectories).astype(np.float64)


def halves(generator: np.random.Generator, *, runs: NDArray[np.int64], splits: int) -> tuple[Array, Array]:
    """Return the weights of random disjoint halves of the DNS trajectories.

    Stretches of one run are correlated. With four runs or more, whole runs are dealt to the halves, so that
    these are independent; with fewer, single trajectories are, which needs stretches several turnover times
    apart.

    Arguments:
        generator: source of random numbers.
        runs: the run of each trajectory, `(trajectory,)`.
        splits: number of random splits.

    Returns:
        two arrays `(split, trajectory)`; empty splits (0, trajectory) for a single trajectory.
    """
    names = np.unique(runs)
    groups = runs if len(names) >= 4 else np.arange(len(runs))
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
