"""Records decide which jobs run again; time stamps do not."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from eddymark.errors import EddymarkError
from eddymark.plan import Job
from eddymark.records import RECORD, mark_stale, provenance, publish, read_record, upstream_digests

CHAIN = {
    "flow/generate/0": (),
    "flow/train/fno/seed0": ("flow/generate/0",),
    "flow/validate/cost": ("flow/train/fno/seed0",),
}
STAGES = {"flow/generate/0": "generate", "flow/train/fno/seed0": "train", "flow/validate/cost": "cost"}


@pytest.fixture
def jobs() -> dict[str, Job]:
    return {
        folder: Job(
            STAGES[folder], "flow", "", None, folder, upstream, {}, "", f"signature of {folder}", STAGES[folder]
        )
        for folder, upstream in CHAIN.items()
    }


def run(folder: str, jobs: dict[str, Job], results: Path, content: str = "") -> None:
    job = jobs[folder]
    partial = results / ".work" / "partial"
    partial.mkdir(parents=True, exist_ok=True)
    for name in job.outputs:
        (partial / name).write_text(content or f"{folder}: {name}")
    record = {"signature": job.signature, "upstream": upstream_digests(job, jobs, results)}
    publish(partial, results / folder, job.outputs, record)


@pytest.fixture
def results(tmp_path: Path, jobs: dict[str, Job]) -> Path:
    for folder in jobs:
        run(folder, jobs, tmp_path)
    return tmp_path


GENERATE, TRAIN, COST = CHAIN


def test_nothing_is_stale_after_everything_ran(jobs: dict[str, Job], results: Path) -> None:
    for number, path in enumerate(sorted(results.rglob("*"))):
        os.utime(path, (1_000_000 - number, 1_000_000 - number))
    assert mark_stale(jobs, results) == set()


def test_everything_is_stale_before_anything_ran(jobs: dict[str, Job], tmp_path: Path) -> None:
    assert mark_stale(jobs, tmp_path) == set(jobs)


def test_another_signature_makes_a_job_and_what_follows_stale(jobs: dict[str, Job], results: Path) -> None:
    jobs[TRAIN] = dataclasses.replace(jobs[TRAIN], signature="new")
    assert mark_stale(jobs, results) == {TRAIN, COST}
    assert (results / TRAIN / RECORD).stat().st_mtime == 86400
    assert (results / GENERATE / RECORD).stat().st_mtime > 86400


def test_a_deleted_output_makes_a_job_and_what_follows_stale(jobs: dict[str, Job], results: Path) -> None:
    (results / TRAIN / "weights.safetensors").unlink()
    assert mark_stale(jobs, results) == {TRAIN, COST}


def test_an_upstream_job_that_made_something_else_makes_the_next_stale(jobs: dict[str, Job], results: Path) -> None:
    run(GENERATE, jobs, results, content="other data")
    assert mark_stale(jobs, results) == {TRAIN, COST}
    run(GENERATE, jobs, results)
    assert mark_stale(jobs, results) == set()


def test_a_damaged_record_makes_a_job_stale(jobs: dict[str, Job], results: Path) -> None:
    (results / COST / RECORD).write_text("{")
    assert mark_stale(jobs, results) == {COST}


def test_a_job_refuses_inputs_that_are_missing_or_out_of_date(jobs: dict[str, Job], results: Path) -> None:
    jobs[TRAIN] = dataclasses.replace(jobs[TRAIN], signature="new")
    with pytest.raises(EddymarkError, match="seed0 was made by another configuration or other sources"):
        upstream_digests(jobs[COST], jobs, results)
    (results / TRAIN / RECORD).unlink()
    with pytest.raises(EddymarkError, match="seed0 does not exist"):
        upstream_digests(jobs[COST], jobs, results)


def test_a_job_that_did_not_write_everything_publishes_nothing(jobs: dict[str, Job], results: Path) -> None:
    partial = results / ".work" / "partial"
    before = read_record(results / TRAIN)
    (partial / "model.json").write_text("{}")
    with pytest.raises(EddymarkError, match=r"did not write weights.safetensors, history.csv"):
        publish(partial, results / TRAIN, jobs[TRAIN].outputs, {"signature": "new"})
    assert read_record(results / TRAIN) == before
    assert (results / TRAIN / "model.json").read_text() != "{}"


def test_no_record_stands_beside_outputs_that_are_not_its_own(
    jobs: dict[str, Job], results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(source: Path, target: Path) -> None:
        if Path(target).name == "model.json":
            raise KeyboardInterrupt
        Path(source).rename(target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        run(TRAIN, jobs, results, content="new")
    assert (results / TRAIN / "weights.safetensors").read_text() == "new"
    assert not (results / TRAIN / RECORD).exists()


def test_folders_are_replaced_as_a_whole_and_their_files_recorded(tmp_path: Path) -> None:
    for name in ("old.svg", "new.svg"):
        (tmp_path / "partial" / "figures").mkdir(parents=True)
        (tmp_path / "partial" / "figures" / name).write_text(name)
        publish(tmp_path / "partial", tmp_path / "report", ["figures"], {})
    assert [path.name for path in (tmp_path / "report" / "figures").iterdir()] == ["new.svg"]
    assert list(read_record(tmp_path / "report")["outputs"]) == ["figures/new.svg"]


def test_the_provenance_names_versions_and_machine_but_neither_host_nor_paths() -> None:
    made_by = provenance()
    assert made_by["versions"]["torch"].startswith("2.")
    assert made_by["machine"]["cores"] == os.cpu_count()
    text = json.dumps(made_by)
    assert os.uname().nodename not in text.split('"')
    assert str(Path.home()) + "/" not in text
