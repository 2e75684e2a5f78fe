"""Options of a surrogate that do not go together are one line each; what goes together is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eddymark.config import ConfigurationError, load_experiment
from eddymark.config.schema import Surrogate
from tests.small_experiment import write_experiment

FNO = "surrogates/fno.yaml"
HYBRID = "surrogates/hybrid.yaml"


def load(folder: Path, file: str, changes: dict[str, Any]) -> Surrogate:
    path = write_experiment(folder / "config", *((file, key, value) for key, value in changes.items()))
    return load_experiment([path]).flows["kolmogorov"].surrogates["fno"]


@pytest.mark.parametrize(
    ("file", "changes", "line"),
    [
        (
            HYBRID,
            {"bundle": 2},
            "bundle: expected 1 with kind hybrid (only kind surrogate gives several outputs at once), found 2",
        ),
        (
            HYBRID,
            {"output": "direct"},
            "output: expected 'increment' with kind hybrid (only kind surrogate has a choice), found 'direct'",
        ),
        (FNO, {"bundle": 4}, "objective.curriculum.0.unroll: expected a multiple of bundle (4), found 1"),
        (
            FNO,
            {"output": "direct"},
            "known_physics: expected parts that act on a state whatever the one before, with output direct "
            "(incompressibility, momentum), found 'viscosity'",
        ),
        (
            FNO,
            {"known_physics": ["momentum", "momentum"]},
            "known_physics: expected each part once, found ['momentum', 'momentum']",
        ),
        (
            FNO,
            {"known_physics": ["gravity"]},
            "known_physics.0: expected 'viscosity', 'forcing', 'incompressibility' or 'momentum', found 'gravity'; "
            "did you mean viscosity?",
        ),
        (
            FNO,
            {"objective.error_weight": 0},
            "objective.error_weight: expected a positive weight here or in shell_energy_weight, sobolev_weight, "
            "band_weight, found 0.0",
        ),
        (
            FNO,
            {"objective.band_weight": 1, "objective.bands": [1, 12]},
            "objective.bands: expected increasing numbers of shells, at most 10, found [1, 12]",
        ),
        (FNO, {"objective.bands": [1, 4]}, "objective.bands: expected no bands without a band_weight, found [1, 4]"),
        (
            FNO,
            {"objective.curriculum": [{"start": 0, "unroll": 1}], "objective.pushforward": True},
            "objective.pushforward: expected an unroll above 1 in the curriculum (else nothing is fed back), found 1",
        ),
        (
            FNO,
            {"schedule.selection_length": 8},
            "schedule.selection_length: expected no length without select_by: spectrum, found 8.0",
        ),
        (
            FNO,
            {"objective.dissipativity": {"weight": 1, "scales": [0.5, 2]}},
            "objective.dissipativity.scales: expected two factors above 1, not decreasing, found [0.5, 2.0]",
        ),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, file: str, changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, file, changes)
    assert [str(finding).partition(": ")[2] for finding in caught.value.findings] == [line]


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        (True, ("viscosity", "forcing", "incompressibility")),
        (False, ()),
        ("momentum", ("momentum",)),
        (["forcing", "momentum"], ("forcing", "momentum")),
    ],
)
def test_known_physics_is_all_nothing_or_some_parts(tmp_path: Path, value: Any, parts: tuple[str, ...]) -> None:
    assert load(tmp_path, FNO, {"known_physics": value}).known_physics == parts
