"""The YAML of docs/external_data.md is accepted as it stands there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from eddymark.config import load_experiment

REPOSITORY = Path(__file__).parents[2]
BLOCKS = re.findall(
    r"```yaml\n(.*?)```", (REPOSITORY / "docs" / "external_data.md").read_text(encoding="utf-8"), flags=re.DOTALL
)


def flow_of(block: str) -> dict[str, Any]:
    """Return the flow of a block; those which only show a source are completed by the first."""
    flow = yaml.safe_load(BLOCKS[0])
    assert isinstance(flow, dict)
    flow |= yaml.safe_load(block)
    chosen = flow["source"].get("trajectories")
    if chosen is not None:
        ranges = [re.findall(r"\d+", str(item)) for numbers in chosen.values() for item in numbers]
        flow["sampling"]["runs"] = sum(int(ends[-1]) - int(ends[0]) + 1 for ends in ranges)
    return flow


@pytest.mark.parametrize("block", BLOCKS, ids=[str(number) for number in range(len(BLOCKS))])
def test_every_example_of_the_page_is_a_valid_flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: str) -> None:
    assert len(BLOCKS) == 6
    shutil.copytree(REPOSITORY / "config", tmp_path / "config")
    flow = flow_of(block)
    (tmp_path / "config" / "flows" / "mine.yaml").write_text(yaml.safe_dump(flow))
    (tmp_path / "my.yaml").write_text("name: mine\nflows: {forced_isotropic: null, kolmogorov: null, mine: {}}\n")
    files = flow["source"]["files"]
    for pattern in [files] if isinstance(files, str) else files:
        path = tmp_path / pattern.replace("*", "0")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    experiment = load_experiment([tmp_path / "config" / "config.yaml", tmp_path / "my.yaml"])
    assert list(experiment.flows) == ["mine"]
    assert experiment.flows["mine"].source is not None
