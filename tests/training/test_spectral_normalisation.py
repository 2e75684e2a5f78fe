"""Linear maps stay within their bound while a network is trained, and its weights are plain afterwards."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from eddymark.errors import EddymarkError
from eddymark.operators import OPERATORS
from eddymark.operators.spectral_convolution import SpectralConvolution
from eddymark.training.spectral_normalisation import bound_linear_maps, iterate, release_linear_maps
from tests.operators.cases import build, random_field

from .conftest import experiment
from .runs import assert_same_training, run, stop_in_step


def norms(name: str, weight: torch.Tensor) -> torch.Tensor:
    """Return the largest singular values of the matrices of a stored weight."""
    matrices = torch.view_as_complex(weight) if weight.dim() == 4 and "convolutions" in name else weight.flatten(1)
    return torch.linalg.matrix_norm(matrices, ord=2)


def test_each_matrix_is_brought_down_to_the_bound_and_no_other_is_changed() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 7), nn.Conv2d(3, 4, 3), SpectralConvolution(4, 6, modes=(2, 2), variance=0.3))
    before = copy.deepcopy(network)
    bound_linear_maps(network, bound=1.2)
    for _ in range(300):
        iterate(network)
    release_linear_maps(network)
    for old, new in zip(before, network, strict=True):
        assert isinstance(old.weight, torch.Tensor)
        assert isinstance(new.weight, torch.Tensor)
        spectral = isinstance(old, SpectralConvolution)
        weights = (old.weight.detach(), new.weight.detach())
        pairs = [torch.view_as_complex(weight) if spectral else weight.flatten(1) for weight in weights]
        sizes = [torch.linalg.matrix_norm(one, ord=2) for one in pairs]
        torch.testing.assert_close(sizes[1], sizes[0].clamp_max(1.2), rtol=1e-3, atol=0)
        factors = (sizes[1] / sizes[0]).reshape(-1, *(1,) * (old.weight.dim() - 1))
        torch.testing.assert_close(new.weight, old.weight * (factors if spectral else factors[0]), rtol=1e-3, atol=1e-4)
    assert before.state_dict().keys() == network.state_dict().keys()


@pytest.mark.parametrize("name", OPERATORS)
def test_every_trained_matrix_of_every_operator_has_a_bound(name: str) -> None:
    network = build(name, 2)
    bound_linear_maps(network, bound=0.3)
    free = {key.split(".")[-1] for key, weight in network.named_parameters() if weight.dim() > 1}
    # Thresholds, queries, amplitudes of waves and temperatures: no matrix acts on the field.
    assert free - {"original"} <= {"thresholds", "tokens", "sines", "cosines", "logit_scale"}


@pytest.mark.parametrize("name", ["ffno", "iafno", "mgno", "transform_once"])
def test_convolutions_and_spectral_maps_of_all_kinds_are_bounded(name: str) -> None:
    network = build(name, 2)
    before = network.state_dict()
    bound_linear_maps(network, bound=0.3)
    network(random_field(name, 2)).square().mean().backward()
    for _ in range(300):
        iterate(network)
    release_linear_maps(network)
    assert network.state_dict().keys() == before.keys()
    for key, weight in network.state_dict().items():
        if weight.dim() == 1 or "thresholds" in key:
            assert torch.equal(weight, before[key])
            continue
        if name == "transform_once" and weight.dim() == 3:
            assert float(torch.linalg.matrix_norm(weight, ord=2).max()) < 0.3 * 1.001, key
            continue
        parts = {"ffno": 0 if "convolutions" in key else None, "iafno": -1 if "mix" in key else None}.get(name)
        pairs = weight.flatten(1) if parts is None else torch.view_as_complex(weight.movedim(parts, -1).contiguous())
        assert float(torch.linalg.matrix_norm(pairs, ord=2).max()) < 0.3 * 1.001, key


def test_stored_weights_are_plain_and_within_the_bound(results: Path, tmp_path: Path) -> None:
    free, bounded = (
        load_file(run(experiment(learning_rate=0.05, **options), results, tmp_path / name) / "weights.safetensors")
        for name, options in (("free", {}), ("bounded", {"spectral_normalisation": 0.8}))
    )
    assert free.keys() == bounded.keys()
    linear = [name for name in free if name.endswith("weight")]
    assert max(float(norms(name, free[name]).max()) for name in linear) > 1.0
    assert max(float(norms(name, bounded[name]).max()) for name in linear) < 0.8 * 1.03


def test_a_bounded_training_resumes_to_the_identical_result(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = experiment(spectral_normalisation=0.8)
    with monkeypatch.context() as patch:
        stop_in_step(15, patch)
        with pytest.raises(EddymarkError):
            run(setup, results, tmp_path / "stopped")
    resumed = run(setup, results, tmp_path / "stopped")
    assert_same_training(resumed, run(setup, results, tmp_path / "undisturbed"))
