"""Scores of a model over all of its trainings, and what a change of the model did to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from eddymark.randomness import generator
from eddymark.statistics import uncertainty
from eddymark.statistics.score_definitions import definitions
from eddymark.statistics.scores import values_by_trajectory

Array = NDArray[np.float64]

SURVIVING = "surviving_fraction"


@dataclass(frozen=True)
class PooledScore:
    """One score of a model over its seeds.

    Arguments:
        seeds: the score of each seed, `(seed,)`, NaN where it has no value.
        value: their median; of the surviving fraction their mean, as every rollout counts.
        samples: the same of each bootstrap sample, `(sample,)`.
    """

    seeds: Array
    value: float
    samples: Array

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval over seeds and initial states."""
        return uncertainty.interval(self.samples)


def pool(
    predictions: Sequence[xr.Dataset], reference: xr.Dataset, *, seed: int, samples: int, paired: bool = False
) -> dict[str, PooledScore]:
    """Return the scores of a model that was trained several times, by statistic (errors by `statistic window`).

    Two things are drawn by chance and do not depend on each other: the seeds, which decide initial weights and batches,
    and the initial states of the rollouts, which are the same for all seeds. Each is drawn again, with replacement,
    independently of the other; so are the DNS trajectories (together with the initial states, if rollouts are paired
    with them). All models of a flow share the drawn states and DNS trajectories, so that what they have in common
    cancels in the comparison of two. With few seeds the interval is rather too narrow in what it says of seeds (it
    never leaves their range), and rather too wide in what it says of states.

    Arguments:
        predictions: statistics of each seed, as `scores.score_table` takes them.
        reference: statistics of the DNS.
        seed: the experiment's seed.
        samples: number of bootstrap samples.
        paired: whether each rollout is compared with its own DNS trajectory.

    Source: Owen (2007), The pigeonhole bootstrap, Annals of Applied Statistics 1, 386-411.
    """
    flow, name = (str(predictions[0].attrs[key]) for key in ("flow", "stepper"))
    ours, dns = [values_by_trajectory(one) for one in predictions], values_by_trajectory(reference)
    runs, dns_runs = predictions[0]["run"].to_numpy(), reference["run"].to_numpy()
    weights = uncertainty.bootstrap_weights
    states = weights(generator(seed, flow, "bootstrap", "initial states"), runs=runs, samples=samples)
    references = states
    if not paired:
        references = weights(generator(seed, flow, "bootstrap", "reference"), runs=dns_runs, samples=samples)
    drawn = generator(seed, flow, "bootstrap seeds", name).integers(0, len(ours), size=(samples, len(ours)))
    averages = uncertainty.ensemble_averages
    whole = averages(dns, np.ones((1, len(dns_runs))))
    wholes = [averages(one, np.ones((1, len(runs)))) for one in ours]
    resampled, dns_resampled = [averages(one, states) for one in ours], averages(dns, references)
    pooled = {}
    # Results which an earlier version stored may lack some statistics.
    shared = reference.drop_vars([name for name in reference.data_vars if any(name not in one for one in predictions)])
    for score in definitions(shared, with_errors="relative_l2_error" in ours[0]):
        key = f"{score.statistic} {score.window}" if score.statistic == "relative_l2_error" else score.statistic
        centre = _mean if score.statistic == SURVIVING else _median
        seeds = np.array([float(score.evaluate(one, whole)[0]) for one in wholes])
        each = np.stack([score.evaluate(one, dns_resampled) for one in resampled])
        chosen = np.take_along_axis(each, drawn.T, axis=0)
        pooled[key] = PooledScore(seeds, float(centre(seeds[:, None])[0]), centre(chosen))
    return pooled


def ratio(ours: PooledScore, theirs: PooledScore) -> tuple[float, float, float]:
    """Return by what factor a positive score differs from another model's, with its 95 % interval; NaN if unknown."""
    return _compared(ours, theirs, np.divide)


def difference(ours: PooledScore, theirs: PooledScore) -> tuple[float, float, float]:
    """Return by how much a score differs from another model's, with its 95 % interval; NaN if unknown."""
    return _compared(ours, theirs, np.subtract)


def _compared(
    ours: PooledScore, theirs: PooledScore, formula: Callable[[Array, Array], Array]
) -> tuple[float, float, float]:
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(formula(np.asarray(ours.value), np.asarray(theirs.value)))
        samples = formula(ours.samples, theirs.samples)
    if not np.isfinite(value):
        return float("nan"), float("nan"), float("nan")
    return value, *uncertainty.interval(samples)


def _mean(values: Array) -> Array:
    return np.asarray(values.mean(axis=0))


def _median(values: Array) -> Array:
    """Return the median over the first axis of the values that exist; NaN where none does."""
    result = np.full(values.shape[1:], np.nan)
    some = np.isfinite(values).any(axis=0)
    result[some] = np.nanmedian(np.where(np.isfinite(values), values, np.nan)[:, some], axis=0)
    return result
