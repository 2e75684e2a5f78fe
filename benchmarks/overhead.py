"""How much of a finished run of the default experiment was not computing: `make report` first.

The run had `cores` for its wall time. Computing is what the stages did after their imports, on the cores that their
jobs held: the timing job holds all of them, so that nothing runs beside it. The rest is overhead: the start of
processes and their imports, signatures, digests and publication, Snakemake itself, and cores without a job.
"""

from __future__ import annotations

import csv
import datetime
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from eddymark.config import Experiment, load_experiment
from eddymark.plan import Job, plan
from eddymark.records import read_record

RESULTS = Path("results")
REPEATS = 3


def seconds_to_run(*command: str) -> float:
    """Return the median wall time of a command."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def imports(driver: str) -> float:
    """Return the seconds that a job spends on the imports of its stage, beyond those of the command line."""
    code = f"import eddymark.jobs, time; t = time.perf_counter(); import eddymark.stages.{driver}; "
    code += "print(time.perf_counter() - t)"
    command = [sys.executable, "-c", code]
    times = [float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(REPEATS)]
    return statistics.median(times)


def process_seconds(job: Job) -> float:
    """Return the wall time of a job's process, as Snakemake measured it."""
    path = RESULTS / ".work" / "benchmarks" / f"{job.folder}.tsv"
    with path.open(newline="") as file:
        return float(next(csv.DictReader(file, delimiter="\t"))["s"])


def measure(experiment: Experiment, jobs: dict[str, Job], *, cores: int) -> None:
    """Print the overhead of the run that made the results, and what it consists of."""
    records = {folder: read_record(RESULTS / folder) for folder in jobs}
    moments = [
        datetime.datetime.fromisoformat(record[end]) for record in records.values() for end in ("started", "finished")
    ]
    no_operation = seconds_to_run(sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all")
    wall = (max(moments) - min(moments)).total_seconds() + no_operation
    loading = {driver: imports(driver) for driver in {job.driver for job in jobs.values()}}
    computing, held, start_up = defaultdict(float), defaultdict(float), defaultdict(float)
    for folder, job in jobs.items():
        threads = cores if job.stage == "cost" else experiment.threads
        seconds = records[folder]["seconds"] - loading[job.driver]
        computing[job.stage] += seconds * threads
        held[job.stage] += process_seconds(job) * threads
        start_up[job.stage] += loading[job.driver] * threads
    available = wall * cores
    print(f"{'stage':10s} {'jobs':>5s} {'computing':>10s} {'imports':>8s} {'other':>6s}   core-seconds")
    for stage in held:
        count = sum(job.stage == stage for job in jobs.values())
        other = held[stage] - computing[stage] - start_up[stage]
        print(f"{stage:10s} {count:5d} {computing[stage]:10.1f} {start_up[stage]:8.1f} {other:6.1f}")
    idle = available - sum(held.values())
    overhead = 1 - sum(computing.values()) / available
    print(f"without a job: {idle:.1f} core-seconds; of it Snakemake without work {no_operation * cores:.1f}")
    print(f"{wall:.0f} s on {cores} cores: overhead {100 * overhead:.1f} %")


def main() -> None:
    """Print the overhead of the results of the default experiment, if it is finished."""
    experiment = load_experiment([Path("config", "config.yaml")])
    jobs = plan(experiment)
    if any(not read_record(RESULTS / folder) for folder in jobs):
        print("the default experiment has not been run here: make report")
        return
    measure(experiment, jobs, cores=os.cpu_count() or 1)


if __name__ == "__main__":
    main()
