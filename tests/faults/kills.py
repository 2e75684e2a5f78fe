"""Kills the smoke experiment at random moments, again and again, and compares its files with an undisturbed run's.

`python -m tests.faults.kills --kills 30` (or `make faults`) exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from eddymark.checkpoints import MANIFEST, SECONDS
from tests.repository import copy_repository, environment, snakemake_command

SMOKE = "config/experiments/smoke.yaml"
TARGETS = ("everything", "snakemake", "job")
MEASURED = ("cost", "report")
"""Jobs whose outputs hold times, which no two runs have in common."""

SHORTEST = 2.0
TIMEOUT = 3600.0


@dataclass
class Tally:
    """What the kills hit.

    Arguments:
        targets: how often each target was killed.
        stages: stages of the jobs that ran at those moments.
        checkpoints: how many jobs had a checkpoint to go on from, by stage.
        finished: how often the workflow reached its end undisturbed between kills.
    """

    targets: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    checkpoints: Counter[str] = field(default_factory=Counter)
    finished: int = 0


class Workflow:
    """An experiment in a copy of the repository.

    Arguments:
        folder: where to copy it.
        experiments: configuration files over the smoke experiment.
        jobs: which jobs to run, with those they depend on; all if there are none.
        cores: for each run.
    """

    def __init__(
        self, folder: Path, experiments: Sequence[Path] = (), *, jobs: Sequence[str] = (), cores: int = 2
    ) -> None:
        self.folder = copy_repository(folder)
        self.results = folder / "results"
        files = [SMOKE, *map(str, experiments)]
        targets = [f"results/{job}/signature.json" for job in jobs]
        self.jobs = list(jobs)
        self.command = snakemake_command("--configfile", *files, "--", *targets, cores=cores)
        self.output = folder / "output.txt"

    def start(self) -> subprocess.Popen[bytes]:
        """Start a run in a process group of its own; jobs store a checkpoint after every output."""
        variables = environment(self.folder, **{SECONDS: "0"})
        with self.output.open("wb") as file:
            return subprocess.Popen(
                self.command, cwd=self.folder, env=variables, stdout=file, stderr=file, start_new_session=True
            )

    def run(self) -> None:
        """Run to the end, as a user would after a kill: the same command, nothing else."""
        process = self.start()
        code = process.wait(TIMEOUT)
        assert code == 0, f"{' '.join(self.command)} ended with {code}:\n{self.output.read_text()}"

    def checkpoints(self) -> list[str]:
        """Return the stage of each job that has a checkpoint to go on from."""
        patterns = {"generate": MANIFEST, "train": "step-*.ckpt", "validate": MANIFEST}
        return [
            stage
            for stage, name in patterns.items()
            for _ in self.results.glob(f".work/*-{stage}-*/checkpoints/{name}")
        ]

    def digests(self) -> dict[str, dict[str, str]]:
        """Return the digests of all deterministic outputs, read again from the files, by job.

        Every record has to tell the truth about its files.
        """
        found = {}
        for job in self.jobs or yaml.safe_load((self.results / "plan.yaml").read_text()):
            record = json.loads((self.results / job / "signature.json").read_text())
            files = {name: _digest(self.results / job / name) for name in record["outputs"]}
            assert files == record["outputs"], f"{job}: the record does not describe the files"
            if job.rpartition("/")[2] not in MEASURED:
                found[job] = files
        return found


def kill(workflow: Workflow, is_time: Callable[[], bool], target: str, tally: Tally) -> bool:
    """Start the workflow and kill it; return False if it ended before that.

    Arguments:
        workflow: what to kill.
        is_time: asked again and again when to do it.
        target: one of `TARGETS`; a job is waited for if none runs at the moment.
        tally: receives what was hit.
    """
    process = workflow.start()
    while not is_time() or (target == "job" and not _jobs(process.pid)):
        if process.poll() is not None:
            assert process.returncode == 0, f"a run after a kill failed:\n{workflow.output.read_text()}"
            tally.finished += 1
            return False
        time.sleep(0.02)
    jobs = _jobs(process.pid)
    if target == "everything":
        os.killpg(process.pid, signal.SIGKILL)
    elif target == "snakemake":
        process.kill()
    elif jobs:
        with contextlib.suppress(ProcessLookupError):
            os.kill(max(jobs), signal.SIGKILL)
    tally.targets[target] += 1
    tally.stages.update(jobs.values() or ["none"])
    tally.checkpoints.update(workflow.checkpoints())
    code = process.wait(TIMEOUT)
    # A job may have ended in the last moment.
    assert code != 0 or target == "job", "the workflow did not notice that it was killed"
    return True


def _jobs(parent: int) -> dict[int, str]:
    """Return the stage of each running job by the number of its process."""
    jobs = {}
    for process in psutil.Process(parent).children(recursive=True):
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if "eddymark.cli" in words[:3]:
            jobs[process.pid] = words[words.index("eddymark.cli") + 1]
    return jobs


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def disturb(workflow: Workflow, expected: dict[str, dict[str, str]], *, kills: int, longest: float, seed: int) -> Tally:
    """Kill a workflow at random moments, let it finish, and compare.

    Whenever it finishes between two kills, its outputs are compared and removed, so that later kills meet all stages.

    Arguments:
        workflow: what to kill.
        expected: digests of an undisturbed run.
        kills: how often to kill.
        longest: latest kill after a start, seconds.
        seed: of the moments and targets.
    """
    chance, tally = random.Random(seed), Tally()
    while sum(tally.targets.values()) < kills:
        target, after = chance.choice(TARGETS), chance.uniform(SHORTEST, longest)
        hit = kill(workflow, _passed(after), target, tally)
        word = f"kill {sum(tally.targets.values())}: {target} after {after:.2f} s" if hit else "finished, compared"
        print(word, file=sys.stderr, flush=True)
        if not hit:
            compare(workflow.digests(), expected)
            shutil.rmtree(workflow.results)
    workflow.run()
    compare(workflow.digests(), expected)
    return tally


def _passed(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def compare(found: dict[str, dict[str, str]], expected: dict[str, dict[str, str]]) -> None:
    """Refuse digests that are not those of the undisturbed run, and name the files."""
    assert found.keys() == expected.keys()
    differ = [
        f"{job}/{name}" for job, files in expected.items() for name in files if found[job].get(name) != files[name]
    ]
    assert not differ, f"differ from the undisturbed run: {', '.join(differ)}"


def main() -> None:
    """Run the comparison from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, which is printed")
    parser.add_argument("--longest", type=float, help="latest kill after a start, seconds; default: a third of a run")
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    print(f"seed {seed}, {arguments.kills} kills", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        workflow = Workflow(Path(folder), cores=arguments.cores)
        started = time.monotonic()
        workflow.run()
        undisturbed = time.monotonic() - started
        expected = workflow.digests()
        files = sum(map(len, expected.values()))
        print(f"undisturbed: {undisturbed:.0f} s, {len(expected)} jobs, {files} files", flush=True)
        shutil.rmtree(workflow.results)
        longest = arguments.longest or max(10.0, undisturbed / 3)
        tally = disturb(workflow, expected, kills=arguments.kills, longest=longest, seed=seed)
    for title, counts in (
        ("killed", tally.targets),
        ("jobs running then", tally.stages),
        ("jobs with a checkpoint then", tally.checkpoints),
    ):
        print(f"{title}: {', '.join(f'{name} {count}' for name, count in counts.most_common()) or 'none'}")
    print(f"finished {tally.finished + 1} times in {time.monotonic() - started:.0f} s; every file as undisturbed")


if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        sys.exit(f"FAILED: {error}")
