"""What a transient flow needs, and what only a statistically steady one has, is said in one line each."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from eddymark.config import ConfigurationError, Experiment, load_experiment
from tests.small_experiment import ABSENT, write_experiment

FLOW = "flows/kolmogorov.yaml"
DECAYING: dict[str, Any] = {
    "type": "mcwilliams",
    "linear_drag": ABSENT,
    "forcing": ABSENT,
    "initial_state": {"spectrum": "mcwilliams", "energy": 1.0, "peak_wavenumber": 3.0},
    "direct_numerical_simulation.points": [128, 128],
    "sampling.runs": ABSENT,
    "sampling.gap": ABSENT,
    "sampling.splits": {
        "train": {"runs": 5, "length": 8},
        "validation": {"runs": 1, "length": 4},
        "test": {"runs": 3, "length": 10},
    },
    "validation.windows": 4,
}
CUBE: dict[str, Any] = {
    "type": "decaying_isotropic",
    "sides": ["2pi"] * 3,
    "initial_state": {"spectrum": "comte_bellot_corrsin", "length_unit": 1.0, "velocity_unit": 27.2},
    "direct_numerical_simulation.points": [64] * 3,
    "large_eddy_grid.points": [32] * 3,
}


def load(folder: Path, *changes: tuple[str, Any], flow: dict[str, Any] = DECAYING) -> Experiment:
    own = {key: copy.deepcopy(value) if isinstance(value, dict) else value for key, value in flow.items()}
    return load_experiment([write_experiment(folder, *((FLOW, key, value) for key, value in [*own.items(), *changes]))])


def test_runs_are_counted_over_the_splits_test_first(tmp_path: Path) -> None:
    flow = load(tmp_path).flows["kolmogorov"]
    assert flow.is_transient
    assert flow.runs == 9
    assert [flow.trajectories(split) for split in ("train", "validation", "test")] == [5, 1, 3]
    assert [flow.split_of(run) for run in range(9)] == ["test"] * 3 + ["validation"] + ["train"] * 5


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        (
            "sampling.runs",
            9,
            "sampling.runs: expected no such key (mcwilliams is transient: each split states its runs)",
        ),
        ("sampling.gap", 1, "sampling.gap: expected no such key (mcwilliams is transient: each run is one trajectory)"),
        ("sampling.splits.train.runs", ABSENT, "splits.train.runs: expected a value (mcwilliams is transient), found"),
        ("sampling.splits.test.stretches", 2, "splits.test.stretches: expected no such key (mcwilliams is transient)"),
        ("sampling.splits.test.runs", 1, "sampling.splits.test.runs: expected at least 2 test runs, found 1"),
        ("sampling.shards", 10, "sampling.shards: expected at most one per run (9), found 10"),
        ("validation.rollout_length", 10.2, "validation.rollout_length: expected at most 10 (mcwilliams is transient"),
        ("validation.windows", 1, "validation.windows: expected 2 to 40 (the outputs from statistics_start on;"),
        ("validation.windows", 41, "validation.windows: expected 2 to 40 (the outputs from statistics_start on;"),
        ("forcing", {"type": "sinusoidal", "wavenumber": 2, "amplitude": 1}, "forcing.type: expected none for mcwill"),
        (
            "alternative_grids",
            [[24, 28]],
            "alternative_grids.0: expected equal numbers of points (mcwilliams is a square), found [24, 28]",
        ),
        ("sides", ["2pi", "4pi"], "sides: expected equal sides (mcwilliams is a square), found"),
        ("initial_state.spectrum", "gaussian", "initial_state.spectrum: expected mcwilliams for mcwilliams, found"),
        (
            "initial_state.energy",
            ABSENT,
            "initial_state.energy: expected a value (spectrum mcwilliams needs it), found",
        ),
        ("initial_state.length_unit", 1, "initial_state.length_unit: expected no such key with spectrum mcwilliams"),
        (
            "direct_numerical_simulation.points",
            [64, 64],
            "initial_state.peak_wavenumber: expected a mcwilliams spectrum with 90% of its energy in the shells that "
            "the DNS resolves (up to 21; choose more points), found 3.0, with 88%",
        ),
    ],
)
def test_what_does_not_fit_a_transient_flow_is_one_line(tmp_path: Path, key: str, value: Any, line: str) -> None:
    load(tmp_path / "good")
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, (key, value))
    assert line in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_the_longest_history_shortens_the_rollouts(tmp_path: Path) -> None:
    changes = (("surrogates.fno", {"history": 3}),)
    with pytest.raises(ConfigurationError, match=r"at most 9\.6 .*less the longest history"):
        load(tmp_path, *changes)
    load(tmp_path, *changes, ("validation.rollout_length", 9.6))


def test_the_measured_spectrum_is_refused_on_a_grid_without_its_modes(tmp_path: Path) -> None:
    """64³ points hold it only in a box of a few centimetres, with which its large scales do not fit in."""
    load(tmp_path, flow=DECAYING | CUBE)
    eleven_meshes = ("initial_state.length_unit", 8.89)
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, eleven_meshes, flow=DECAYING | CUBE)
    (line,) = str(raised.value).splitlines()
    assert "90% of its energy in the shells that the DNS resolves (up to 21; choose more points)" in line
    assert "initial_state.length_unit: expected a comte_bellot_corrsin spectrum" in line
    assert line.endswith("found 8.89, with 67%")
    load(tmp_path, eleven_meshes, ("direct_numerical_simulation.points", [256] * 3), flow=DECAYING | CUBE)


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        (
            "sampling.runs",
            ABSENT,
            "sampling.runs: expected a value (kolmogorov is statistically steady), found nothing",
        ),
        ("sampling.gap", ABSENT, "sampling.gap: expected a value (kolmogorov is statistically steady), found nothing"),
        (
            "sampling.splits.train.runs",
            2,
            "sampling.splits.train.runs: expected no such key (kolmogorov is statistically",
        ),
        ("validation.windows", 2, "validation.windows: expected 1 (kolmogorov is statistically steady), found 2"),
        ("direct_numerical_simulation.points", [6, 6], "points.0: expected greater than or equal to 8, found 6"),
        (
            "direct_numerical_simulation.points",
            [63, 64],
            "direct_numerical_simulation.points: expected even numbers of",
        ),
        ("viscosity", 0, "viscosity: expected greater than 0, found 0"),
        ("sides", [0, "2pi"], "sides.0: expected greater than 0, found 0"),
        ("sides", [-1, "2pi"], "sides.0: expected greater than 0, found -1"),
        ("sides", ["2pi", "-2pi"], "sides.1: expected greater than 0, found"),
    ],
)
def test_what_does_not_fit_a_steady_flow_is_one_line(tmp_path: Path, key: str, value: Any, line: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, (key, value), flow={})
    assert line in str(raised.value)


def test_a_source_of_a_transient_flow_has_trajectories_for_each_split(tmp_path: Path) -> None:
    files = tmp_path / "u.h5"
    files.write_bytes(b"fields")
    given = (("initial_state", None), ("direct_numerical_simulation", None), ("sampling.shards", 1))
    chosen = {"train": ["0-4"], "validation": [5], "test": ["6-8"]}
    load(tmp_path / "good", *given, ("source", {"files": str(files), "trajectories": chosen}))
    for trajectories, line in (
        (None, "source.trajectories: expected trajectories for each split (mcwilliams is transient"),
        (
            chosen | {"train": ["0-3"]},
            "splits.train.runs: expected 4, the number of trajectories in source.trajectories",
        ),
    ):
        with pytest.raises(ConfigurationError) as raised:
            load(tmp_path / "bad", *given, ("source", {"files": str(files), "trajectories": trajectories}))
        assert line in str(raised.value)
