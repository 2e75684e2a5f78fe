"""Which scores there are, and how each is computed from ensemble averages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from eddymark.statistics import anisotropy, correlations, fluxes, gradients, increments, profiles, structure
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

TIMES = "turnover times"
"""Unit of times in the table: the flow's `turnover_time`, whatever its clock is."""
ERROR_STEPS = (1, 2, 5, 10)


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


def _distance_score(statistic: str, variable: str, formula: Callable[[Array, Array], Array], unit: str = "1") -> Score:
    return Score(statistic, "statistics", unit, lambda p, q: formula(p[variable], q[variable]), is_distance=True)


def _profile_scores() -> list[Score]:
    """Return the scores of a flow with layers, from what `profiles.measure_layers` gives."""
    unit = "velocity difference"
    return [
        *_ratio_scores("momentum_thickness"),
        _distance_score("mean_velocity_error", "mean_velocity", profiles.mean_velocity_error, unit),
        _distance_score("reynolds_stress_error", "reynolds_stress", profiles.reynolds_stress_error),
        _distance_score("anisotropy_error", "reynolds_stress", anisotropy.anisotropy_error),
    ]


def _increment_scores() -> list[Score]:
    """Return the scores of increments over several separations, from what `increments.measure_increments` gives."""
    functions = "structure_function"
    return [
        _distance_score("structure_function_error", functions, increments.structure_function_error, "decades"),
        _distance_score("increment_skewness_error", functions, increments.increment_skewness_error),
        _distance_score("increment_densities_distance", "increment_densities", increments.increment_densities_distance),
    ]


def _error_score(step: int) -> Score:
    def evaluate(prediction: Averages, dns: Averages) -> Array:
        error = prediction["relative_l2_error"]
        return error[:, step - 1] if step <= error.shape[1] else np.full(len(error), np.nan)

    return Score("relative_l2_error", f"step {step}", "1", evaluate)


_DIVERGENCE = Score("divergence", "statistics", "1", lambda p, q: p["mean_divergence"], is_floored_by_dns=True)
_DECORRELATION = Score("decorrelation_time", "rollout", TIMES, lambda p, q: p["decorrelation_time"])
_SURVIVAL = Score("surviving_fraction", "rollout", "1", lambda p, q: p["survived"])
ACTIVITY = Score("constraint_activity", "every step", "1", lambda p, q: p["constraint_activity"])


def constraint_scores(prediction: xr.Dataset) -> list[Score]:
    """Return what constraints from reference data did on average: how often, and to how much of the energy."""

    def score(statistic: str, variable: str, index: int) -> Score:
        return Score(statistic, "rollout", "1", lambda p, q: p[variable][:, index])

    scores = []
    for index, name in enumerate(prediction["constraint"].values if "constraint" in prediction.coords else ()):
        scores.append(score(f"{name}_activity", "mean_constrained_shells", index))
        scores.append(score(f"{name}_changed_energy", "mean_constrained_energy", index))
    return scores


def _flux_scores(reference: xr.Dataset) -> list[Score]:
    """Return the scores of the energy balance, from what `transfer.measure_balance` gives."""
    shells = resolved_shells(reference["shell"].values, cutoff=int(reference.attrs["cutoff"]))
    error = partial(fluxes.flux_error, shells=shells)
    scores = [_distance_score("energy_flux_error", "energy_transfer", error)]
    if "enstrophy_transfer" in reference:
        scores.append(_distance_score("enstrophy_flux_error", "enstrophy_transfer", error))
    return scores


def _gradient_scores(reference: xr.Dataset) -> list[Score]:
    """Return the scores of the velocity gradient, from what `gradients.measure_gradients` gives."""
    scores = [
        Score(f"{direction}_gradient_flatness", "statistics", "1", partial(_flatness, direction=index))
        for index, direction in enumerate(gradients.DIRECTIONS)
    ]
    scores.append(_distance_score("gradient_flatness_error", "gradient_moment", gradients.gradient_flatness_error))
    if "invariant_density" in reference:
        scores.append(_distance_score("invariant_distance", "invariant_density", gradients.invariant_distance))
    return scores


def _scale_scores(reference: xr.Dataset) -> list[Score]:
    """Return the scores of integral length and, of a steady flow, integral time, from what `correlations` measures."""
    length = partial(correlations.longitudinal_length, spacing=float(reference["offset"][1]))
    scores = _relative_scores("integral_length", "two_point_covariance", length)
    if "autocovariance" in reference:
        time = partial(correlations.integral_scale, spacing=float(reference["lag"][1]))
        scores += _relative_scores("integral_time", "autocovariance", time)
    return scores


def _relative_scores(name: str, variable: str, formula: Callable[[Array], Array]) -> list[Score]:
    """Return the ratio to the DNS of what a formula gives, and how far it is from one."""

    def ratio(prediction: Averages, dns: Averages) -> Array:
        return np.asarray(formula(prediction[variable]) / formula(dns[variable]))

    return [
        Score(name, "statistics", "1", ratio),
        Score(f"{name}_error", "statistics", "1", lambda p, q: abs(ratio(p, q) - 1), is_distance=True),
    ]


def _flatness(prediction: Averages, dns: Averages, *, direction: int) -> Array:
    return np.asarray(gradients.gradient_flatness(prediction["gradient_moment"])[..., direction])


SUBGRID_ACTIVITY = Score(
    "subgrid_activity",
    "statistics",
    "1",
    lambda p, q: fluxes.subgrid_activity(p["subgrid_transfer"], p["dissipation_spectrum"]),
)
"""Of LES: the share of the model in the dissipation."""


def definitions(reference: xr.Dataset, *, with_errors: bool) -> list[Score]:
    """Return the scores, in the order of the table.

    Where a transient flow is averaged over several windows, each is compared with the same window of the DNS and the
    score is the mean over the windows. Distances are: of spectra `spectra.spectrum_error`; of energy and enstrophy
    |ratio to DNS − 1|; of densities the total variation distance; of derivative skewness (3-D), palinstrophy production
    (2-D) and vorticity flatness the absolute difference from DNS; of structure functions and increments over several
    separations those of `increments`; of fluxes the relative L2 distance; of the velocity gradient those of
    `gradients`. `divergence` is no distance, but should be as small as that of the DNS. Errors against the DNS
    trajectory are averaged over the trajectories that have a state at that step; decorrelation times beyond the data
    count as the end of the data.

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
    if "structure_function" in reference:
        scores += _increment_scores()
    if "energy_transfer" in reference:
        scores += _flux_scores(reference)
    if "gradient_moment" in reference:
        scores += _gradient_scores(reference)
    if "two_point_covariance" in reference:
        scores += _scale_scores(reference)
    if "reynolds_stress" in reference:
        scores += _profile_scores()
    return [*scores, _DIVERGENCE, _SURVIVAL]
