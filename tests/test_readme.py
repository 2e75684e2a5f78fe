"""What the README shows works as shown."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml

from eddymark.config import load_experiment
from eddymark.operators.build import build_operator

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def block(first_line: str) -> str:
    """Return the fenced block that starts with a line."""
    found = re.search(rf"```\w*\n({re.escape(first_line)}\n.*?)```", README, flags=re.DOTALL)
    assert found, first_line
    return found.group(1)


def test_the_changed_experiment_is_accepted(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "config", tmp_path / "config")
    changed = tmp_path / "my.yaml"
    changed.write_text(block("# my.yaml"))
    experiment = load_experiment([tmp_path / "config" / "config.yaml", changed])
    surrogate = experiment.flows["kolmogorov"].surrogates["fno"]
    assert surrogate.seeds == (0, 1, 2)
    assert surrogate.operator is not None
    assert surrogate.operator.arguments["width"] == 48


def test_the_operator_plugs_in_by_its_dotted_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "operators.py").write_text(block("# my_package/operators.py"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_package", raising=False)
    description = yaml.safe_load(block("# config/surrogates/local_mixer.yaml"))
    operator = build_operator(
        description["operator"]["type"],
        description["operator"]["arguments"],
        in_channels=3,
        out_channels=2,
        dimension=2,
        points=(32, 32),
    )
    assert operator(torch.zeros((1, 3, 32, 32))).shape == (1, 2, 32, 32)

    shutil.copytree(REPOSITORY / "config", tmp_path / "config")
    (tmp_path / "config" / "surrogates" / "local_mixer.yaml").write_text(block("# config/surrogates/local_mixer.yaml"))
    changed = tmp_path / "mixer.yaml"
    changed.write_text("flows: {kolmogorov: {surrogates: {local_mixer: {}}}}\n")
    experiment = load_experiment([tmp_path / "config" / "config.yaml", changed])
    assert "local_mixer" in experiment.flows["kolmogorov"].surrogates


def test_every_linked_file_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if not link.startswith("http")]
    assert len(links) > 5
    for link in links:
        assert (REPOSITORY / link).exists(), link
