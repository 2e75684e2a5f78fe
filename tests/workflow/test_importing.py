"""The workflow imports a flow with a source by a rule of its own and plans no job that needs what only a DNS knows."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from eddymark.config import load_experiment
from eddymark.pipeline import pipeline
from eddymark.plan import plan
from eddymark.records import read_record
from tests.external.test_command_line import dataset
from tests.repository import copy_repository, environment, snakemake_command
from tests.small_experiment import write_experiment
from tests.workflow.test_smoke import jobs_to_run

pytestmark = pytest.mark.workflow


def test_a_flow_with_a_source_beside_a_simulated_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_repository(tmp_path)
    monkeypatch.chdir(tmp_path)
    dataset(interval=0.16).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    splits = {split: {"stretches": 1, "length": 3} for split in ("train", "validation", "test")}
    imported: dict[str, Any] = {
        "base": "kolmogorov",
        "initial_state": None,
        "direct_numerical_simulation": None,
        "source": {"files": "a.nc"},
        "large_eddy_grid": {"points": [16, 16]},
        "sampling": {"splits": splits},
        "surrogates": {"fno": None},
    }
    config = write_experiment(tmp_path / "config", ("config.yaml", "flows", {"imported": imported, "kolmogorov": {}}))
    jobs = plan(load_experiment([config]))
    assert "imported/validate/apriori" not in jobs
    assert "kolmogorov/validate/apriori" in jobs
    assert jobs_to_run(tmp_path) == set(jobs)

    rule = pipeline(jobs, [], [])["stages"]["generate-imported"]["do"]["cmd"].split("--allowed-rules ")[1].split()[0]
    shards = [f"imported/generate/{shard}" for shard in range(2)]
    targets = [f"results/{shard}/signature.json" for shard in shards]
    command = snakemake_command("--allowed-rules", rule, "--", *targets)
    result = subprocess.run(
        command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr
    for shard in shards:
        made = {path.name for path in (tmp_path / "results" / shard).iterdir()} - {"signature.json"}
        assert made == set(jobs[shard].outputs) == set(read_record(tmp_path / "results" / shard)["outputs"])
        assert "stress.zarr.zip" not in made
    assert jobs_to_run(tmp_path) == set(jobs) - set(shards)
