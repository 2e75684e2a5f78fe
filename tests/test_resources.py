"""The memory that the workflow asks for is what jobs need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.generation import FLOW, experiment
from eddymark.config import load_experiment
from eddymark.resources import generate_mem_mb, generate_memory

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_predicted_memory_of_a_dns_is_what_it_needs(precision: str, tmp_path: Path) -> None:
    described = experiment(96, precision=precision, steps=1)
    resolved = tmp_path / "experiment.json"
    resolved.write_text(described.model_dump_json())
    options = ["--experiment", str(resolved), "--results", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
    command = [sys.executable, "-m", "eddymark.cli", "generate", FLOW, "0", *options]
    subprocess.run(command, check=True, capture_output=True, env=environment, timeout=600)
    needed = json.loads((tmp_path / FLOW / "generate" / "0" / "signature.json").read_text())["peak_memory_bytes"]
    predicted = generate_memory(described.flows[FLOW], threads=1)
    assert predicted == pytest.approx(needed, rel=0.2)
    # Most of a small process is code: what its fields need is predicted, too.
    smallest = generate_memory(experiment(16).flows[FLOW], threads=1)
    assert predicted - smallest == pytest.approx(needed - smallest, rel=0.4)


def test_more_runs_threads_digits_and_points_need_more() -> None:
    def memory(points: int = 128, *, threads: int = 1, runs: int = 1, precision: str = "float32") -> int:
        return generate_memory(experiment(points, runs=runs, precision=precision).flows[FLOW], threads=threads)

    assert memory() < memory(runs=2) < memory(runs=2, threads=2) < memory(256)
    assert memory(threads=8) == memory()
    assert memory(256) < memory(256, precision="float64") < 2 * memory(256)
    assert memory(256, precision="float64") == pytest.approx(6e9, rel=0.2)


def test_a_cluster_is_asked_for_more_than_that_and_small_jobs_for_no_less_than_others() -> None:
    flows = load_experiment([REPOSITORY / "config" / "config.yaml"]).flows
    assert {generate_mem_mb(flow, threads=1) for flow in flows.values()} == {4000}
    large = experiment(512).flows[FLOW]
    assert generate_mem_mb(large, threads=1) * 2**20 == pytest.approx(
        1.25 * generate_memory(large, threads=1), rel=1e-3
    )
