"""The workflow on a real Slurm cluster of two nodes, set up on this machine: `make test-slurm`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from .cluster import Cluster, missing, running_cluster

REPOSITORY = Path(__file__).parents[2]
CONFIGURATION = ("config/experiments/smoke.yaml", "tests/slurm/tiny.yaml")
TRAINING = "kolmogorov/train/fno/seed0"
# The test waits for every status check.
PATIENCE = ("--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2")
LIMIT = 900

REASON = missing()
if not REASON and not os.environ.get("EDDYMARK_TEST_SLURM"):
    REASON = "started by `make test-slurm` only, for it sets up a cluster and takes minutes"
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("slurm") / "cluster") as running:
        yield running


class Workflow:
    """A copy of the repository in which Snakemake is run, on the cluster or on this machine."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder = folder
        for name in ("Snakefile", "workflow", "profiles", "config", "src", "tests"):
            source = REPOSITORY / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, folder / name)  # type: ignore[operator]
        self.environment = os.environ | cluster.environment
        self.environment |= {"PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}

    def start(
        self, *arguments: str, on: str = "slurm", change: dict[str, Any] | None = None, device: str = "cpu"
    ) -> subprocess.Popen[str]:
        """Start Snakemake.

        Arguments:
            arguments: further ones.
            on: "slurm" or "local".
            change: change of the surrogate.
            device: device of the experiment, which counts if the surrogate is changed.
        """
        files = list(CONFIGURATION)
        if change is not None:
            files.append("change.yaml")
            surrogates = {"fno": change}
            (self.folder / "change.yaml").write_text(
                yaml.safe_dump({"device": device, "flows": {"kolmogorov": {"surrogates": surrogates}}})
            )
        where = ["--profile", "profiles/slurm", *PATIENCE] if on == "slurm" else ["--cores", "2"]
        # Python's own limit would not reach the executor's threads, which ignore SIGTERM.
        limited = ["timeout", "-k", "20", str(LIMIT), sys.executable, "-m", "snakemake"]
        return subprocess.Popen(
            [*limited, *where, "--printshellcmds", "--configfile", *files, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0, **options: Any) -> str:
        """Run Snakemake to its end, see `start`, and return what it says."""
        process = self.start(*arguments, **options)
        said, _ = process.communicate()
        assert process.returncode == code, said
        return said

    def record(self, folder: str) -> dict[str, Any]:
        return json.loads((self.folder / "results" / folder / "signature.json").read_text())

    def history(self) -> pd.DataFrame:
        return pd.read_csv(self.folder / "results" / TRAINING / "history.csv")

    def weights(self) -> dict[str, torch.Tensor]:
        return load_file(self.folder / "results" / TRAINING / "weights.safetensors")


def jobs_of(said: str) -> list[str]:
    """Return the folders of the jobs that ran, in alphabetical order."""
    return sorted(re.findall(r"> results/\.work/logs/(\S+)\.log", said))


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> tuple[Workflow, str]:
    """The experiment run on the cluster, and what Snakemake said."""
    workflow = Workflow(tmp_path_factory.mktemp("remote"), cluster)
    # A shard that ends before the first one of its array must not wait for it.
    return workflow, workflow.run("--latency-wait", "10")


@pytest.fixture
def remote(first_run: tuple[Workflow, str]) -> Workflow:
    return first_run[0]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Workflow:
    """The experiment run on this machine without Slurm."""
    workflow = Workflow(tmp_path_factory.mktemp("local"), cluster)
    workflow.run(on="local")
    return workflow


def test_the_shards_of_the_dns_are_one_array_and_every_job_runs_once(first_run: tuple[Workflow, str]) -> None:
    workflow, said = first_run
    assert len(re.findall(r"Submitted array job with Snakemake IDs \d+,\d+ ", said)) == 1
    plan = yaml.safe_load((workflow.folder / "results" / "plan.yaml").read_text())
    assert jobs_of(said) == sorted(plan)
    # Each task of the array is about its own shard alone: none waits for another's outputs or removes them.
    logs = [path.read_text() for path in workflow.folder.glob(".snakemake/slurm_logs/rule_generate/*_*.log")]
    assert sorted("".join(sorted(set(re.findall(r"kolmogorov, shard (\d)", log)))) for log in logs) == ["0", "1"]


def test_the_results_are_those_of_a_local_run(remote: Workflow, local: Workflow) -> None:
    plan = yaml.safe_load((remote.folder / "results" / "plan.yaml").read_text())
    compared = 0
    for folder in plan:
        here, there = local.record(folder), remote.record(folder)
        assert here["signature"] == there["signature"]
        for name, digest in here["outputs"].items():
            # Whatever says how long something took differs from run to run.
            timed = name in {"cost.json", "cost.csv", "model.json"} or folder == "report"
            if not timed:
                assert there["outputs"][name] == digest, f"{folder}/{name}"
                compared += 1
    assert compared > 20
    pd.testing.assert_frame_equal(remote.history(), local.history(), check_exact=True)


def test_a_rerun_has_nothing_to_do(remote: Workflow) -> None:
    assert jobs_of(remote.run()) == []


def test_one_learning_rate_reruns_exactly_its_jobs(remote: Workflow) -> None:
    change = {"schedule": {"learning_rate": 3.0e-3}}
    expected = [TRAINING, "kolmogorov/validate/fno-seed0", "report"]
    assert jobs_of(remote.run(change=change)) == expected
    assert jobs_of(remote.run(change=change)) == []


def test_the_log_of_a_failed_job_is_shown(remote: Workflow) -> None:
    said = remote.run(change={"schedule": {"learning_rate": 1.0e12}}, code=1)
    assert "training diverged in step" in said
    assert "Traceback" not in said


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + LIMIT
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.2)
    return found


def test_a_cancelled_training_resumes_to_the_same_bytes(remote: Workflow, local: Workflow, cluster: Cluster) -> None:
    change = {"schedule": {"steps": 400, "steps_per_epoch": 10}}
    record = f"results/{TRAINING}/signature.json"
    process = remote.start("--", record, change=change)
    wait_for(lambda: list(remote.folder.glob("results/.work/*train-fno*/checkpoints/step-*.ckpt")), "a checkpoint")
    number = cluster.run("squeue", "--noheader", "--format=%i").split()
    assert len(number) == 1
    cluster.run("scancel", *number)
    said, _ = process.communicate()
    assert process.returncode == 1, said
    assert "eddymark: terminated; the same command goes on after its last complete epoch" in said
    assert "CANCELLED" in said
    assert "Traceback" not in said

    remote.run("--", record, change=change)
    log = (remote.folder / f"results/.work/logs/{TRAINING}.log").read_text()
    assert re.match(r"epoch ([2-9]|\d\d) ", log)
    local.run("--", record, on="local", change=change)
    assert (
        remote.record(TRAINING)["outputs"]["weights.safetensors"]
        == (local.record(TRAINING)["outputs"]["weights.safetensors"])
    )


@pytest.mark.parametrize(("nodes", "devices"), [(1, 2), (2, 1), (2, 2)])
def test_a_training_on_several_devices_and_nodes_gives_the_numbers_of_one(
    remote: Workflow, local: Workflow, cluster: Cluster, nodes: int, devices: int
) -> None:
    record = f"results/{TRAINING}/signature.json"
    batch = {"schedule": {"batch_size": 4}}
    local.run("--", record, on="local", change=batch)
    # With device auto, each process asks for a GPU; what it gets here is none, so that it trains on its processor.
    change = batch | {"parallel": {"nodes": nodes, "devices": devices}}
    said = remote.run("--set-resources", "train:runtime=77", "--", record, change=change, device="auto")
    number = re.findall(r"submitted with SLURM jobid (\d+)", said)[-1]
    job = dict(
        part.partition("=")[::2] for part in cluster.run("scontrol", "show", "job", number, "--oneliner").split()
    )
    assert job["TimeLimit"] == "01:17:00"
    assert (job["NumNodes"], job["NumCPUs"]) == (str(nodes), str(nodes * devices))
    assert f"gres:gpu:{devices}" in job.values()
    pd.testing.assert_frame_equal(remote.history(), local.history(), rtol=1e-4)
    for name, value in local.weights().items():
        torch.testing.assert_close(
            remote.weights()[name], value, rtol=1e-4, atol=1e-4 * float(value.abs().max()), msg=name
        )
