"""Figures of statistics for experts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from eddymark.report.collect import FlowResults, StepperResults, collect
from eddymark.report.figures import EXPERT, results_of
from eddymark.report.figures.correlations import correlations
from eddymark.report.figures.gradients import gradient_moments, invariant_densities
from eddymark.report.figures.increments import increment_densities, structure_functions
from eddymark.report.figures.transfer import energy_balance
from eddymark.report.figures.view import View
from eddymark.report.standings import standings
from eddymark.report.style import Figure, Styles, plotting
from tests.report.conftest import Tree


@pytest.fixture(scope="module")
def flows(tree: Tree) -> tuple[FlowResults, ...]:
    return collect(tree.experiment, results=tree.results).flows


def drawing(draw: Callable[[View], Figure], flow: FlowResults) -> Figure:
    view = View(flow, standings(flow), Styles([(stepper.name, stepper.kind) for stepper in flow.steppers]))
    with plotting():
        return draw(view)


def scored(stepper: StepperResults, name: str, value: float) -> StepperResults:
    """Return results with one more score, of floor 0.1."""
    row = stepper.scores.iloc[0].to_dict()
    row |= {"statistic": name, "value": value, "low": 0.9 * value, "high": 1.1 * value, "floor": 0.1}
    return replace(stepper, scores=pd.concat([stepper.scores, pd.DataFrame([row])]))


def with_statistics(flow: FlowResults, change: Callable[[StepperResults], xr.Dataset]) -> FlowResults:
    return replace(flow, steppers=tuple(replace(one, statistics=change(one)) for one in flow.steppers))


def test_structure_functions_are_drawn_with_their_units_and_what_dns_has(flows: tuple[FlowResults, ...]) -> None:
    for flow in flows:
        figure = drawing(structure_functions, flow)
        for words in ("S_2 / DNS", "S_6 / DNS", "separation r / Δ", "flatness S_4 / S_2² (1)", "DNS (grey: range of"):
            assert f"<!-- {words}" in figure.svg, words
        # The invented DNS has skewness −0.3 and flatness 5 at the smallest separation.
        values = re.search(r"skewness is (−[0-9.]+) at r = Δ, and the flatness ([0-9.]+) there", figure.caption)
        assert values is not None
        assert float(values[1].replace("−", "-")) == pytest.approx(-0.3, rel=0.05)
        assert float(values[2]) == pytest.approx(5, rel=0.05)
        assert "Closest" not in figure.caption


def test_densities_are_drawn_for_both_directions_and_three_separations(flows: tuple[FlowResults, ...]) -> None:
    figure = drawing(increment_densities, flows[0])
    for direction in ("longitudinal", "transverse"):
        for multiple in ("1.0", "4.0", "8.0"):
            assert f"<!-- {direction}, r = {multiple} Δ -->" in figure.svg
    assert "<!-- probability density (1) -->" in figure.svg


def test_the_energy_balance_is_drawn_with_what_models_take(flows: tuple[FlowResults, ...]) -> None:
    plane, volume = (drawing(energy_balance, flow) for flow in flows)
    for words in ("Π(k) (flow units)", "T(k) (flow units)", "D(k) (flow units)", "shell k (lowest wavenumber = 1)"):
        assert f"<!-- {words} -->" in plane.svg
    assert "<!-- enstrophy flux -->" in plane.svg
    assert "<!-- enstrophy flux -->" not in volume.svg
    assert "largest flux is 0.980 to larger scales at k = 1; molecular dissipation" in plane.caption
    assert "largest flux is 0.997 to smaller scales at k = 1; molecular dissipation" in volume.caption
    assert "the force does work at a rate of 1.25" in volume.caption
    # The invented models take a third of what molecules do.
    assert "Share of the model in the dissipation of LES: 25 % in smagorinsky, 25 % in dynamic" in volume.caption
    assert "no_model" not in plane.caption


def test_gradients_are_drawn_with_what_a_gaussian_field_has(flows: tuple[FlowResults, ...]) -> None:
    figure = drawing(gradient_moments, flows[1])
    for words in ("longitudinal skewness (1)", "transverse flatness (1)", "DNS", "matched_noise (control)"):
        assert f"<!-- {words} -->" in figure.svg
    found = re.search(r"skewness is (−[0-9.]+), the flatness of longitudinal derivatives ([0-9.]+)", figure.caption)
    assert found is not None
    assert float(found[1].replace("−", "-")) == pytest.approx(-0.4, rel=0.05)
    assert float(found[2]) == pytest.approx(4, rel=0.05)


def test_the_invariants_are_drawn_beside_those_of_dns_in_three_dimensions(flows: tuple[FlowResults, ...]) -> None:
    plane, volume = flows
    assert invariant_densities not in results_of(plane)
    assert invariant_densities in results_of(volume)
    figure = drawing(invariant_densities, volume)
    for words in ("sign(R) |R|^(1/3) / s", "sign(Q) |Q|^(1/2) / s", "cnn_hybrid (hybrid)", "matched_noise (control)"):
        assert f"<!-- {words} -->" in figure.svg
    share = re.search(r"with Q &lt; 0, DNS has ([0-9]+) %|with Q < 0, DNS has ([0-9]+) %", figure.caption)
    assert share is not None
    assert 60 < float(share[1] or share[2]) < 95


def test_correlations_are_drawn_with_the_scales_of_dns(flows: tuple[FlowResults, ...]) -> None:
    figure = drawing(correlations, flows[0])
    for words in ("longitudinal correlation", "autocorrelation in time", "distance r (flow units)", "lag τ (turnover"):
        assert f"<!-- {words}" in figure.svg
    # ∫₀^π exp(−r²/2) dr, and the integral of exp(−τ/2) over the lags.
    found = re.search(
        r"the integral length, is ([0-9.]+) flow.*up to τ = ([0-9.]+), .* is ([0-9.]+) turn", figure.caption
    )
    assert found is not None
    length, lag, time = map(float, found.groups())
    assert length == pytest.approx(1.25, rel=0.05)
    assert time == pytest.approx(2 * (1 - np.exp(-lag / 2)), rel=0.05)
    unsteady = with_statistics(flows[0], lambda one: one.statistics.drop_vars(["autocovariance", "lag"]))
    assert "autocorrelation" not in drawing(correlations, unsteady).svg


def test_captions_name_the_closest_with_its_score(flows: tuple[FlowResults, ...]) -> None:
    names = ("structure_function_error", "increment_skewness_error", "increment_densities_distance")
    steppers = list(flows[0].steppers)
    for name in names:
        steppers = [scored(one, name, 0.2 if one.name == "cnn_hybrid" else 0.5) for one in steppers]
    flow = replace(flows[0], steppers=tuple(steppers))
    caption = drawing(structure_functions, flow).caption
    assert "Closest to DNS: cnn_hybrid in structure functions of orders 2, 4 and 6 with 2.0 × (0.20" in caption
    assert "cnn_hybrid in skewness with 2.0 ×" in caption
    assert "cnn_hybrid in all six densities with 2.0 ×" in drawing(increment_densities, flow).caption


def test_lines_are_those_of_averages_over_trajectories(flows: tuple[FlowResults, ...]) -> None:
    # A trajectory that blew up is left out; one with all the energy weighs as much in a moment as in its square.
    def doubled(stepper: StepperResults) -> xr.Dataset:
        functions = stepper.statistics["structure_function"]
        if stepper.kind == "floor":
            return stepper.statistics.assign(structure_function=functions * 0 + functions[0])
        return stepper.statistics

    flow = with_statistics(flows[0], doubled)
    caption = drawing(structure_functions, flow).caption
    functions = flow.dns.statistics["structure_function"].sel(direction="longitudinal").isel(trajectory=0, window=0)
    flatness = float((functions.sel(order=4) / functions.sel(order=2) ** 2)[0])
    assert f"the flatness {flatness:.2f} there" in caption


def test_results_stored_without_these_statistics_are_drawn_without_them(flows: tuple[FlowResults, ...]) -> None:
    names = set(EXPERT.values())
    flow = with_statistics(flows[0], lambda one: one.statistics.drop_vars(names, errors="ignore"))
    assert not set(EXPERT) & set(results_of(flow))
    assert set(EXPERT) & set(results_of(flows[0]))
    # Of one stepper alone: the others are drawn.
    partly = with_statistics(
        flows[0],
        lambda one: one.statistics.drop_vars(names, errors="ignore") if one.name == "no_model" else one.statistics,
    )
    for draw in (structure_functions, increment_densities, energy_balance, gradient_moments, correlations):
        figure = drawing(draw, partly)
        assert "<!-- no_model (LES) -->" not in figure.svg
        assert "<!-- dynamic_smagorinsky (LES) -->" in figure.svg


def test_a_stepper_whose_rollouts_all_failed_leaves_the_figure_as_it_is(flows: tuple[FlowResults, ...]) -> None:
    flow = flows[1]
    lost = next(one for one in flow.steppers if one.name == "no_model")
    assert np.isnan(lost.statistics["structure_function"]).all()
    assert drawing(structure_functions, flow).svg.startswith("<svg")
