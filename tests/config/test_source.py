"""Wrong descriptions of a source are refused before anything runs; the content of its files decides what reruns."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from eddymark import source_data
from eddymark.config import ConfigurationError, Experiment, load_experiment
from eddymark.errors import EddymarkError
from eddymark.plan import plan
from tests.small_experiment import write_experiment

FLOW = "flows/kolmogorov.yaml"
GIVEN = ((FLOW, "initial_state", None), (FLOW, "direct_numerical_simulation", None))
SPLITS = {"train": ["0-2"], "validation": [3], "test": [4, 5]}


def load(folder: Path, *changes: tuple[str, Any], source: dict[str, Any] | None = None) -> Experiment:
    folder.mkdir(exist_ok=True)
    files = folder / "u.h5"
    if not files.exists():
        files.write_bytes(b"fields")
    content = {"files": str(files)} | (source or {})
    own = [(FLOW, key, value) for key, value in changes]
    return load_experiment([write_experiment(folder / "config", *GIVEN, (FLOW, "source", content), *own)])


@pytest.mark.parametrize(
    ("changes", "source", "line"),
    [
        (
            [("initial_state", {"energy": 1.0, "peak_wavenumber": 4.0})],
            {},
            "initial_state: expected null with a source (its fields are not simulated), found a section",
        ),
        ([], {"files": "nowhere/*.h5"}, "source.files: expected paths or patterns of existing files (from the working"),
        ([], {"files": []}, "source.files: expected at least one file or pattern, found none"),
        ([], {"join": "run"}, "source.join: expected 'trajectory' or 'time', found 'run'"),
        ([], {"velocity": ["u", "v", "w"]}, "source.velocity: expected one name, or 2 of the components in the order"),
        ([], {"dimensions": ["time", "x", "y"]}, "source.dimensions: expected x, y, component and, where the velocity"),
        ([], {"dimensions": ["x", "x", "y"]}, "source.dimensions: expected each dimension once, found"),
        ([], {"dimensions": ["x", "y", "t"]}, "source.dimensions.2: expected 'trajectory', 'time', 'component', 'x'"),
        ([], {"units": {"velocity": 0}}, "source.units.velocity: expected greater than 0"),
        ([], {"unit": {}}, "source.unit: expected a known key, found an unknown key; did you mean units?"),
        ([("sampling.runs", 6)], {"trajectories": SPLITS | {"test": [2, 4, 5]}}, "found 2, which is in train"),
        ([("sampling.runs", 5)], {"trajectories": SPLITS}, "sampling.runs: expected 6, the number of trajectories in"),
        ([("sampling.runs", 6)], {"trajectories": SPLITS}, "sampling.shards: expected at most one per trajectory of"),
        ([], {"trajectories": SPLITS | {"train": ["2-x"]}}, "source.trajectories.train.0: expected a whole number"),
        (
            [("large_eddy_grid.filter", {"type": "box", "width": 4.0})],
            {},
            "large_eddy_grid.filter.width: expected at most half a side 3.14, found 4.0",
        ),
    ],
)
def test_a_wrong_source_is_refused_in_one_line(
    tmp_path: Path, changes: list[tuple[str, Any]], source: dict[str, Any], line: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        load(tmp_path, *changes, source=source)
    lines = str(error.value).splitlines()
    assert any(line in found for found in lines), lines
    assert all(found.startswith(f"{tmp_path}/config/{FLOW}: ") for found in lines)


def test_a_flow_needs_a_simulation_or_a_source(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as error:
        load_experiment([write_experiment(tmp_path, *GIVEN)])
    assert [line.split(": ", 1)[1] for line in str(error.value).splitlines()] == [
        "initial_state: expected a section (only a flow with a source does without), found nothing",
        "direct_numerical_simulation: expected a section (only a flow with a source does without), found nothing",
    ]


def test_ranges_count_as_their_numbers(tmp_path: Path) -> None:
    experiment = load(tmp_path, ("sampling.runs", 6), ("sampling.shards", 1), source={"trajectories": SPLITS})
    flow = experiment.flows["kolmogorov"]
    assert flow.source is not None
    assert flow.source.trajectories is not None
    assert flow.source.trajectories.train == (0, 1, 2)
    assert [flow.trajectories(split) for split in ("train", "validation", "test")] == [6, 1, 4]
    assert Experiment.model_validate_json(experiment.model_dump_json()) == experiment


def signatures(experiment: Experiment) -> dict[str, str]:
    """Return the signatures of all jobs but the report, which prints the paths."""
    return {folder: job.signature for folder, job in plan(experiment).items() if folder != "report"}


def test_the_content_of_small_files_decides_not_their_times_or_places(tmp_path: Path) -> None:
    before = signatures(load(tmp_path / "a"))
    os.utime(tmp_path / "a" / "u.h5", (1, 1))
    assert signatures(load(tmp_path / "a")) == before
    assert signatures(load(tmp_path / "b")) == before
    (tmp_path / "b" / "u.h5").write_bytes(b"others")
    after = signatures(load(tmp_path / "b"))
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())


def test_large_files_count_by_size_time_and_ends_and_folders_by_all_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_data, "WHOLE_BYTES", 100)
    monkeypatch.setattr(source_data, "_END_BYTES", 50)
    store = tmp_path / "store"
    (store / "0").mkdir(parents=True)
    (store / "zarr.json").write_text("{}")
    chunk = store / "0" / "1"

    def digests(middle: bytes, modified: int) -> Any:
        chunk.write_bytes(b"a" * 100 + middle + b"b" * 100)
        os.utime(chunk, ns=(modified, modified))
        source = load(tmp_path, source={"files": str(store)}).flows["kolmogorov"].source
        assert source is not None
        return source_data.source_digests(source)

    first = digests(b"x", 10)
    assert digests(b"x", 10) == first
    assert digests(b"x", 11) != first
    assert digests(b"xx", 10) != first
    chunk.rename(store / "0" / "2")
    assert digests(b"x", 10) != first


def test_a_source_that_has_gone_is_one_clear_error(tmp_path: Path) -> None:
    experiment = load(tmp_path)
    (tmp_path / "u.h5").unlink()
    with pytest.raises(EddymarkError, match=r"source\.files: expected paths or patterns of existing files, found"):
        plan(experiment)


def test_a_flow_with_a_source_is_made_by_other_code_than_a_simulated_one(tmp_path: Path) -> None:
    """Code that only reads files of others must not rerun simulations."""
    from eddymark.fingerprint import SourceTree
    from eddymark.plan import _PACKAGE

    tree = SourceTree({"eddymark": _PACKAGE})
    simulated = tree.fingerprint(["eddymark.stages.generate"])
    tree._modules["eddymark.external.catalogue"] = "changed", set()
    assert SourceTree({"eddymark": _PACKAGE}).fingerprint(["eddymark.stages.generate"]) == simulated
    assert tree.fingerprint(["eddymark.stages.generate"]) == simulated
    changed = tree.fingerprint(["eddymark.stages.importing"])
    assert changed != SourceTree({"eddymark": _PACKAGE}).fingerprint(["eddymark.stages.importing"])
