"""Equal inputs give equal bytes: on one core or two, undisturbed or killed several times."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.kills import EXPERIMENT, Workflow, disturb

TINY = EXPERIMENT.with_name("tiny.yaml")
JOBS = [
    "kolmogorov/generate/0",
    "kolmogorov/train/hybrid/seed0",
    "kolmogorov/validate/hybrid-seed0",
    "kolmogorov/validate/matched_noise",
]
"""One of each kind; what they need is computed once per run."""

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Digests of all outputs of a run on two cores."""
    workflow = Workflow(tmp_path_factory.mktemp("undisturbed"), [EXPERIMENT, TINY], jobs=JOBS)
    workflow.run()
    return workflow.digests()


def test_a_second_run_on_one_core_gives_the_same_bytes(undisturbed: dict[str, dict[str, str]], tmp_path: Path) -> None:
    workflow = Workflow(tmp_path, [EXPERIMENT, TINY], jobs=JOBS, cores=1)
    workflow.run()
    assert workflow.digests() == undisturbed


def test_kills_at_random_moments_change_nothing(undisturbed: dict[str, dict[str, str]], tmp_path: Path) -> None:
    workflow = Workflow(tmp_path, [EXPERIMENT, TINY], jobs=JOBS)
    tally = disturb(workflow, undisturbed, kills=3, longest=12.0, seed=2026)
    assert sum(tally.targets.values()) == 3
