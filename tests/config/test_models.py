"""Closures, forces, grids and lengths that do not go together are one line each; what goes together is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eddymark.config import ConfigurationError, load_experiment
from eddymark.flows.build import build_flow
from eddymark.flows.schedule import stretches
from tests.small_experiment import write_experiment

FLOW = "flows/kolmogorov.yaml"
FNO = "surrogates/fno.yaml"


LES = "large_eddy_simulations.extra"


@pytest.mark.parametrize(
    ("closure", "line"),
    [
        (
            {"type": "wale"},
            "type: expected a closure for 2 dimensions (approximate_deconvolution, dynamic_mixed, dynamic_smagorinsky, "
            "fitted_spectral_viscosity, gradient, learned, leith, none, smagorinsky; wale is 3-D only), found 'wale'",
        ),
        (
            {"type": "smagorinsky", "arguments": {"smagorinsky_constant": "strong"}},
            "arguments.smagorinsky_constant: expected a positive number, found 'strong'",
        ),
        (
            {"type": "leith", "arguments": {"leith_constant": -1}},
            "arguments.leith_constant: expected a positive number, found -1",
        ),
        (
            {"type": "dynamic_smagorinsky", "arguments": {"average": "xz"}},
            "arguments.average: expected volume, local, or the axes to average over, each once, such as y or xy, "
            "found 'xz'",
        ),
        (
            {"type": "dynamic_mixed", "arguments": {"test_filter_ratio": 1}},
            "arguments.test_filter_ratio: expected a number above 1, found 1",
        ),
        (
            {"type": "approximate_deconvolution", "arguments": {"relaxation_rate": 1.0, "order": 2.5}},
            "arguments.order: expected a positive whole number, found 2.5",
        ),
        (
            {"type": "approximate_deconvolution"},
            "arguments.relaxation_rate: expected a value (approximate_deconvolution needs it), found nothing",
        ),
    ],
)
def test_a_closure_that_does_not_fit(tmp_path: Path, closure: dict[str, Any], line: str) -> None:
    write_experiment(tmp_path / "config", (FLOW, LES, {"closure": closure}))
    with pytest.raises(ConfigurationError) as caught:
        load_experiment([tmp_path / "config" / "config.yaml"])
    assert [str(finding).partition(".closure.")[2] for finding in caught.value.findings] == [line]


ISOTROPIC: dict[str, Any] = {
    "type": "forced_isotropic",
    "sides": ["2pi", "2pi", "2pi"],
    "forcing": {"type": "held_shells", "energies": {1: 1.2, 2: 0.4}},
    "direct_numerical_simulation.points": [32, 32, 32],
    "large_eddy_grid.points": [16, 16, 16],
}
CONSTANT_POWER = {"type": "constant_power", "power": 0.1, "shells": [1, 2]}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"sides": [6.0, 6.0, 12.0]},
            "sides: expected equal sides (forced_isotropic is a cube), found [6.0, 6.0, 12.0]",
        ),
        (
            {"direct_numerical_simulation.points": [32, 32, 48]},
            "direct_numerical_simulation.points: expected equal numbers of points (forced_isotropic is a cube), "
            "found [32, 32, 48]",
        ),
        (
            {"large_eddy_grid.points": [16, 12, 16]},
            "large_eddy_grid.points: expected equal numbers of points (forced_isotropic is a cube), found [16, 12, 16]",
        ),
        (
            {"large_eddy_grid.filter": {"type": "gaussian"}},
            "large_eddy_grid.filter.type: expected sharp with forcing held_shells (its energies refer to the "
            "unfiltered flow; with another filter, LES and surrogates would be forced wrongly), found 'gaussian'",
        ),
        (
            {"large_eddy_grid.filter": {"type": "box", "width": 0.8}, "forcing": CONSTANT_POWER},
            "large_eddy_grid.filter.type: expected sharp with forcing constant_power (its power refers to the "
            "unfiltered flow; with another filter, LES and surrogates would be forced wrongly), found 'box'",
        ),
    ],
)
def test_what_isotropic_turbulence_rules_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    isotropic = [(FLOW, key, value) for key, value in ISOTROPIC.items()]
    load_experiment([write_experiment(Path("config"), *isotropic)])
    wrong = [(FLOW, key, value) for key, value in changes.items()]
    with pytest.raises(ConfigurationError) as raised:
        load_experiment([write_experiment(Path("config"), *isotropic, *wrong)])
    assert str(raised.value) == f"config/{FLOW}: {line}"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"alternative_grids": [[24]]}, "0: expected 2 numbers, one for each side, found [24]"),
        ({"alternative_grids": [[48, 47]]}, "0: expected even numbers of points, found [48, 47]"),
        ({"alternative_grids": [[4, 8]]}, "0.0: expected greater than or equal to 8, found 4"),
        ({"alternative_grids": [[32, 32]]}, "0: expected each grid once, apart from large_eddy_grid, found [32, 32]"),
        (
            {"alternative_grids": [[24, 24], [24, 24]]},
            "1: expected each grid once, apart from the others, found [24, 24]",
        ),
        (
            {"alternative_grids": [[24, 48]]},
            "0: expected a grid that is coarser, or finer, than large_eddy_grid [32, 32], found [24, 48]",
        ),
        (
            {"alternative_grids": [[24, 24], [64, 64]]},
            "1: expected fewer points than the DNS on each axis [64, 64], found [64, 64]",
        ),
        (
            {"alternative_grids": [[66, 66]], "direct_numerical_simulation.points": [128, 128]},
            "0: expected at most 2 times the points of large_eddy_grid [32, 32] (of DNS states, no more is kept), "
            "found [66, 66]",
        ),
        (
            {"alternative_grids": [[12, 12]]},
            "0: expected a grid that resolves the forced wavenumber 4, found [12, 12], up to 3",
        ),
        (
            {"alternative_grids": [[24, 24]], "large_eddy_grid.filter": {"type": "gaussian"}},
            "0: expected no alternative grids, or large_eddy_grid.filter.width: the gaussian filter of all grids, "
            "found [24, 24]",
        ),
        (
            {"alternative_grids": [[24, 24], [48, 48]], "surrogates.fno": {"history": 2}},
            "1: expected a coarser grid and a sharp filter where a surrogate sees more than 1 past output (all "
            "steppers start later then, where no state is kept for a finer grid), found [48, 48]",
        ),
    ],
)
def test_an_alternative_grid_that_does_not_fit(tmp_path: Path, changes: dict[str, Any], line: str) -> None:
    config = write_experiment(tmp_path / "config", *((FLOW, key, value) for key, value in changes.items()))
    with pytest.raises(ConfigurationError) as caught:
        load_experiment([config])
    assert [str(finding).partition("alternative_grids.")[2] for finding in caught.value.findings] == [line]


def test_an_les_must_not_have_the_name_of_another_on_an_alternative_grid(tmp_path: Path) -> None:
    changes = [(FLOW, "alternative_grids", [[24, 24]]), (FLOW, "large_eddy_simulations.no_model-24", {})]
    with pytest.raises(ConfigurationError) as caught:
        load_experiment([write_experiment(tmp_path / "config", *changes)])
    (finding,) = caught.value.findings
    assert str(finding).endswith(
        "large_eddy_simulations.no_model-24: expected a name of its own, found one that clashes with "
        "large_eddy_simulations.no_model"
    )


@pytest.mark.parametrize("kind", ["gaussian", "box"])
def test_a_sinusoidal_force_goes_with_every_filter(tmp_path: Path, kind: str) -> None:
    flow = load_experiment([write_experiment(tmp_path, (FLOW, "large_eddy_grid.filter", {"type": kind}))]).flows
    assert flow["kolmogorov"].large_eddy_grid.filter.type == kind


def test_the_number_of_waves_does_not_depend_on_the_side(tmp_path: Path) -> None:
    changes = [(FLOW, "sides", [1.0, 3.0]), (FLOW, "forcing.wavenumber", 10)]
    assert load_experiment([write_experiment(tmp_path, *changes)]).flows["kolmogorov"].forcing.wavenumber == 10


def test_lengths_are_rounded_to_intervals_as_the_data_are(tmp_path: Path) -> None:
    splits = {name: {"stretches": 2, "length": 10} for name in ("train", "validation", "test")}
    changes = [
        (FLOW, "sampling.interval", 0.15),
        (FLOW, "sampling.splits", splits),
        (FNO, "schedule.validation_length", 10.0),
        (FNO, "objective.curriculum.1.unroll", 67),
    ]
    experiment = load_experiment([write_experiment(tmp_path, *changes)])
    first, last = stretches(build_flow(experiment.flows["kolmogorov"]))["train"][0]
    assert last - first == 67
    with pytest.raises(ConfigurationError, match=r"unroll: expected at most 67 intervals"):
        load_experiment([write_experiment(tmp_path, *changes, (FNO, "objective.curriculum.1.unroll", 68))])
