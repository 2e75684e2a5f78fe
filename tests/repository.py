"""A copy of the repository, in which a test runs the workflow."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


def copy_repository(folder: Path) -> Path:
    """Copy what a run needs, so that editing the sources while a test runs does not interfere."""
    for name in ("Snakefile", "workflow", "profiles", "config", "src"):
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


def snakemake_command(*arguments: str, cores: int = 2) -> list[str]:
    """Return the command line of a run."""
    return [sys.executable, "-m", "snakemake", "--cores", str(cores), *arguments]


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """Return the environment of a run in a copy of the repository: its sources come first."""
    return os.environ | {"PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1"} | variables
