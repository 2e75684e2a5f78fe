"""The real pipeline at its smallest size: what it writes is right, and a change reruns what depends on it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml

from eddymark.storage import read_trajectories
from tests.repository import copy_repository, environment, snakemake_command

SMOKE = "config/experiments/smoke.yaml"
FLOWS = ("forced_isotropic", "kolmogorov")
COLUMNS = ["flow", "stepper", "kind", "seed", "statistic", "window", "value", "low", "high", "floor", "unit"]

pytestmark = pytest.mark.workflow


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command, variables = snakemake_command(*arguments), environment(folder)
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=900)


def jobs_to_run(folder: Path, *arguments: str) -> set[str]:
    """Return the folders of the jobs that Snakemake would run."""
    result = snakemake(folder, "--dry-run", "--printshellcmds", *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    return set(re.findall(r"> results/\.work/logs/(\S+)\.log", result.stdout + result.stderr))


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository in which the smoke experiment has run."""
    folder = copy_repository(tmp_path_factory.mktemp("repository"))
    result = snakemake(folder, "--configfile", SMOKE)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture(scope="session")
def scores(smoke: Path) -> pd.DataFrame:
    files = sorted(smoke.glob("results/*/validate/*/scores.csv"))
    return pd.concat([pd.read_csv(file) for file in files], ignore_index=True)


def test_every_job_left_a_record_of_what_it_made(smoke: Path) -> None:
    snakemake(smoke, "--dry-run", "--configfile", SMOKE)  # other tests plan other experiments
    plan = yaml.safe_load((smoke / "results" / "plan.yaml").read_text())
    assert len(plan) > 30
    for folder, signature in plan.items():
        record = json.loads((smoke / "results" / folder / "signature.json").read_text())
        assert record["signature"] == signature
        for name, digests in record["upstream"].items():
            assert digests == json.loads((smoke / "results" / name / "signature.json").read_text())["outputs"]


def test_the_data_have_the_documented_layout_and_the_splits_differ(smoke: Path) -> None:
    for flow, axes in zip(FLOWS, (("x", "y", "z"), ("x", "y")), strict=True):
        splits = {}
        for split in ("train", "validation", "test"):
            path = smoke / "results" / flow / "generate" / "0" / f"{split}.zarr.zip"
            data = read_trajectories([path])
            assert data["velocity"].dims == ("trajectory", "time", "component", *axes)
            assert float(data["time"][0]) == 0
            assert data.attrs["split"] == split
            splits[split] = data["velocity"].isel(trajectory=0, time=0).to_numpy()
        assert abs(splits["train"] - splits["test"]).max() > 0.1


def test_the_scores_are_tidy_and_complete(scores: pd.DataFrame) -> None:
    assert list(scores.columns) == COLUMNS
    assert not scores.duplicated(["flow", "stepper", "seed", "statistic", "window"]).any()
    for flow in FLOWS:
        found = scores[scores["flow"] == flow]
        kinds = found.groupby("stepper")["kind"].first()
        assert kinds["dns"] == "floor"
        assert kinds["no_model"] == kinds["dynamic_smagorinsky"] == kinds["fitted_viscosity"] == "les"
        assert kinds["fno"] == "surrogate"
        assert kinds["hybrid"] == "hybrid"
        assert set(kinds[kinds == "control"].index) == {"persistence", "matched_noise", "constrained_noise"}


def value(scores: pd.DataFrame, flow: str, stepper: str, statistic: str, window: str | None = None) -> float:
    rows = scores[(scores["flow"] == flow) & (scores["stepper"] == stepper) & (scores["statistic"] == statistic)]
    if window is not None:
        rows = rows[rows["window"] == window]
    assert len(rows) == 1, (flow, stepper, statistic, window)
    return float(rows["value"].iloc[0])


@pytest.mark.parametrize("flow", FLOWS)
def test_the_scores_tell_physics_from_noise(scores: pd.DataFrame, flow: str) -> None:
    step = {
        name: value(scores, flow, name, "relative_l2_error", "step 1")
        for name in ("dynamic_smagorinsky", "hybrid", "persistence", "matched_noise")
    }
    assert 0 < step["dynamic_smagorinsky"] < step["persistence"] < step["matched_noise"]
    assert step["hybrid"] < step["persistence"]
    # Independent fields of equal energy differ by √2 of their norm.
    assert 1.2 < step["matched_noise"] < 1.7
    assert value(scores, flow, "matched_noise", "vorticity_pdf_distance") > 0
    for name in ("dynamic_smagorinsky", "hybrid", "matched_noise", "no_model"):
        assert value(scores, flow, name, "divergence") < 1e-4
    assert value(scores, flow, "matched_noise", "kinetic_energy_error") < 0.3


