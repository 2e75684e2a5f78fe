"""Scores of a stepper against DNS, with bootstrap intervals and the sampling floor, as a tidy table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from eddymark.randomness import generator
from eddymark.statistics import profiles, structure, uncertainty
from eddymark.statistics.distributions import (
    INCREMENT_BINS,
    VORTICITY_BINS,
    Bins,
    total_variation_distance,
)
from eddymark.statistics.spectra import resolved_shells, spectrum_error, upper_shells

Array = NDArray[np.float64]
Averages = Mapping[str, Array]
"""Ensemble averages by name, each `(sample, ...)`."""

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
TIMES = "turnover times"
"""Unit of times in the table: the flow's `turnover_time`, whatever its clock is."""
ERROR_STEPS = (1, 2, 5, 10)
SPLITS = 200
"""Random divisions of the DNS trajectories from which the sampling floor is the median."""


@dataclass(frozen=True)
class Score:
    """One number computed from ensemble averages; where these are per window, its mean over the windows.

    Arguments:
        statistic: its name.
        window: what it is taken over.
        unit: its unit.
        formula: from the averages of the prediction and of the DNS, `(sample,)` or `(sample, window)`.
        is_distance: zero for equal ensembles; then the floor is that between halves of the DNS.
        is_floored_by_dns: the floor is what the DNS itself has.
    """

    statistic: str
    window: str
    unit: str
    formula: Callable[[Averages, Averages], Array]
    is_distance: bool = False
    is_floored_by_dns: bool = False

    def evaluate(self, prediction: Averages, dns: Averages) -> Array:
        """Return the score for each sample; NaN where a window is without value."""
        values = self.formula(prediction, dns)
        return values if values.ndim == 1 else np.asarray(values.mean(axis=1))


def _shell_scores(reference: xr.Dataset) -> list[Score]:
    shell = reference["shell"].values
    cutoff = int(reference.attrs["cutoff"])
    selections = {
        ("spectrum_error", "resolved"): resolved_shells(shell, cutoff=cutoff),
        ("spectrum_error_upper", "resolved"): upper_shells(shell, cutoff=cutoff),
        ("spectrum_error_all", "all shells"): reference["modes"].values > 0,
    }

    def score(statistic: str, window: str, shells: NDArray[np.bool_]) -> Score:
        def evaluate(prediction: Averages, dns: Averages) -> Array:
            return spectrum_error(prediction["energy_spectrum"], dns["energy_spectrum"], shells=shells)

        return Score(statistic, window, "decades", evaluate, is_distance=True)

    return [score(*names, shells) for names, shells in selections.items()]


def _ratio_scores(name: str) -> list[Score]:
    def ratio(prediction: Averages, dns: Averages) -> Array:
        return prediction[f"mean_{name}"] / dns[f"mean_{name}"]

    return [
        Score(name, "statistics", "1", ratio),
        Score(f"{name}_error", "statistics", "1", lambda p, q: abs(ratio(p, q) - 1), is_distance=True),
    ]


def _density_score(statistic: str, variable: str, bins: Bins) -> Score:
    def evaluate(prediction: Averages, dns: Averages) -> Array:
        return total_variation_distance(prediction[variable], dns[variable], bin_width=bins.width)

    return Score(statistic, "statistics", "1", evaluate, is_distance=True)


def _structure_scores(statistic: str, formula: Callable[..., Array], moments: Sequence[str]) -> list[Score]:
    def value(averages: Averages) -> Array:
        return formula(**{name: averages[name] for name in moments})

    return [
        Score(statistic, "statistics", "1", lambda p, q: value(p)),
        Score(f"{statistic}_error", "statistics", "1", lambda p, q: abs(value(p) - value(q)), is_distance=True),
    ]


