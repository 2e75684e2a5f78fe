"""How files are merged into an experiment."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from eddymark.config import ConfigurationError, Experiment, complete_mapping, experiment_from_mapping, load_experiment
from tests.small_experiment import write_experiment

CONFIG = Path(__file__).parents[2] / "config"


def load(folder: Path, *changes: tuple[str, str, Any], over: dict[str, Any] | None = None) -> Experiment:
    files = [write_experiment(folder, *changes)]
    if over is not None:
        files.append(folder / "over.yaml")
        files[-1].write_text(yaml.safe_dump(over, sort_keys=False))
    return load_experiment(files)


def test_values_of_all_files_arrive_with_their_defaults(tmp_path: Path) -> None:
    flow = load(tmp_path).flows["kolmogorov"]
    assert flow.sides == (2 * math.pi, 2 * math.pi)
    assert flow.surrogates["fno"].operator is not None
    assert flow.surrogates["fno"].operator.arguments == {"width": 8, "modes": 4}
    assert flow.surrogates["hybrid"].schedule.learning_rate == 1e-3


def test_an_override_changes_one_key_and_leaves_its_neighbours(tmp_path: Path) -> None:
    override = {"surrogates": {"fno": {"schedule": {"learning_rate": 5.0e-4}}}}
    schedule = load(tmp_path, ("config.yaml", "flows.kolmogorov", override)).flows["kolmogorov"].surrogates["fno"]
    assert schedule.schedule.learning_rate == 5e-4
    assert schedule.schedule.steps == 100


def test_an_experiment_file_replaces_lists_and_merges_sections(tmp_path: Path) -> None:
    over = {"seed": 7, "flows": {"kolmogorov": {"sides": ["pi", "4 pi"], "viscosity": 0.5}}}
    experiment = load(tmp_path, over=over)
    assert experiment.seed == 7
    assert experiment.flows["kolmogorov"].sides == (math.pi, 4 * math.pi)
    assert experiment.flows["kolmogorov"].viscosity == 0.5
    assert experiment.flows["kolmogorov"].linear_drag == 0.1


def test_null_takes_flows_surrogates_and_simulations_out(tmp_path: Path) -> None:
    changes = {"surrogates": {"hybrid": None}, "large_eddy_simulations": {"no_model": None}}
    over = {"flows": {"kolmogorov": None, "other": {"base": "kolmogorov", **changes}}}
    experiment = load(tmp_path, over=over)
    assert list(experiment.flows) == ["other"]
    assert list(experiment.flows["other"].surrogates) == ["fno", "fitted_viscosity"]
    assert list(experiment.flows["other"].large_eddy_simulations) == ["smagorinsky"]


def test_two_variants_of_one_file_stand_side_by_side(tmp_path: Path) -> None:
    wide = {"base": "fno", "operator": {"arguments": {"width": 16}}}
    surrogates = load(tmp_path, ("flows/kolmogorov.yaml", "surrogates.wide", wide)).flows["kolmogorov"].surrogates
    widths = [surrogates[name].operator for name in ("fno", "wide")]
    assert [operator.arguments["width"] for operator in widths if operator] == [8, 16]


def test_a_surrogate_extends_another_one_as_the_flow_has_it(tmp_path: Path) -> None:
    changes = [
        ("flows/kolmogorov.yaml", "surrogates.fno.operator.arguments.width", 12),
        ("flows/kolmogorov.yaml", "surrogates.long.extends", "noisy"),
        ("flows/kolmogorov.yaml", "surrogates.long.schedule.steps", 200),
        ("flows/kolmogorov.yaml", "surrogates.noisy.extends", "fno"),
        ("flows/kolmogorov.yaml", "surrogates.noisy.augmentation.input_noise", 0.02),
    ]
    experiment = load(tmp_path, *changes)
    surrogates = experiment.flows["kolmogorov"].surrogates
    assert list(surrogates) == ["fno", "hybrid", "fitted_viscosity", "long", "noisy"]
    assert [surrogates[name].extends for name in ("fno", "noisy", "long")] == [None, "fno", "noisy"]
    for name in ("noisy", "long"):
        assert surrogates[name].operator == surrogates["fno"].operator
        assert surrogates[name].seeds == (0, 1)
        assert surrogates[name].augmentation.input_noise == 0.02
    assert (surrogates["noisy"].schedule.steps, surrogates["long"].schedule.steps) == (100, 200)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(complete_mapping(experiment), sort_keys=False))
    assert load_experiment([tmp_path / "config.yaml"]) == experiment


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (
            {"a": {"extends": "hybrd"}},
            "a.extends: expected another surrogate of the flow which does not extend this one (fno, hybrid, "
            "fitted_viscosity), found 'hybrd'; did you mean hybrid?",
        ),
        (
            {"a": {"extends": "a"}},
            "a.extends: expected another surrogate of the flow which does not extend this one (fno, hybrid, "
            "fitted_viscosity), found 'a'",
        ),
        ({"a": {"extends": "fno", "base": "fno"}}, "a.base: expected no base beside extends, found 'fno'"),
        (
            {"a": {"extends": "fno", "schedul": {}}},
            "a.schedul: expected a known key, found an unknown key; did you mean schedule?",
        ),
    ],
)
def test_what_is_wrong_with_an_extension_is_one_line_where_it_stands(
    tmp_path: Path, rows: dict[str, Any], line: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, *[("flows/kolmogorov.yaml", f"surrogates.{name}", row) for name, row in rows.items()])
    assert str(raised.value) == f"{tmp_path}/flows/kolmogorov.yaml: surrogates.{line}"


def test_numbers_in_scientific_notation_are_numbers_also_where_text_is_allowed(tmp_path: Path) -> None:
    write_experiment(tmp_path)
    file = tmp_path / "flows/kolmogorov.yaml"
    file.write_text(file.read_text().replace("smagorinsky_constant: 0.17", "smagorinsky_constant: 1e-1"))
    flow = load_experiment([tmp_path / "config.yaml"]).flows["kolmogorov"]
    assert flow.large_eddy_simulations["smagorinsky"].closure.arguments == {"smagorinsky_constant": 0.1}


def test_snakemakes_merge_and_ours_give_the_same_experiment(tmp_path: Path) -> None:
    over = {"flows": {"kolmogorov": {"surrogates": {"fno": {"seeds": [3]}, "hybrid": None}}}}
    ours = load(tmp_path, over=over)
    files = [tmp_path / "config.yaml", tmp_path / "over.yaml"]
    merged: dict[str, Any] = {}
    for file in files:
        update_config(merged, yaml.safe_load(file.read_text()))
    assert experiment_from_mapping(merged, tmp_path, files) == ours


def test_the_resolved_experiment_survives_json(tmp_path: Path) -> None:
    experiment = load_experiment([CONFIG / "config.yaml"])
    assert Experiment.model_validate_json(experiment.model_dump_json()) == experiment


def test_the_complete_mapping_gives_the_same_experiment_whatever_the_other_files_hold(tmp_path: Path) -> None:
    experiment = load(tmp_path, over={"flows": {"wide": {"base": "kolmogorov", "surrogates": {"hybrid": None}}}})
    write_experiment(tmp_path, ("flows/kolmogorov.yaml", "viscosity", 0.5), ("surrogates/fno.yaml", "seeds", [9]))
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(complete_mapping(experiment), sort_keys=False, allow_unicode=True))
    assert load_experiment([config]) == experiment
    assert experiment_from_mapping(yaml.safe_load(config.read_text()), tmp_path, [config]) == experiment


def test_a_complete_surrogate_needs_no_file_and_its_mistakes_are_found_where_it_stands(tmp_path: Path) -> None:
    own = {"base": None, "kind": "les", "solver": {"closure": {"type": "fitted_spectral_viscosity"}}}
    change = ("flows/kolmogorov.yaml", "surrogates.own", own | {"schedule": {"steps": 100}})
    assert load(tmp_path, change).flows["kolmogorov"].surrogates["own"].kind == "les"
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, ("flows/kolmogorov.yaml", "surrogates.own", own))
    line = "surrogates.own.schedule: expected a value (this key is required), found nothing"
    assert str(raised.value) == f"{tmp_path}/flows/kolmogorov.yaml: {line}"


@pytest.mark.parametrize("file", sorted((CONFIG / "experiments").glob("*.yaml")), ids=lambda file: file.stem)
def test_the_experiments_of_the_repository_are_valid(file: Path) -> None:
    assert load_experiment([CONFIG / "config.yaml", file]).name == file.stem
