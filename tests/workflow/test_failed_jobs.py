"""What a user sees of a job that fails in the workflow: its log, not only its name."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small_experiment import write_experiment

REPOSITORY = Path(__file__).parents[2]
FAILURE = "kolmogorov/generate/0 failed: ZeroDivisionError: no points"

pytestmark = pytest.mark.workflow


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(folder / "src"), "COLUMNS": "300"}
    command = (sys.executable, "-m", *command)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A copy of the repository whose first stage raises."""
    for name in ("workflow", "profiles", "src"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "Snakefile", tmp_path)
    write_experiment(tmp_path / "config")
    stage = tmp_path / "src" / "eddymark" / "stages" / "generate.py"
    stage.write_text("def run(*_, **__):\n    raise ZeroDivisionError('no points')\n")
    return tmp_path


@pytest.mark.parametrize("logger", [[], ["--logger", "rich"]], ids=["plain", "rich"])
def test_the_log_of_a_failed_job_is_shown_and_its_last_line_is_its_state(broken: Path, logger: list[str]) -> None:
    if logger and importlib.util.find_spec("snakemake_logger_plugin_rich") is None:
        pytest.skip("snakemake-logger-plugin-rich is not installed")
    target = "results/kolmogorov/generate/0/signature.json"
    result = run(broken, "snakemake", "--cores", "1", *logger, "--", target)
    assert result.returncode == 1
    shown = (result.stdout + result.stderr).splitlines()
    assert any("ZeroDivisionError: no points" in line and "eddymark:" not in line for line in shown), shown
    assert any(f"eddymark: {FAILURE}" in line for line in shown), shown
    states = run(broken, "eddymark.cli", "status").stdout.splitlines()
    assert states[0].startswith(f"kolmogorov/generate/0: failed, {FAILURE}")
    assert states[0].endswith("(log: results/.work/logs/kolmogorov/generate/0.log)")


def test_jobs_that_can_start_are_looked_for_when_others_end_and_not_in_between(broken: Path) -> None:
    stage = broken / "src" / "eddymark" / "stages" / "generate.py"
    stage.write_text(
        "import time\n\ndef run(*_, **__):\n    time.sleep(2.5)\n    raise ZeroDivisionError('no points')\n"
    )
    targets = [f"results/kolmogorov/generate/{shard}/signature.json" for shard in (0, 1)]
    result = run(broken, "snakemake", "--cores", "1", "--keep-going", "--verbose", "--", *targets)
    looks = [line for line in result.stderr.splitlines() if line.startswith("Resources before job selection")]
    assert len(looks) == len(targets), result.stderr
