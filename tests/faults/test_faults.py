"""Equal inputs give equal bytes: on one core or two, undisturbed or killed in every long stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.kills import Tally, Workflow, kill

TINY = Path(__file__).with_name("tiny.yaml")
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
    workflow = Workflow(tmp_path_factory.mktemp("undisturbed"), [TINY], jobs=JOBS)
    workflow.run()
    return workflow.digests()


def test_a_second_run_on_one_core_gives_the_same_bytes(undisturbed: dict[str, dict[str, str]], tmp_path: Path) -> None:
    workflow = Workflow(tmp_path, [TINY], jobs=JOBS, cores=1)
    workflow.run()
    assert workflow.digests() == undisturbed


def test_kills_in_every_long_stage_change_nothing(undisturbed: dict[str, dict[str, str]], tmp_path: Path) -> None:
    workflow = Workflow(tmp_path, [TINY], jobs=JOBS)
    tally = Tally()
    for stage, target in (("generate", "everything"), ("train", "snakemake"), ("validate", "job")):
        assert kill(workflow, lambda stage=stage: stage in workflow.checkpoints(), target, tally), stage
    workflow.run()
    assert workflow.digests() == undisturbed
    logs = workflow.results / ".work" / "logs" / "kolmogorov"
    assert (logs / "generate" / "0.log").read_text().startswith("DNS of kolmogorov goes on after")
    assert not (logs / "train" / "hybrid" / "seed0.log").read_text().startswith("epoch 1 ")