@pytest.mark.parametrize("flow", FLOWS)
def test_costs_are_measured_for_all_that_compete(smoke: Path, flow: str) -> None:
    cost = pd.read_csv(smoke / "results" / flow / "validate" / "cost" / "cost.csv")
    assert {"no_model", "smagorinsky", "dynamic_smagorinsky", "fitted_viscosity", "fno", "hybrid"} <= set(
        cost["stepper"]
    )
    assert (cost["seconds_per_turnover_time"] > 0).all()
    assert (cost["low"] <= cost["seconds_per_turnover_time"]).all()
    assert cost["threads"].eq(1).all()


def test_the_page_is_one_file_with_every_stepper_and_no_link_to_the_net(smoke: Path, scores: pd.DataFrame) -> None:
    page = (smoke / "results" / "report" / "index.html").read_text(encoding="utf-8")
    assert len(page) < 15e6
    assert not re.search(r"""(?:src|href)\s*=\s*["']https?://[^"']+\.(?:js|css|png|svg|woff2?)""", page)
    for flow in FLOWS:
        assert flow.replace("_", " ") in page or flow in page
    assert "neuralop" in page
    assert list((smoke / "results" / "report" / "figures").glob("*.svg"))
    tables = list((smoke / "results" / "report" / "tables").glob("*.csv"))
    assert tables
    assert all(len(pd.read_csv(table)) > 0 for table in tables)


def test_nothing_runs_again_whatever_the_time_stamps(smoke: Path) -> None:
    for number, path in enumerate(sorted(smoke.glob("results/*/**/*"))):
        os.utime(path, (1_700_000_000 - number, 1_700_000_000 - number))
    assert jobs_to_run(smoke, "--configfile", SMOKE) == set()


def test_one_learning_rate_reruns_its_surrogate_its_flows_timing_and_the_report(smoke: Path) -> None:
    changed = smoke / "changed.yaml"
    experiment = {"flows": {"kolmogorov": {"surrogates": {"fno": {"schedule": {"learning_rate": 5.0e-4}}}}}}
    changed.write_text(yaml.safe_dump(experiment))
    assert jobs_to_run(smoke, "--configfile", SMOKE, str(changed)) == {
        "kolmogorov/train/fno/seed0",
        "kolmogorov/validate/fno-seed0",
        "report",
    }
    assert jobs_to_run(smoke, "--configfile", SMOKE) == set()


def test_a_comment_reruns_nothing_and_training_code_reruns_training_and_what_follows(smoke: Path) -> None:
    module = smoke / "src" / "eddymark" / "stages" / "train.py"
    original = module.read_text()
    try:
        module.write_text(original + "\n# A comment.\n")
        assert jobs_to_run(smoke, "--configfile", SMOKE) == set()
        module.write_text(original + "\nSOMETHING_ELSE = 1\n")
        stages = {name.split("/")[1] if "/" in name else name for name in jobs_to_run(smoke, "--configfile", SMOKE)}
        assert stages == {"train", "validate", "report"}
        reruns = jobs_to_run(smoke, "--configfile", SMOKE)
        assert "kolmogorov/validate/no_model" not in reruns
        assert "kolmogorov/validate/hybrid-seed0" in reruns
    finally:
        module.write_text(original)


def test_a_wrong_configuration_stops_before_the_first_job_with_one_line(smoke: Path) -> None:
    wrong = smoke / "wrong.yaml"
    wrong.write_text("flows: {kolmogorov: {viscosty: 1}}\n")
    result = snakemake(smoke, "--configfile", SMOKE, "wrong.yaml")
    assert result.returncode == 2
    expected = (
        "wrong.yaml: flows.kolmogorov.viscosty: expected a known key, found an unknown key; did you mean viscosity?"
    )
    assert expected in result.stderr.splitlines()
    assert "Traceback" not in result.stderr
