"""However an experiment's files are damaged: a plan, or lines that name file and key; never a traceback."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from eddymark.cli import main
from tests.config.mutations import TEXTS, Files, mutated, read_files, write_files

REPOSITORY = Path(__file__).parents[2]
FILES = read_files(REPOSITORY / "config")
FINDING = re.compile(r"config/(?:config|(?:flows|surrogates)/\w+)\.yaml: \S.*: expected \S.*, found \S.*")


def check(files: Files) -> tuple[int, list[str]]:
    """Return the exit status and the complaints of `eddymark check`, which also plans, for an experiment."""
    errors = io.StringIO()
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name), contextlib.redirect_stderr(errors):
        write_files(Path(name, "config"), files)
        with contextlib.redirect_stdout(io.StringIO()), pytest.raises(SystemExit) as stopped:
            main(["check"])
        status = int(stopped.value.code or 0)
    return status, errors.getvalue().splitlines()


def assert_clear(status: int, lines: list[str]) -> None:
    """Assert that an experiment was accepted silently or refused with one line per finding."""
    assert (status, bool(lines)) in ((0, False), (2, True)), lines
    for line in lines:
        assert FINDING.fullmatch(line), line
        assert len(line) < 600


def test_200_mutated_experiments_are_planned_or_refused_by_file_and_key(tmp_path: Path) -> None:
    accepted: list[Files] = []

    @given(files=mutated(FILES))
    @settings(max_examples=200, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    def check_one(files: Files) -> None:
        status, lines = check(files)
        assert_clear(status, lines)
        if status == 0:
            accepted.append(files)

    check_one()
    assert 10 < len(accepted) < 190
    for index, files in enumerate((accepted[0], accepted[-1])):
        assert_has_a_dag(files, tmp_path / str(index))


def assert_has_a_dag(files: Files, folder: Path) -> None:
    """Assert that Snakemake plans an experiment."""
    write_files(folder / "config", files)
    shutil.copytree(REPOSITORY / "workflow", folder / "workflow")
    shutil.copy(REPOSITORY / "Snakefile", folder)
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert re.search(r"^report +1$", result.stdout + result.stderr, flags=re.MULTILINE)


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("name", ["config.yaml", "flows/kolmogorov.yaml", "surrogates/fno.yaml"])
def test_a_damaged_file_is_named(kind: str, name: str) -> None:
    status, lines = check(FILES | {name: TEXTS[kind](FILES[name])})
    assert_clear(status, lines)
    assert status == (0 if kind in ("byte order mark", "DOS line ends", "an unknown directive") else 2)
