"""Models with constraints: their reference from the data, their cost, and the noise they are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from eddymark.config.schema import Experiment
from eddymark.grid import SpectralSpace
from eddymark.stepping.build import build_stepper, fit_constraints, trainable_stepper, untrained_stepper
from eddymark.stepping.controls import ConstrainedNoise
from eddymark.stepping.hybrid import Hybrid
from eddymark.stepping.rollout import rollout
from eddymark.storage import load_weights, read_trajectories, save_weights
from tests.stepping.constraining import CAP, FIX, energies, noise
from tests.training.conftest import SPACE as TRAINING_SPACE
from tests.training.conftest import experiment, write_split


def with_constraints(model: str, *sections: dict[str, Any], **more: Any) -> Experiment:
    document = experiment().model_dump(mode="json")
    surrogate = document["flows"]["flow"]["surrogates"][model]
    surrogate.update({"constraints": list(sections), **more})
    return Experiment.model_validate(document)


@pytest.mark.parametrize("model", ["network", "hybrid"])
def test_the_reference_is_the_mean_of_the_training_data_and_is_stored_with_the_weights(
    tmp_path: Path, model: str
) -> None:
    write_split(tmp_path, "train", seed=1)
    case = with_constraints(model, CAP)
    made = trainable_stepper(case, "flow", model, 0, results=None).eval()
    assert made.constraints is not None
    # Unfitted, it costs what it costs later: it is there when an untrained model is timed.
    assert bool((made.constraints.reference == 1).all())
    fit_constraints(made.constraints, case, "flow", results=tmp_path)
    files = [tmp_path / "flow" / "generate" / str(shard) / "train.zarr.zip" for shard in range(2)]
    states = torch.as_tensor(read_trajectories(files)["velocity"].to_numpy())
    whole = made.constraints.space.dealiased is False
    assert whole == (model == "network")  # whose known physics are none
    space = SpectralSpace(TRAINING_SPACE.grid, dealiased=not whole)
    expected = space.energy_spectrum(space.to_spectral(states.double())).mean(dim=(0, 1))
    torch.testing.assert_close(made.constraints.reference.double(), expected, rtol=1e-5, atol=1e-12)

    save_weights(tmp_path / "weights.safetensors", made)
    loaded = trainable_stepper(case, "flow", model, 0, results=None).eval()
    load_weights(tmp_path / "weights.safetensors", loaded)
    past = 3 * torch.randn((2, 1, 2, *TRAINING_SPACE.grid.points))
    with torch.inference_mode():
        assert torch.equal(loaded(past), made(past))
        plain = trainable_stepper(experiment(), "flow", model, 0, results=None).eval()
        assert not torch.equal(plain(past), made(past))
    assert not any("constraints" in name for name in plain.state_dict())


def test_an_untrained_model_is_timed_with_its_constraints(tmp_path: Path) -> None:
    stepper = untrained_stepper(with_constraints("network", CAP), "flow", "network-seed0", results=tmp_path)
    assert stepper.constraints is not None
    calls = []
    stepper.constraints.register_forward_hook(lambda *_: calls.append(1))
    with torch.inference_mode():
        stepper(torch.zeros((1, 1, 2, *TRAINING_SPACE.grid.points)))
    assert calls == [1]
    assert not stepper.constraints.training


def test_noise_fills_every_shell_up_to_the_cap(tmp_path: Path) -> None:
    """What a diverging network under a cap does, noise does as well: the reason for a control of each model."""
    write_split(tmp_path, "train", seed=1)
    case = with_constraints(
        "network", {**CAP, "factor": 1.5}, known_physics=["viscosity", "forcing", "incompressibility"]
    )
    control = build_stepper(case, "flow", "network-noise", results=tmp_path)
    assert isinstance(control, ConstrainedNoise)
    assert control.constraints is not None
    space, reference = control.constraints.space, control.constraints.reference
    start = torch.as_tensor(
        read_trajectories(tmp_path / "flow" / "generate" / "0" / "train.zarr.zip")["velocity"].to_numpy()
    )[:, :1]
    made = rollout(control, start.float(), 60)
    assert not made.failures
    late = energies(space, made.velocity[:, 30:].flatten(0, 1)).mean(dim=0)
    # All energies but that of the mean flow are at the cap.
    torch.testing.assert_close(late[1:], 1.5 * reference[1:], rtol=0.02, atol=0)
    assert made.activity is not None
    assert float(made.activity[:, 30:, 0, 0].mean()) > 0.98
    again = build_stepper(case, "flow", "network-noise", results=tmp_path)
    assert torch.equal(rollout(again, start.float(), 3).velocity, made.velocity[:, :4])


def test_the_control_of_a_hybrid_is_noise_without_its_solver(tmp_path: Path) -> None:
    write_split(tmp_path, "train", seed=1)
    control = build_stepper(with_constraints("hybrid", FIX), "flow", "hybrid-noise", results=tmp_path)
    assert isinstance(control, ConstrainedNoise)
    assert control.known_physics.parts == {"viscosity", "forcing", "incompressibility", "momentum"}
    start = noise(TRAINING_SPACE).float().unsqueeze(1)
    made = rollout(control, start, 2).velocity[:, -1]
    assert control.constraints is not None
    torch.testing.assert_close(
        energies(control.constraints.space, made)[:, 1:],
        control.constraints.reference[1:].expand(3, -1),
        rtol=1e-4,
        atol=1e-7,
    )


def test_a_hybrid_conserves_its_mean_flow_if_wanted() -> None:
    parts = ["viscosity", "forcing", "incompressibility", "momentum"]
    past = torch.randn((2, 1, 2, *TRAINING_SPACE.grid.points))
    past = past + 0.5
    means = {}
    for known in (parts[:3], parts):
        case = with_constraints("hybrid", known_physics=known)
        stepper = trainable_stepper(case, "flow", "hybrid", 0, results=None).eval()
        assert isinstance(stepper, Hybrid)
        with torch.inference_mode():
            means[len(known)] = stepper(past).mean(dim=TRAINING_SPACE.axes)
            simulated = stepper.simulation(past).mean(dim=TRAINING_SPACE.axes)
    torch.testing.assert_close(means[4], simulated, rtol=1e-5, atol=1e-6)
    assert float((means[3] - simulated).abs().max()) > 1e-4
