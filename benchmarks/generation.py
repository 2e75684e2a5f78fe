"""What jobs of `generate` need: their memory beside what the workflow asks for, and two of them beside one.

Jobs are processes of their own, started by the command that the workflow uses, with one thread each.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eddymark.config import load_experiment, schema
from eddymark.resources import generate_memory

FLOW = "forced_isotropic"
COARSENING = 4
"""DNS points per LES point and axis, as in the default forced isotropic turbulence."""
MEMORY_CASES = (
    *((points, precision, 1) for points in (64, 96, 128) for precision in ("float32", "float64")),
    (128, "float32", 3),
    *((256, precision, 1) for precision in ("float32", "float64")),
)
"""Points of the DNS per axis, its precision, and how many runs a job computes together."""
SHARD_GRIDS = (64, 128)
REPEATS = 2


def experiment(
    points: int, *, precision: str = "float32", runs: int = 1, shards: int = 1, steps: int = 2, outputs: int = 2
) -> schema.Experiment:
    """Return the default forced isotropic turbulence on another grid, with a few outputs.

    Arguments:
        points: points of the DNS per axis.
        precision: precision of the DNS.
        runs, shards: number of runs and of jobs.
        steps: steps per output interval, roughly.
        outputs: outputs of each trajectory; there is one in each split.
    """
    loaded = load_experiment([Path(__file__).parents[1] / "config" / "config.yaml"])
    flow = loaded.flows[FLOW]
    assert flow.direct_numerical_simulation is not None
    # 109 steps per turnover time at 64³, as docs/scaling.md says.
    interval = steps / 109 * 64 / points
    length = interval * (outputs - 1)
    changes = {
        "direct_numerical_simulation": flow.direct_numerical_simulation.model_copy(
            update={"points": (points,) * 3, "precision": precision, "allow_underresolved": True}
        ),
        "large_eddy_grid": flow.large_eddy_grid.model_copy(update={"points": (points // COARSENING,) * 3}),
        "sampling": schema.Sampling.model_validate(
            {
                "runs": runs,
                "shards": shards,
                "spin_up": 0,
                "interval": interval,
                "gap": interval,
                "splits": {split: {"stretches": 1, "length": length} for split in ("train", "validation", "test")},
            }
        ),
        "surrogates": {},
    }
    return loaded.model_copy(update={"device": "cpu", "flows": {FLOW: flow.model_copy(update=changes)}})


@dataclass(frozen=True)
class Cost:
    """What shards that ran side by side needed.

    Arguments:
        seconds: until all had ended.
        processor_seconds: of all together.
        peak_bytes: peak resident memory of each.
    """

    seconds: float
    processor_seconds: float
    peak_bytes: list[int]


def run(described: schema.Experiment, folder: Path, shards: Sequence[int]) -> Cost:
    """Run shards side by side and return what they needed."""
    folder.mkdir(exist_ok=True)
    described_in = folder / "experiment.json"
    described_in.write_text(described.model_dump_json())
    results = folder / "results"
    options = ["--experiment", str(described_in), "--results", str(results)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "eddymark.cli", "generate", FLOW]
    with (folder / "log").open("w") as log:
        jobs = [subprocess.Popen([*command, str(shard), *options], stderr=log, env=environment) for shard in shards]
        failed = [job for job in jobs if job.wait()]
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if failed:
        raise RuntimeError((folder / "log").read_text())
    records = [json.loads((results / FLOW / "generate" / str(s) / "signature.json").read_text()) for s in shards]
    return Cost(seconds, processor, [record["peak_memory_bytes"] for record in records])


def compile_steps() -> None:
    """Let a first small DNS compile the steps, so that the jobs which are measured do not."""
    for precision in ("float32", "float64"):
        with tempfile.TemporaryDirectory() as folder:
            run(experiment(32, precision=precision), Path(folder), [0])


def memory() -> None:
    """Print the peak resident memory of a DNS with filter, true stress and storage, measured and predicted."""
    print("| DNS | precision | runs | peak memory, MB | predicted, MB | ratio |\n|---|---|---|---|---|---|")
    for points, precision, runs in MEMORY_CASES:
        described = experiment(points, precision=precision, runs=runs)
        predicted = generate_memory(described.flows[FLOW], threads=1)
        with tempfile.TemporaryDirectory() as folder:
            (peak,) = run(described, Path(folder), [0]).peak_bytes
        print(
            f"| {points}³ | {precision} | {runs} | {peak / 1e6:.0f} | {predicted / 1e6:.0f} | {predicted / peak:.2f} |",
            flush=True,
        )


def scaling() -> None:
    """Print the throughput of two shards on two cores over that of one, which has the machine for itself."""
    print("\nSeconds until the jobs end (of the processors: per shard); two shards do twice the work of one\n")
    print("| DNS | one shard | two shards | throughput of two over one | load before |\n|---|---|---|---|---|")
    for points in SHARD_GRIDS:
        described = experiment(points, runs=2, shards=2, steps=round(20 * (128 / points) ** 3))
        load = os.getloadavg()[0]
        alone, together = [], []
        for _ in range(REPEATS):
            for shards, costs in (([0], alone), ([0, 1], together)):
                with tempfile.TemporaryDirectory() as folder:
                    costs.append(run(described, Path(folder), shards))
        one, two = (min(cost.seconds for cost in costs) for costs in (alone, together))
        first = min(cost.processor_seconds for cost in alone)
        second = min(cost.processor_seconds for cost in together) / 2
        print(
            f"| {points}³ | {one:.1f} ({first:.1f}) | {two:.1f} ({second:.1f}) | {2 * one / two:.2f} | {load:.1f} |",
            flush=True,
        )


def main() -> None:
    """Print both tables."""
    compile_steps()
    memory()
    scaling()


if __name__ == "__main__":
    main()
