"""Scores of a stepper against DNS, with bootstrap intervals and the sampling floor, as a tidy table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from eddymark.randomness import generator
from eddymark.statistics import uncertainty
from eddymark.statistics.score_definitions import (
    ACTIVITY,
    SUBGRID_ACTIVITY,
    TIMES,
    constraint_scores,
    definitions,
)

Array = NDArray[np.float64]

COLUMNS = (
    "flow",
    "stepper",
    "kind",
    "seed",
    "statistic",
    "window",
    "value",
    "low",
    "high",
    "floor",
    "unit",
)
SPLITS = 200
"""Random divisions of the DNS trajectories from which the sampling floor is the median."""


def values_by_trajectory(dataset: xr.Dataset) -> dict[str, Array]:
    """Return everything that is averaged over trajectories, `(trajectory, ...)`."""
    values = {
        str(name): variable.to_numpy()
        for name, variable in dataset.data_vars.items()
        if "trajectory" in variable.dims and "time" not in variable.dims and name != "failure_cause"
    }
    values["survived"] = np.isnan(values["failure_time"]).astype(np.float64)
    if "decorrelation_time" in values:
        beyond = float(dataset["lead_time"][-1])
        values["decorrelation_time"] = np.nan_to_num(values["decorrelation_time"], nan=beyond)
    return values


def score_table(
    prediction: xr.Dataset, reference: xr.Dataset, *, seed: int, samples: int, paired: bool = False
) -> pd.DataFrame:
    """Return the scores of one stepper as a tidy table with the columns `COLUMNS`.

    Intervals (`low`, `high`) are 95 % percentile bootstrap intervals over prediction trajectories and,
    independently (together, if they are paired), DNS trajectories; where there are runs enough, whole runs are
    drawn (see `uncertainty.independent_groups`). `floor` is the median of a distance between random disjoint halves of
    the DNS trajectories; each half is smaller than the ensembles that are compared, so the floor is rather too
    high than too low. The floor of `divergence` is that of the DNS. A stepper of kind `floor` is the DNS itself:
    its distances are the sampling floor, with the percentiles over the halvings; its errors and decorrelation
    time, if there are any, are those between unrelated DNS states, the chance level that no stepper has to know
    anything for, and no floor of the others. A score without data is NaN; its row stays.

    Arguments:
        prediction: statistics of the stepper, with `failure_time` and the coordinate `run(trajectory)` of the
            DNS run from which each rollout starts; attributes `flow`, `stepper`, `kind`, `seed` name the rows.
        reference: statistics of the DNS, with the coordinate `run(trajectory)`.
        seed: the experiment's seed.
        samples: number of bootstrap samples.
        paired: whether each rollout is compared with its own DNS trajectory at the same times, with which it shares
            the initial state, instead of a stationary state that has forgotten it.
    """
    names = {name: prediction.attrs[name] for name in ("flow", "stepper", "kind", "seed")}
    flow, stepper = str(names["flow"]), str(names["stepper"])
    is_dns = names["kind"] == "floor"
    ours, dns = values_by_trajectory(prediction), values_by_trajectory(reference)
    ours_runs, dns_runs = prediction["run"].to_numpy(), reference["run"].to_numpy()
    weights = uncertainty.bootstrap_weights
    ours_weights = weights(generator(seed, flow, "bootstrap", stepper), runs=ours_runs, samples=samples)
    dns_weights = ours_weights
    if not paired:
        dns_weights = weights(generator(seed, flow, "bootstrap", "reference"), runs=dns_runs, samples=samples)
    halves = uncertainty.halves(generator(seed, flow, "sampling floor"), runs=dns_runs, splits=SPLITS)
    averages = uncertainty.ensemble_averages
    everything = averages(ours, np.ones((1, len(ours_runs))))
    dns_everything = averages(dns, np.ones((1, len(dns_runs))))
    resampled = averages(ours, ours_weights), averages(dns, dns_weights)
    halved = averages(dns, halves[0]), averages(dns, halves[1])
    scores = definitions(reference, with_errors="relative_l2_error" in ours)
    if "constraint_activity" in ours:
        scores.append(ACTIVITY)
    if "subgrid_transfer" in ours:
        scores.append(SUBGRID_ACTIVITY)
    scores += constraint_scores(prediction)
    rows: list[list[object]] = []
    for score in scores:
        floors = score.evaluate(*halved) if score.is_distance else np.full(1, np.nan)
        if score.is_floored_by_dns:
            floors = score.evaluate(dns_everything, dns_everything)
        floor = float(np.median(floors)) if floors.size else float("nan")
        if is_dns and score.is_distance:
            value, bounds = floor, uncertainty.interval(floors)
        else:
            value = float(score.evaluate(everything, dns_everything)[0])
            bounds = uncertainty.interval(score.evaluate(*resampled))
        rows.append([score.statistic, score.window, value, *bounds, floor, score.unit])
    medians = uncertainty.weighted_median(ours["failure_time"], ours_weights)
    median = uncertainty.weighted_median(ours["failure_time"], np.ones((1, len(ours_runs))))
    bounds = uncertainty.interval(medians)
    rows.append(["failure_time", "rollout", float(median[0]), *bounds, float("nan"), TIMES])
    table = pd.DataFrame(rows, columns=["statistic", "window", "value", "low", "high", "floor", "unit"])
    return table.assign(**names)[list(COLUMNS)]
