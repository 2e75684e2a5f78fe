"""All figures of one flow, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable

from eddymark.report.collect import FlowResults
from eddymark.report.figures import (
    accuracy,
    anisotropy,
    correlations,
    densities,
    evolution,
    gradients,
    increments,
    layers,
    preparation,
    seeds,
    snapshots,
    spectra,
    transfer,
)
from eddymark.report.figures.view import View
from eddymark.report.style import Figure

RESULTS: tuple[Callable[[View], Figure], ...] = (
    spectra.energy_spectra,
    accuracy.cost_and_accuracy,
    accuracy.error_growth,
    evolution.kinetic_energy,
    evolution.enstrophy,
    densities.densities,
    evolution.survival,
    snapshots.vorticity_snapshots,
)

EXPERT: dict[Callable[[View], Figure], str] = {
    transfer.energy_balance: "energy_transfer",
    increments.structure_functions: "structure_function",
    increments.increment_densities: "increment_densities",
    gradients.gradient_moments: "gradient_moment",
    gradients.invariant_densities: "invariant_density",
    correlations.correlations: "two_point_covariance",
}
"""Figures of statistics for experts, after the densities, and the statistic which a flow needs to have for them."""


def results_of(flow: FlowResults) -> list[Callable[[View], Figure]]:
    """Return the figures about the comparison that a flow has."""
    chosen = list(RESULTS)
    after = RESULTS.index(densities.densities) + 1
    chosen[after:after] = [draw for draw, name in EXPERT.items() if name in flow.dns.statistics]
    if flow.pooled:
        chosen.insert(RESULTS.index(accuracy.cost_and_accuracy), seeds.seeds)
    if "reynolds_stress" in flow.dns.statistics:
        chosen[1:1] = [layers.mixing_layers, anisotropy.anisotropy]
    return chosen


def preparation_of(flow: FlowResults) -> list[Callable[[View], Figure]]:
    """Return the figures about data and training that a flow has."""
    trained: list[Callable[[View], Figure]] = [preparation.training_curves] if flow.trainings else []
    # The budget of given data cannot be closed: what went on between outputs is not known.
    simulated: list[Callable[[View], Figure]] = [preparation.energy_budget] if flow.flow.source is None else []
    return [*trained, *simulated]
