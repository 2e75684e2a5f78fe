"""The memory that the workflow asks for is what jobs need."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.generation import FLOW, experiment, run
from eddymark.config import load_experiment
from eddymark.resources import generate_mem_mb, generate_memory

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_predicted_memory_of_a_dns_is_what_it_needs(precision: str, tmp_path: Path) -> None:
    # The first process may have to compile the steps, which takes more memory than a small DNS.
    run(experiment(32, precision=precision, steps=1), tmp_path / "first", [0])
    described = experiment(96, precision=precision, steps=1)
    (needed,) = run(described, tmp_path / "second", [0]).peak_bytes
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
