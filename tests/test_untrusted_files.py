"""No file makes eddymark execute what stands in it: not a checkpoint, an artifact, a record or a configuration."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eddymark.cli import main
from eddymark.errors import EddymarkError
from eddymark.plan import plan
from eddymark.records import RECORD, mark_stale
from eddymark.report.collect import collect
from eddymark.storage import load_weights, read_trajectories, write_trajectories
from eddymark.training import checkpoint
from tests.report.conftest import Tree, tree  # noqa: F401
from tests.small_experiment import write_experiment
from tests.test_storage import dataset
from tests.training.conftest import experiment, results  # noqa: F401
from tests.training.runs import run


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (Path.touch, (self.mark,))


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A file which is there if something was executed."""
    path = tmp_path / "executed"
    pickle.loads(pickle.dumps(Payload(path)))
    assert path.exists()
    path.unlink()
    return path


@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_a_checkpoint(
    results: Path,  # noqa: F811
    tmp_path: Path,
    mark: Path,
    save: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "training"
    (folder / "work").mkdir(parents=True)
    save({"state_dict": Payload(mark)}, folder / "work" / "new.partial")
    checkpoint.keep(folder / "work" / "new.partial", 3)
    run(experiment(steps=6), results, folder)
    assert "is not used (it is not a checkpoint)" in capsys.readouterr().err
    assert not mark.exists()


def test_weights(tmp_path: Path, mark: Path) -> None:
    path = tmp_path / "weights.safetensors"
    for content in (pickle.dumps(Payload(mark)), b"\x08\0\0\0\0\0\0\0{}      ", b""):
        path.write_bytes(content)
        with pytest.raises(EddymarkError, match="does not hold the weights of this model"):
            load_weights(path, torch.nn.Linear(2, 2))
    assert not mark.exists()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"dtype": "|O", "filters": [{"id": "pickle", "protocol": 5}]}, r"type '\|O' is neither numbers nor text"),
        ({"dtype": "<f4", "filters": [{"id": "pickle", "protocol": 5}]}, "codec 'pickle' is not one for numbers"),
        ({"dtype": "<f4", "filters": None, "compressor": {"id": "pickle"}}, "codec 'pickle' is not one for numbers"),
        (
            {"dtype": "|O", "filters": [{"id": "vlen-utf8"}], "compressor": {"id": "pickle"}},
            r"type '\|O' is neither numbers nor text",
        ),
        ({"dtype": [["a", "<f4"], ["b", "|O"]], "filters": None}, "is neither numbers nor text"),
        ({"dtype": "|V8", "filters": None}, "is neither numbers nor text"),
    ],
)
def test_trajectories_of_pickled_objects(tmp_path: Path, mark: Path, changes: dict[str, Any], complaint: str) -> None:
    path, changed = tmp_path / "good.zarr.zip", tmp_path / "bad.zarr.zip"
    write_trajectories(path, dataset(trajectories=1))
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "velocity/.zarray":
                content = json.dumps(json.loads(content) | {"compressor": None} | changes).encode()
            elif name.startswith("velocity/0"):
                content = pickle.dumps(np.array([Payload(mark)], dtype=object))
            target.writestr(name, content)
    with pytest.raises(EddymarkError, match=complaint) as caught:
        read_trajectories(changed)
    assert str(caught.value).startswith(f"{changed}: cannot be read")
    assert not mark.exists()


def test_an_archive_whose_files_would_leave_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    path = tmp_path / "a.zarr.zip"
    write_trajectories(path, dataset(trajectories=1))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../escaped", b"x")
        archive.writestr(str(tmp_path / "absolute"), b"x")
    before = set(tmp_path.rglob("*"))
    with contextlib.suppress(EddymarkError):
        read_trajectories(path)
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "name",
    [
        "generate/0/budget.csv",
        "generate/0/train.zarr.zip",
        "train/fno/seed0/model.json",
        "train/fno/seed0/history.csv",
        "validate/apriori/apriori.csv",
        "validate/apriori/dissipation.csv",
        "validate/cost/cost.csv",
        "validate/dns/statistics.nc",
        "validate/dns/scores.csv",
        "validate/dns/cost.json",
    ],
)
def test_artifacts_that_the_report_reads(tree: Tree, tmp_path: Path, mark: Path, name: str) -> None:  # noqa: F811
    copy = tmp_path / "results"
    shutil.copytree(tree.results, copy, symlinks=True)
    path = copy / next(iter(tree.experiment.flows)) / name
    assert path.exists()
    path.write_bytes(pickle.dumps(Payload(mark)))
    with pytest.raises(EddymarkError, match="cannot be read") as caught:
        collect(tree.experiment, results=copy)
    assert str(path) in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"3",
        b'{"outputs": [1]}',
        b'{"outputs": {}, "upstream": "word"}',
        b'{"outputs": {"../../x": "0"}}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_record_of_anything_else_makes_its_job_stale(tmp_path: Path, content: bytes) -> None:
    jobs = plan(experiment())
    record = tmp_path / next(iter(jobs)) / RECORD
    record.parent.mkdir(parents=True)
    record.write_bytes(content)
    assert mark_stale(jobs, tmp_path) == set(jobs)


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line by which `eddymark check` refuses the experiment in the working directory."""
    with pytest.raises(SystemExit) as stopped:
        main(["check"])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    "value",
    [
        '!!python/object/apply:os.system ["touch {mark}"]',
        "!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [{mark}]]",
        "!!python/object/new:os.system [touch {mark}]",
        "!!python/name:os.system",
        "!!python/module:os",
    ],
)
def test_a_python_tag_in_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mark: Path, value: str
) -> None:
    config = write_experiment(tmp_path / "config")
    config.write_text(config.read_text() + f"device: {value.format(mark=mark)}\n")
    monkeypatch.chdir(tmp_path)
    line = refusal(capsys)
    assert line.startswith("config/config.yaml: line ")
    assert "could not determine a constructor for the tag" in line
    assert not mark.exists()


def test_a_template_in_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mark: Path
) -> None:
    config = write_experiment(tmp_path / "config")
    config.write_text(f"__use_yte__: true\nname: ?open({str(mark)!r}, 'w').name\n")
    monkeypatch.chdir(tmp_path)
    assert refusal(capsys).startswith("config/config.yaml: __use_yte__: expected no template")
    assert not mark.exists()


def test_a_function_of_the_system_as_an_operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mark: Path
) -> None:
    operator = {"type": "os.system", "arguments": {"command": f"touch {mark}"}}
    write_experiment(tmp_path / "config", ("surrogates/fno.yaml", "operator", operator))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    expected = "config/surrogates/fno.yaml: operator.type: expected a torch.nn.Module, found 'os.system'"
    assert refusal(capsys) == expected
    assert not mark.exists()
    assert os.system  # nothing was replaced
