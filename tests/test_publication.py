"""A job that is killed while it publishes its outputs leaves no record of other files than are there."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

KILLS = """
import json, os, shutil, signal, sys
from pathlib import Path

import eddymark.records as records
from eddymark.plan import Job

FOLDER = "report"
ROOT = Path(sys.argv[1])


def write(folder, content):
    (folder / "figures").mkdir(parents=True)
    (folder / "tables").mkdir()
    (folder / "tables" / "a.csv").write_text(content)
    (folder / "index.html").write_text(content)
    (folder / "metrics.json").write_text(content)
    (folder / "figures" / "a.svg").write_text(content)
    (folder / "figures" / f"{content}.svg").write_text(content)


def operations(kill_at=None):
    '''Count what changes or synchronises files from here on, and kill this process before one of the operations.'''
    counter = [0]

    def count(name):
        if counter[0] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        counter[0] += 1

    def watch(event, arguments):
        changes = event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate")
        if changes or (event == "open" and arguments[1] not in (None, "r", "rb")):
            count(event)

    sys.addaudithook(watch)
    synchronise = os.fsync
    os.fsync = lambda descriptor: (count("fsync"), synchronise(descriptor))[1]
    return counter


def publish(results, content):
    job = jobs[content]
    record = {"signature": job.signature, "upstream": {}}
    records.publish(results / "partial" / content, results / FOLDER, job.outputs, record)


def in_child(work):
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.waitpid(child, 0)[1]


def state(results, content):
    record = records.read_record(results / FOLDER)
    found = {p.relative_to(results / FOLDER).as_posix() for p in (results / FOLDER).rglob("*") if p.is_file()}
    return {
        "wanted": content,
        "stale": bool(records.stale_reasons({FOLDER: jobs[content]}, results)),
        "record": bool(record),
        "damaged": records.damaged_outputs(results / FOLDER, record),
        "additional": sorted(found - set(record.get("outputs", {})) - {"signature.json"}),
    }


jobs = {
    content: Job("report", "", "", None, FOLDER, (), {}, "", f"signature of {content}", "report")
    for content in ("old", "new")
}
outcomes = []
for kill_at in range(1000):
    results = ROOT / str(kill_at)
    for content in jobs:
        write(results / "partial" / content, content)
    publish(results, "old")

    def killed():
        operations(kill_at)
        publish(results, "new")

    status = in_child(killed)
    outcome = {"killed": os.WIFSIGNALED(status), "states": [state(results, content) for content in jobs]}
    shutil.rmtree(results / "partial")
    write(results / "partial" / "new", "new")
    publish(results, "new")
    outcome["after"] = state(results, "new")
    outcomes.append(outcome)
    if not outcome["killed"]:
        break
print(json.dumps(outcomes))
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What is there after a SIGKILL before each single file operation of a publication over older outputs."""
    folder = tmp_path_factory.mktemp("kills")
    done = subprocess.run([sys.executable, "-c", KILLS, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_step_was_interrupted_once(outcomes: list[dict[str, Any]]) -> None:
    assert [outcome["killed"] for outcome in outcomes[-2:]] == [True, False]
    # Four digests, the old record, two old folders with three files, four renames, three synchronisations, the record.
    assert len(outcomes) > 17


def test_a_record_describes_the_files_beside_it_whenever_the_process_is_killed(outcomes: list[dict[str, Any]]) -> None:
    for number, outcome in enumerate(outcomes):
        for state in outcome["states"]:
            assert not state["damaged"], (number, state)
            if state["record"]:
                assert not state["additional"], (number, state)
            if not state["stale"]:
                assert state["record"], (number, state)
        old, new = outcome["states"]
        assert old["stale"] or new["stale"]
    assert not outcomes[0]["states"][0]["stale"]
    assert not outcomes[-1]["states"][1]["stale"]


def test_the_next_run_finds_nothing_in_its_way(outcomes: list[dict[str, Any]]) -> None:
    for number, outcome in enumerate(outcomes):
        after = outcome["after"]
        assert (after["stale"], after["damaged"], after["additional"]) == (False, {}, []), number


def test_nothing_temporary_stays_in_the_folder(outcomes: list[dict[str, Any]]) -> None:
    names = {name for outcome in outcomes for state in outcome["states"] for name in state["additional"]}
    assert names <= {
        "index.html",
        "metrics.json",
        "tables/a.csv",
        "figures/a.svg",
        "figures/old.svg",
        "figures/new.svg",
    }
