"""The operators of config/surrogates can be built for the default flows as they are."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import yaml

from eddymark.operators import OPERATORS
from eddymark.operators.build import build_operator

FOLDER = Path(__file__).parents[2] / "config" / "surrogates"
FILES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
LARGEST = 5_000_000


@pytest.mark.parametrize("points", [(32, 32), (16, 16, 16)])
@pytest.mark.parametrize("name", FILES)
def test_the_operator_fits_the_default_grids_and_starts_small(name: str, points: tuple[int, ...]) -> None:
    operator = (yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))).get("operator")
    if operator is None or operator["type"] not in OPERATORS:
        pytest.skip("it has no operator of this package")
    torch.manual_seed(0)
    dimension = len(points)
    built = build_operator(
        operator["type"], operator["arguments"], in_channels=dimension, out_channels=dimension, dimension=dimension
    )
    assert sum(math.prod(parameter.shape) for parameter in built.parameters()) < LARGEST
    with torch.no_grad():
        rms = float(built(torch.randn(1, dimension, *points)).square().mean().sqrt())
    assert 0.001 < rms < 0.3
