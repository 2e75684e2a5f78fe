"""What the report shows of a flow with layers, and of no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import xarray as xr

from eddymark.grid import Grid
from eddymark.report.collect import FlowResults, collect
from eddymark.report.figures import results_of
from eddymark.report.figures.accuracy import error_growth
from eddymark.report.figures.anisotropy import anisotropy
from eddymark.report.figures.layers import mixing_layers
from eddymark.report.figures.view import View
from eddymark.report.standings import standings
from eddymark.report.style import Styles, plotting
from eddymark.report.tables import columns
from eddymark.report.verdict import verdict
from eddymark.statistics.measure import Window
from eddymark.statistics.profiles import measure_layers
from eddymark.storage import read_trajectories
from tests.report.fakes import INTERVAL, TEST_LENGTH, flow_mapping
from tests.report.synthetic import write_tree

ERRORS = {"momentum_thickness_error": "Momentum thickness", "mean_velocity_error": "Mean velocity"}
ERRORS["reynolds_stress_error"] = "Reynolds stresses"
CLOSENESS = ("momentum thickness", "Reynolds stress")


def layered() -> dict[str, Any]:
    mapping = flow_mapping(3)
    sampling = {"shards": 2, "spin_up": 1, "interval": INTERVAL}
    sampling["splits"] = {name: {"runs": 4, "length": TEST_LENGTH} for name in ("train", "validation", "test")}
    mean_flow = {"velocity_difference": 2.0, "momentum_thickness": 0.2}
    changes = {"rollout_length": TEST_LENGTH, "statistics_start": 1, "windows": 2}
    return mapping | {
        "type": "mixing_layer",
        "initial_state": mapping["initial_state"] | {"mean_flow": mean_flow},
        "sampling": sampling,
        "validation": mapping["validation"] | changes,
    }


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> FlowResults:
    """A synthetic flow whose steppers have the profiles of their invented rollouts, and errors to match."""
    folder = tmp_path_factory.mktemp("layers") / "results"
    experiment = write_tree(folder, {"layers": layered()})
    for number, stepper in enumerate(sorted((folder / "layers" / "validate").glob("*/statistics.nc"))):
        add_profiles(stepper.parent, error=0.1 * (1 + number))
    return collect(experiment, results=folder).flows[0]


def add_profiles(folder: Path, *, error: float) -> None:
    statistics = xr.load_dataset(folder / "statistics.nc", engine="h5netcdf")
    velocity = torch.as_tensor(read_trajectories(folder / "rollouts.zarr.zip")["velocity"].to_numpy())
    layers = measure_layers(
        velocity[:, : statistics.sizes["time"]],
        grid=Grid(tuple(velocity.shape[-3:]), (6.0, 6.0, 6.0)),
        interval=INTERVAL,
        window=Window(start=1.0, parts=2),
        velocity_difference=2.0,
    )
    statistics = statistics.merge(layers.drop_vars("time"))
    statistics.to_netcdf(folder / "statistics.nc", engine="h5netcdf")
    scores = pd.read_csv(folder / "scores.csv")
    rows = [scores.iloc[0].to_dict() | {"statistic": name, "value": error, "floor": 0.1} for name in ERRORS]
    pd.concat([scores, pd.DataFrame(rows)]).to_csv(folder / "scores.csv", index=False)


def test_growth_and_profiles_are_drawn(flow: FlowResults) -> None:
    rows = standings(flow)
    view = View(flow, rows, Styles([(stepper.name, stepper.kind) for stepper in flow.steppers]))
    with plotting():
        figure = mixing_layers(view)
    assert mixing_layers in results_of(flow)
    assert figure.svg.startswith("<svg")
    assert "profiles in the last window, t = 3.20 to 6.00 shear times" in figure.caption
    # The errors are numbered in the order of the names; no_model, which comes later, lost its rollouts.
    assert "Closest to DNS over all windows: cnn_hybrid with 1.0 ×" in figure.caption
    assert "then errors relative to DNS, or of the mean velocity to ΔU)" in figure.caption


def test_the_anisotropy_is_drawn_in_the_triangle_of_what_is_possible(flow: FlowResults) -> None:
    view = View(flow, standings(flow), Styles([(stepper.name, stepper.kind) for stepper in flow.steppers]))
    with plotting():
        figure = anisotropy(view)
    assert anisotropy in results_of(flow)
    for words in ("ξ (1)", "η (1)", "isotropic", "one component", "y from the centre / initial δ_ω"):
        assert f"<!-- {words} -->" in figure.svg
    found = re.search(
        r"At the centre of the layer DNS has ξ = (−?[0-9]+\.[0-9]+), η = ([0-9]+\.[0-9]+)", figure.caption
    )
    assert found is not None
    xi, eta = (float(one.replace("−", "-")) for one in found.groups())
    assert abs(xi) <= eta + 0.01 < 0.35
    assert "Averages over the last window, t = 3.20 to 6.00 shear times" in figure.caption


def test_the_findings_say_who_is_closest_in_growth_and_stresses(flow: FlowResults) -> None:
    details = verdict(standings(flow), dimensions=3, no_model="no_model").details
    growth, stresses = (next(one for one in details if one.startswith(f"Lowest {name}")) for name in CLOSENESS)
    assert growth.startswith("Lowest momentum thickness error: the hybrid cnn_hybrid (0.100")
    assert stresses.startswith("Lowest Reynolds stress error: the hybrid cnn_hybrid (0.100")


def test_the_correlation_is_that_of_the_fluctuations(flow: FlowResults) -> None:
    rows = standings(flow)
    view = View(flow, rows, Styles([(stepper.name, stepper.kind) for stepper in flow.steppers]))
    with plotting():
        caption = error_growth(view).caption
    assert "Where the correlation of the fluctuations about the averages over planes falls below" in caption
    assert "chaos" not in caption


def test_the_table_has_columns_for_layers(flow: FlowResults) -> None:
    titles = [column.title for column in columns(standings(flow), dimensions=3, longest_lead=6.0)]
    assert [title for title in titles if title in ERRORS.values()] == list(ERRORS.values())


def test_other_flows_have_neither(tree: Any) -> None:
    for flow in collect(tree.experiment, results=tree.results).flows:
        assert not {mixing_layers, anisotropy} & set(results_of(flow))
        titles = [column.title for column in columns(standings(flow), dimensions=flow.dimensions, longest_lead=6.0)]
        assert not set(titles) & set(ERRORS.values())
