"""What a network gets from its section of the experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from eddymark.config import load_experiment
from eddymark.flows.build import build_flow
from eddymark.operators.sfno import SpatiotemporalFourierNeuralOperator
from eddymark.stepping.network import untrained_network
from tests.small_experiment import write_experiment

OPERATOR = {"type": "sfno", "arguments": {"width": 4, "modes": 3, "time_modes": 1, "latent_frames": 3}}


@pytest.mark.parametrize(
    ("model", "changes", "times", "seen"),
    [
        # Two components of three past states, the flow's static field.
        ("fno", {"history": 3, "bundle": 2, "objective": {"curriculum": [{"start": 0, "unroll": 2}]}}, (3, 2), 2 + 1),
        # What a hybrid knows of the past is in the change over its LES step, which is a field without a time.
        ("hybrid", {}, (1, 1), 2 + 2 + 1),
    ],
)
def test_history_and_bundle_are_the_times_of_a_space_time_operator(
    tmp_path: Path, model: str, changes: dict[str, Any], times: tuple[int, int], seen: int
) -> None:
    edits = [(f"surrogates/{model}.yaml", key, value) for key, value in {"operator": OPERATOR, **changes}.items()]
    experiment = load_experiment([write_experiment(tmp_path / "config", *edits)])
    network = untrained_network(build_flow(experiment.flows["kolmogorov"]), model, static_fields=1)
    assert isinstance(network, SpatiotemporalFourierNeuralOperator)
    assert (network.input_times, network.output_times, network.components) == (*times, 2)
    assert network.lift.in_features == seen
    channels = (times[0] - 1) * 2 + seen
    assert network(torch.zeros(1, channels, 32, 32)).shape == (1, times[1] * 2, 32, 32)
