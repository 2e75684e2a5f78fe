"""What the controls imitate: averages over all training data, whatever the number of files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from eddymark.config.schema import Experiment
from eddymark.flows.build import build_flow
from eddymark.stepping.build import build_stepper
from eddymark.stepping.controls import ConstrainedNoise, MatchedNoise
from eddymark.stepping.known_physics import KnownPhysics
from eddymark.storage import read_trajectories
from tests.training.conftest import INTERVAL, SPACE, experiment, write_split

TRANSIENT = {
    "type": "mcwilliams",
    "forcing": {"type": "none"},
    "sampling": {
        "shards": 2,
        "spin_up": 0,
        "interval": INTERVAL,
        "splits": {name: {"runs": 1, "length": 4} for name in ("train", "validation", "test")},
    },
}


@pytest.mark.parametrize("transient", [False, True])
def test_noise_has_the_spectrum_and_the_size_of_the_training_data_of_all_shards(
    tmp_path: Path, transient: bool
) -> None:
    case = experiment()
    if transient:
        flow = case.flows["flow"].model_dump(mode="json") | TRANSIENT
        case = Experiment.model_validate(case.model_dump(mode="json") | {"flows": {"flow": flow}})
    write_split(tmp_path, "train", seed=1)
    files = [tmp_path / "flow" / "generate" / str(shard) / "train.zarr.zip" for shard in range(2)]
    # (trajectory, time, component, *grid), all in memory
    states = torch.as_tensor(read_trajectories(files)["velocity"].to_numpy())
    spectra = SPACE.energy_spectrum(SPACE.to_spectral(states.double())).mean(dim=0)
    matched = build_stepper(case, "flow", "matched_noise", results=tmp_path)
    assert isinstance(matched, MatchedNoise)
    expected = spectra if transient else spectra.mean(dim=0, keepdim=True)
    torch.testing.assert_close(matched.spectra.double(), expected, rtol=1e-5, atol=1e-9)

    solver = build_flow(case.flows["flow"]).solver(SPACE.grid, dtype=torch.float64)
    free = KnownPhysics(solver, INTERVAL).free(states[:, :-1].double().flatten(0, 1))
    learned = states[:, 1:].double() - solver.space.to_physical(free).unflatten(0, (len(states), -1))
    squares = learned.square().mean(dim=(0, 2, 3, 4))
    constrained = build_stepper(case, "flow", "constrained_noise", results=tmp_path)
    assert isinstance(constrained, ConstrainedNoise)
    sizes = squares.sqrt() if transient else squares.mean().sqrt().reshape(1)
    torch.testing.assert_close(torch.tensor(constrained.amplitudes).double(), sizes, rtol=1e-5, atol=1e-9)
