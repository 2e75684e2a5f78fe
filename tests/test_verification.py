"""Verification finds every kind of damage in every kind of artifact, and nothing where there is none."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from eddymark.contents import check_content
from eddymark.records import RECORD, mark_stale, read_record
from eddymark.storage import stress_dataset, write_trajectories
from eddymark.verification import Finding, show, verify
from eddymark.work import LOCK, work_folder
from tests.results_tree import Tree, planned_tree, publish_again, statistics, stresses, trajectories

GENERATE, TIMESTEP, TRAIN, VALIDATE, APRIORI, COST = (
    f"kolmogorov/{name}"
    for name in (
        "generate/0",
        "train/hybrid/timestep",
        "train/fno/seed0",
        "validate/fno-seed0",
        "validate/apriori",
        "validate/cost",
    )
)
OTHER = {
    GENERATE: "kolmogorov/generate/1",
    TIMESTEP: "kolmogorov/train/no_model/timestep",
    TRAIN: "kolmogorov/train/fno/seed1",
    VALIDATE: "kolmogorov/validate/dns",
}
ARTIFACTS = [
    (GENERATE, "test.zarr.zip"),
    (GENERATE, "unfiltered_test.zarr.zip"),
    (GENERATE, "stress.zarr.zip"),
    (GENERATE, "budget.csv"),
    (TIMESTEP, "timestep.json"),
    (TRAIN, "weights.safetensors"),
    (TRAIN, "model.json"),
    (TRAIN, "history.csv"),
    (VALIDATE, "rollouts.zarr.zip"),
    (VALIDATE, "statistics.nc"),
    (VALIDATE, "scores.csv"),
    (VALIDATE, "cost.json"),
    (APRIORI, "apriori.csv"),
    (APRIORI, "dissipation.csv"),
    (COST, "cost.csv"),
    ("report", "index.html"),
    ("report", "metrics.json"),
    ("report", "figures/spectrum.svg"),
    ("report", "tables/scores.csv"),
    *[(folder, RECORD) for folder in (GENERATE, TIMESTEP, TRAIN, VALIDATE, APRIORI, COST, "report")],
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return planned_tree(tmp_path_factory.mktemp("verification"))


@pytest.fixture
def own(tree: Tree, tmp_path: Path) -> Tree:
    """A copy of the tree, to be changed for good."""
    shutil.copytree(tree[1], tmp_path / "results")
    return tree[0], tmp_path / "results"


def findings(tree: Tree, *folders: str) -> list[Finding]:
    return [finding for one in verify(*tree, folders or tree[0]) for finding in one.findings]


@pytest.fixture(params=ARTIFACTS, ids=lambda artifact: "/".join(artifact))
def artifact(request: pytest.FixtureRequest, tree: Tree) -> Iterator[tuple[str, Path]]:
    """An artifact that may be damaged; it is put right again."""
    folder, name = request.param
    path = tree[1] / folder / name
    content = path.read_bytes()
    yield folder, path
    path.write_bytes(content)
    assert not findings(tree, folder)


def test_an_undamaged_tree_passes(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    jobs, results = tree
    assert show(jobs, results, jobs, [], discard=False)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("23 of 23 jobs intact; read 77 files")


def test_damage_is_found_whatever_was_done_to_an_artifact(tree: Tree, artifact: tuple[str, Path]) -> None:
    folder, path = artifact
    content = path.read_bytes()
    middle = len(content) // 2
    other = tree[1] / OTHER.get(folder, TRAIN) / path.name
    damages = {
        "first byte": bytes([content[0] ^ 1]) + content[1:],
        "byte in the middle": content[:middle] + bytes([content[middle] ^ 0x80]) + content[middle + 1 :],
        "last byte": content[:-1] + bytes([content[-1] ^ 4]),
        "one byte less": content[:-1],
        "half": content[:middle],
        "one byte more": content + b"\n",
        "empty": b"",
        "another job's": other.read_bytes() if other.exists() else b"something else",
    }
    for damage, damaged in damages.items():
        path.write_bytes(damaged)
        assert [finding.path for finding in findings(tree, folder)] == [path], damage
    path.unlink()
    (finding,) = findings(tree, folder)
    assert finding.path == (path if path.name != RECORD else path.parent)
    assert finding.remedy.endswith(f": eddymark {' '.join(tree[0][folder].arguments)}")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.sampled_from(ARTIFACTS), data=st.data())
def test_any_flipped_bits_are_found(tree: Tree, chosen: tuple[str, str], data: st.DataObject) -> None:
    folder, name = chosen
    path = tree[1] / folder / name
    content = path.read_bytes()
    position = data.draw(st.integers(0, len(content) - 1))
    mask = data.draw(st.integers(1, 255))
    try:
        path.write_bytes(content[:position] + bytes([content[position] ^ mask]) + content[position + 1 :])
        assert [finding.path for finding in findings(tree, folder)] == [path]
    finally:
        path.write_bytes(content)


def test_a_record_with_any_byte_flipped_is_no_record(tree: Tree) -> None:
    path = tree[1] / COST / RECORD
    content = path.read_bytes()
    try:
        for position, byte in enumerate(content):
            path.write_bytes(content[:position] + bytes([byte ^ 1 << position % 8]) + content[position + 1 :])
            assert read_record(path.parent) == {}, position
    finally:
        path.write_bytes(content)


def test_a_job_swapped_as_a_whole_is_found(own: Tree) -> None:
    _, results = own
    shutil.rmtree(results / TRAIN)
    shutil.copytree(results / OTHER[TRAIN], results / TRAIN)
    (finding,) = findings(own, TRAIN)
    assert "is out of date: its configuration changed" in str(finding)


def test_results_made_from_other_upstream_results_are_found(own: Tree) -> None:
    jobs, results = own
    shutil.copytree(results / TRAIN, results / "again")
    (results / "again" / RECORD).unlink()
    save_file({"first.weight": torch.zeros(3, 3)}, results / "again" / "weights.safetensors")
    publish_again(TRAIN, jobs, results, results / "again")
    assert not findings(own, TRAIN)
    (finding,) = findings(own, VALIDATE)
    assert f"is out of date: {TRAIN} has made something else since" in str(finding)


def test_jobs_that_have_not_run_are_named_and_those_that_need_them_counted(
    own: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs, results = own
    shutil.rmtree(results / TRAIN)
    assert not show(jobs, results, jobs, ["--results", "my results"], discard=False)
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == (f"{results / TRAIN} has not run; make it: eddymark train kolmogorov fno 0 --results 'my results'")
    assert rest[0].startswith("20 of 23 jobs intact")
    assert rest[1:] == ["2 jobs have to run again after those above"]


def test_additional_files_are_found(own: Tree) -> None:
    _, results = own
    (results / "report" / "figures" / ".snakemake_timestamp").touch()
    assert not findings(own)
    (results / "report" / "figures" / "old.svg").write_text("<svg/>")
    (results / "report" / "notes").mkdir()
    (results / "report" / "notes" / "mine.txt").write_text("mine")
    assert [(finding.path.name, finding.discard) for finding in findings(own)] == [("old.svg", False), ("notes", False)]


def test_a_running_job_is_not_judged(own: Tree) -> None:
    jobs, results = own
    work = work_folder(jobs[TRAIN], results)
    work.mkdir()
    (results / TRAIN / "history.csv").unlink()
    with (work / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (finding,) = findings(own, TRAIN)
        assert str(finding) == f"{results / TRAIN} is running; verify it when it has ended"
    assert findings(own, TRAIN)[0].path.name == "history.csv"


def test_discarding_makes_the_workflow_run_the_damaged_jobs_again(own: Tree) -> None:
    jobs, results = own
    (results / TRAIN / "weights.safetensors").write_bytes(b"")
    assert mark_stale(jobs, results) == set()
    assert not show(jobs, results, [TRAIN], [], discard=False)
    assert mark_stale(jobs, results) == set()
    assert not show(jobs, results, [TRAIN], [], discard=True)
    assert mark_stale(jobs, results) == {TRAIN, VALIDATE, "report"}


def nan(*index: int) -> np.ndarray:
    velocity = trajectories(np.random.default_rng(0))["velocity"].to_numpy().copy()
    velocity[index] = np.nan
    return velocity


@pytest.mark.parametrize(
    ("index", "problem"),
    [
        ((1, 2), None),
        ((1, 3), None),
        ((1, 1), "velocity is not finite in trajectory 1, before its failure"),
        ((0, 3, 0, 1, 1), "velocity is not finite in trajectory 0, which did not fail"),
    ],
)
def test_rollouts_may_only_be_nan_after_a_recorded_failure(
    own: Tree, index: tuple[int, ...], problem: str | None
) -> None:
    _, results = own
    dataset = trajectories(np.random.default_rng(0))
    dataset["velocity"].values = nan(*index)
    path = results / VALIDATE / "rollouts.zarr.zip"
    write_trajectories(path, dataset)
    assert check_content(path.parent, path.name) == problem
    data = results / GENERATE / "test.zarr.zip"
    shutil.copy(path, data)
    assert "velocity is not finite in trajectory" in str(check_content(data.parent, data.name))


def test_a_true_stress_that_is_not_finite_is_found(own: Tree) -> None:
    path = own[1] / GENERATE / "stress.zarr.zip"
    stress = stresses(np.random.default_rng(0))
    write_trajectories(path, stress_dataset(stress, outputs=[0, 3]))
    assert check_content(path.parent, path.name) is None
    stress[1, 0, 1, 2, 2] = np.nan
    write_trajectories(path, stress_dataset(stress, outputs=[0, 3]))
    assert check_content(path.parent, path.name) == "stress is not finite in trajectory 1"
    shutil.copy(path.with_name("test.zarr.zip"), path)
    assert "cannot be read" in str(check_content(path.parent, path.name))


def test_infinity_is_never_legal(own: Tree) -> None:
    _, results = own
    dataset = trajectories(np.random.default_rng(0))
    dataset["velocity"][1, 3] = np.inf
    path = results / VALIDATE / "rollouts.zarr.zip"
    write_trajectories(path, dataset)
    assert check_content(path.parent, path.name) == "velocity is infinite in trajectory 1"


def test_statistics_may_only_be_nan_where_a_trajectory_failed(own: Tree) -> None:
    _, results = own
    path = results / VALIDATE / "statistics.nc"
    for name, index, problem in (
        ("kinetic_energy", (1, 3), None),
        ("kinetic_energy", (1, 1), "kinetic_energy is not finite in trajectory 1, before its failure"),
        ("energy_spectrum", (0, 2), "energy_spectrum is not finite in trajectory 0, which did not fail"),
        ("failure_time", (1,), "its failures are not those in cost.json"),
    ):
        changed = statistics(np.random.default_rng(0))
        changed[name][index] = np.nan
        path.unlink()
        changed.to_netcdf(path, engine="h5netcdf")
        assert check_content(path.parent, path.name) == problem


@pytest.mark.parametrize(
    ("folder", "name", "content", "problem"),
    [
        (TRAIN, "model.json", '{"normaliser": {"scale": NaN}}', "scale is not finite"),
        (TRAIN, "model.json", "[1, -Infinity", "cannot be read"),
        (TRAIN, "history.csv", "step,training_loss\n1,nan\n", "column training_loss is not finite"),
        (TRAIN, "history.csv", "step,training_loss\n", "has no rows"),
        (GENERATE, "budget.csv", "", "cannot be read"),
        (APRIORI, "apriori.csv", "stepper,statistic,value,low,high\nsigma,dissipation,1,1,1\n", "lacks the DNS"),
        (APRIORI, "apriori.csv", "stepper,statistic,value,low,high\ndns,dissipation,,0,1\n", "dissipation is NaN"),
        (APRIORI, "apriori.csv", "stepper,statistic,value,low,high\ndns,dissipation,1,-inf,1\n", "is infinite"),
        (APRIORI, "dissipation.csv", "stepper,density\ndns,-1\n", "a density is negative"),
        (COST, "cost.csv", "stepper,seconds_per_turnover_time\nfno,inf\n", "is not finite"),
        (VALIDATE, "scores.csv", "statistic,value,low,high,floor\nsurviving_fraction,2,,,\n", "is not a fraction"),
        (
            VALIDATE,
            "scores.csv",
            "statistic,value,low,high,floor\nsurviving_fraction,1,,,\nspectrum_error,,,,0.1\n",
            "spectrum_error is NaN though no rollout failed",
        ),
        ("report", "index.html", "<!DOCTYPE html><html><body>", "is no complete HTML page"),
        ("report", "figures/spectrum.svg", "<html></html>", "is no SVG drawing"),
        ("report", "figures/spectrum.svg", "<svg><path></svg>", "cannot be read"),
    ],
)
def test_content_that_makes_no_sense_is_found_though_the_record_is_right(
    own: Tree, folder: str, name: str, content: str, problem: str
) -> None:
    jobs, results = own
    shutil.move(results / folder, results / "again")
    (results / "again" / name).write_text(content)
    publish_again(folder, jobs, results, results / "again")
    assert [(finding.path, problem in finding.problem) for finding in findings(own, folder)] == [
        (results / folder / name, True)
    ]


def test_weights_that_are_not_finite_are_found(own: Tree) -> None:
    path = own[1] / TRAIN / "weights.safetensors"
    save_file({"a": torch.tensor([1.0, torch.inf])}, path)
    assert check_content(path.parent, path.name) == "a is not finite"
    save_file({}, path)
    assert check_content(path.parent, path.name) == "holds no weights"


def test_a_file_that_cannot_be_opened_is_named(own: Tree) -> None:
    _, results = own
    path = results / TRAIN / "model.json"
    path.unlink()
    path.symlink_to(path)
    (finding,) = findings(own, TRAIN)
    assert (finding.path, finding.problem) == (path, f"cannot be read ({os.strerror(40)})")


def test_records_are_still_plain_json(tree: Tree) -> None:
    record = json.loads((tree[1] / TRAIN / RECORD).read_text())
    assert record["job"] == TRAIN
    assert record == read_record(tree[1] / TRAIN)