def _profile_scores() -> list[Score]:
    """Return the scores of a flow with layers, from what `profiles.measure_layers` gives."""

    def mean_velocity(prediction: Averages, dns: Averages) -> Array:
        return profiles.mean_velocity_error(prediction["mean_velocity"], dns["mean_velocity"])

    def reynolds_stress(prediction: Averages, dns: Averages) -> Array:
        return profiles.reynolds_stress_error(prediction["reynolds_stress"], dns["reynolds_stress"])

    return [
        *_ratio_scores("momentum_thickness"),
        Score("mean_velocity_error", "statistics", "velocity difference", mean_velocity, is_distance=True),
        Score("reynolds_stress_error", "statistics", "1", reynolds_stress, is_distance=True),
    ]


def _error_score(step: int) -> Score:
    def evaluate(prediction: Averages, dns: Averages) -> Array:
        error = prediction["relative_l2_error"]
        return error[:, step - 1] if step <= error.shape[1] else np.full(len(error), np.nan)

    return Score("relative_l2_error", f"step {step}", "1", evaluate)


_DIVERGENCE = Score("divergence", "statistics", "1", lambda p, q: p["mean_divergence"], is_floored_by_dns=True)
_DECORRELATION = Score("decorrelation_time", "rollout", TIMES, lambda p, q: p["decorrelation_time"])
_SURVIVAL = Score("surviving_fraction", "rollout", "1", lambda p, q: p["survived"])
_ACTIVITY = Score("constraint_activity", "every step", "1", lambda p, q: p["constraint_activity"])


def _constraint_scores(prediction: xr.Dataset) -> list[Score]:
    """Return what constraints from reference data did on average: how often, and to how much of the energy."""

    def score(statistic: str, variable: str, index: int) -> Score:
        return Score(statistic, "rollout", "1", lambda p, q: p[variable][:, index])

    scores = []
    for index, name in enumerate(prediction["constraint"].values if "constraint" in prediction.coords else ()):
        scores.append(score(f"{name}_activity", "mean_constrained_shells", index))
        scores.append(score(f"{name}_changed_energy", "mean_constrained_energy", index))
    return scores


def definitions(reference: xr.Dataset, *, with_errors: bool) -> list[Score]:
    """Return the scores, in the order of the table.

    Where a transient flow is averaged over several windows, each is compared with the same window of the DNS and the
    score is the mean over the windows. Distances are: of spectra `spectra.spectrum_error`; of energy and enstrophy
    |ratio to DNS − 1|; of densities the total variation distance; of derivative skewness (3-D), palinstrophy production
    (2-D) and vorticity flatness the absolute difference from DNS. `divergence` is no distance, but should be as small
    as that of the DNS. Errors against the DNS trajectory are averaged over the trajectories that have a state at that
    step; decorrelation times beyond the data count as the end of the data.

    Arguments:
        reference: statistics of the DNS.
        with_errors: whether there are errors against another DNS trajectory.
    """
    scores = [*map(_error_score, ERROR_STEPS), _DECORRELATION] if with_errors else []
    scores += [
        *_shell_scores(reference),
        *_ratio_scores("kinetic_energy"),
        *_ratio_scores("enstrophy"),
        _density_score("vorticity_pdf_distance", "vorticity_density", VORTICITY_BINS),
        _density_score("increment_pdf_distance", "increment_density", INCREMENT_BINS),
    ]
    if "derivative_cube" in reference:
        moments = ["derivative_square", "derivative_cube"]
        scores += _structure_scores("derivative_skewness", structure.derivative_skewness, moments)
    else:
        moments = ["vorticity_gradient_production", "vorticity_gradient_square", "vorticity_square"]
        scores += _structure_scores("palinstrophy_production", structure.palinstrophy_production, moments)
    moments = ["vorticity_square", "vorticity_fourth"]
    scores += _structure_scores("vorticity_flatness", structure.vorticity_flatness, moments)
    if "reynolds_stress" in reference:
        scores += _profile_scores()
    return [*scores, _DIVERGENCE, _SURVIVAL]


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
        scores.append(_ACTIVITY)
    scores += _constraint_scores(prediction)
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
