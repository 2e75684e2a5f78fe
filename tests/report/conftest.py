"""One synthetic results tree for all tests of the report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from eddymark.config.schema import Experiment
from tests.report.synthetic import write_tree


@dataclass(frozen=True)
class Tree:
    """A written results tree and the experiment it belongs to."""

    experiment: Experiment
    results: Path


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    results = tmp_path_factory.mktemp("synthetic") / "results"
    return Tree(write_tree(results), results)
