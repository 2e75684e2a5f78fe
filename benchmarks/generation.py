"""What jobs of `generate` need: their memory beside what the workflow asks for, and two of them beside one.

Jobs are processes of their own, started by the command that the workflow uses, with one thread each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from eddymark.config import load_experiment, schema
from eddymark.resources import generate_memory

FLOW = "forced_isotropic"
COARSENING = 4
"""DNS points per LES point and axis, as in the default forced isotropic turbulence."""
MEMORY_GRIDS = (64, 128, 256)
SHARD_GRIDS = (64, 128)
REPEATS = 3


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


def run(described: schema.Experiment, folder: Path, shards: Sequence[int]) -> tuple[float, list[int]]:
    """Run shards side by side; return the seconds until all have ended, and the peak resident memory of each."""
    described_in = folder / "experiment.json"
    described_in.write_text(described.model_dump_json())
    results = folder / "results"
    options = ["--experiment", str(described_in), "--results", str(results)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    jobs = [
        subprocess.Popen(
            [sys.executable, "-m", "eddymark.cli", "generate", FLOW, str(shard), *options],
            env=environment,
        )
        for shard in shards
    ]
    failed = [job.args for job in jobs if job.wait()]
    seconds = time.perf_counter() - start
    if failed:
        raise RuntimeError(f"failed: {failed}")
    records = [json.loads((results / FLOW / "generate" / str(s) / "signature.json").read_text()) for s in shards]
    return seconds, [record["peak_memory_bytes"] for record in records]


def memory() -> None:
    """Print the peak resident memory of a DNS with filter, true stress and storage, measured and predicted."""
    print("| DNS | precision | runs | peak memory, MB | predicted, MB | ratio |\n|---|---|---|---|---|---|")
    for points in MEMORY_GRIDS:
        for precision in ("float32", "float64"):
            for runs in (1, 2) if points < max(MEMORY_GRIDS) else (1,):
                described = experiment(points, precision=precision, runs=runs)
                predicted = generate_memory(described.flows[FLOW], threads=1)
                with tempfile.TemporaryDirectory() as folder:
                    _, (peak,) = run(described, Path(folder), [0])
                print(
                    f"| {points}³ | {precision} | {runs} | {peak / 1e6:.0f} | {predicted / 1e6:.0f} | "
                    f"{predicted / peak:.2f} |",
                    flush=True,
                )


def scaling() -> None:
    """Print the throughput of two shards on two cores over that of one, which has the machine for itself."""
    print("\n| DNS | one shard, s | two shards, s | throughput of two over one | load |\n|---|---|---|---|---|")
    for points in SHARD_GRIDS:
        steps = round(20 * (128 / points) ** 3)
        described = experiment(points, runs=2, shards=2, steps=steps)
        alone, together = [], []
        for _ in range(REPEATS):
            for shards, times in (([0], alone), ([0, 1], together)):
                with tempfile.TemporaryDirectory() as folder:
                    times.append(run(described, Path(folder), shards)[0])
        one, two = min(alone), min(together)
        print(f"| {points}³ | {one:.1f} | {two:.1f} | {2 * one / two:.2f} | {os.getloadavg()[0]:.1f} |", flush=True)


def main() -> None:
    """Print both tables."""
    memory()
    scaling()


if __name__ == "__main__":
    main()
