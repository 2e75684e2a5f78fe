"""Initial states, symmetries, scales and sampling of the shipped flows."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from eddymark.checkpoints import SECONDS, Checkpoints
from eddymark.config.schema import Flow as FlowConfiguration
from eddymark.flows import sampling
from eddymark.flows.base import Flow, reflect, turbulence_scales
from eddymark.flows.build import build_flow
from eddymark.flows.schedule import stretches
from eddymark.grid import Grid, SpectralSpace
from eddymark.solvers.time_integration import RungeKutta4
from eddymark.storage import CHUNK_OUTPUTS
from tests.flows.sampled import Sampled, sample_runs
from tests.stopping import StoppedError, stop_after_checkpoint

FOLDER = Path(__file__).parents[2] / "config" / "flows"
FLOWS = ["forced_isotropic", "kolmogorov"]


def flow(name: str, **changes: Any) -> Flow:
    values = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    return build_flow(FlowConfiguration.model_validate(values | {"surrogates": {}} | changes))


@pytest.mark.parametrize("name", FLOWS)
def test_initial_state_is_solenoidal_and_has_its_spectrum(name: str) -> None:
    case = flow(name)
    space = SpectralSpace(case.coarse_grid)
    state = case.initial_spectrum(space, np.random.default_rng(0))
    configuration = case.configuration.initial_state
    assert space.divergence(state).abs().max() < 1e-13
    shells = space.energy_spectrum(state)
    assert float(shells.sum()) == pytest.approx(configuration.energy)
    k = torch.arange(len(shells), dtype=torch.float64)
    shape = k**4 * torch.exp(-2 * (k / configuration.peak_wavenumber) ** 2)
    assert torch.allclose(shells, configuration.energy * shape / shape.sum(), atol=1e-12)


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("seed", range(6))
def test_equations_do_not_change_under_the_flows_symmetries(name: str, seed: int) -> None:
    case = flow(name)
    solver = case.solver(case.coarse_grid, dtype=torch.float64)
    velocity = solver.space.to_physical(case.initial_spectrum(solver.space, np.random.default_rng(1)).unsqueeze(0))

    def transform(field: torch.Tensor) -> torch.Tensor:
        return case.transform(field, np.random.default_rng(seed), shifts=True, symmetries=True)

    tendency = solver.tendency(velocity)
    transformed = solver.tendency(transform(velocity))
    assert torch.allclose(transformed, transform(tendency), atol=1e-11 * float(tendency.abs().max()))


@pytest.mark.parametrize("name", FLOWS)
def test_transformations_vary_and_can_be_switched_off(name: str) -> None:
    case = flow(name)
    window = torch.randn((2, *([case.coarse_grid.dimension]), *case.coarse_grid.points))
    random = np.random.default_rng(0)
    assert torch.equal(case.transform(window, random, shifts=False, symmetries=False), window)
    seen = {float(case.transform(window, random, shifts=True, symmetries=True)[(0,) * window.ndim]) for _ in range(20)}
    assert len(seen) > 10


def test_reflection_is_exact_on_the_grid() -> None:
    grid = Grid((8, 12), (2 * math.pi, 2 * math.pi))
    x = torch.as_tensor(grid.coordinates()[0]).reshape(-1, 1).expand(8, 12)
    velocity = torch.stack([torch.sin(x) + 2, torch.cos(2 * x) + torch.sin(x)])
    expected = torch.stack([torch.sin(x) - 2, torch.cos(2 * x) - torch.sin(x)])
    assert torch.allclose(reflect(velocity, 0, 2), expected, atol=1e-14)


def test_scales_of_a_known_field() -> None:
    """u = (sin y, sin z, sin x): E = 3/4, one shell, ⟨ω²⟩ = 3/2."""
    grid = Grid((16, 16, 16), (2 * math.pi,) * 3)
    x, y, z = torch.meshgrid(*[torch.as_tensor(c) for c in grid.coordinates()], indexing="ij")
    space = SpectralSpace(grid)
    spectrum = space.to_spectral(torch.stack([torch.sin(y), torch.sin(z), torch.sin(x)]).unsqueeze(0))
    scales = turbulence_scales(space, spectrum, viscosity=0.1)
    velocity = math.sqrt(0.5)
    assert scales.energy == pytest.approx(0.75)
    assert scales.root_mean_square_velocity == pytest.approx(velocity)
    assert scales.integral_length == pytest.approx(math.pi / (2 * 0.5) * 0.75)
    assert scales.turnover_time == pytest.approx(scales.integral_length / velocity)
    assert scales.dissipation == pytest.approx(0.1 * 1.5)
    assert scales.taylor_reynolds_number == pytest.approx(velocity**2 * math.sqrt(15 / 1.5) / 0.1)
    assert scales.resolution == pytest.approx(5 * (0.1**3 / 0.15) ** 0.25)


@pytest.mark.parametrize("name", FLOWS)
def test_splits_never_overlap_and_keep_the_gap(name: str) -> None:
    case = flow(name)
    sampling = case.configuration.sampling
    parts = sorted(part for cuts in stretches(case).values() for part in cuts)
    assert parts[0][0] == round(sampling.spin_up / sampling.interval)
    for (_, end), (start, _) in pairwise(parts):
        assert start - end == round(sampling.gap / sampling.interval) > 0


@pytest.fixture(scope="module")
def small() -> Flow:
    sampling = {
        "runs": 2,
        "spin_up": 0.4,
        "interval": 0.2,
        "gap": 0.4,
        "splits": {name: {"stretches": 2, "length": 0.4} for name in ("train", "validation", "test")},
    }
    numerics = {"points": [48, 48], "courant_number": 1.0, "precision": "float64"}
    return flow("kolmogorov", viscosity=0.01, sampling=sampling, direct_numerical_simulation=numerics)


def test_a_run_is_the_same_alone_and_in_a_batch_up_to_the_time_step(small: Flow) -> None:
    together = sample_runs(small, "k", seed=3, runs=[0, 1], device=torch.device("cpu"))
    alone = sample_runs(small, "k", seed=3, runs=[1], device=torch.device("cpu"))
    assert together.runs["train"] == [0, 0, 1, 1]
    assert together.velocity["train"].shape == (4, 3, 2, 32, 32)
    np.testing.assert_allclose(together.velocity["test"][2:], alone.velocity["test"], atol=2e-4)
    assert np.abs(together.velocity["test"][:2] - together.velocity["test"][2:]).max() > 0.1


def test_sampling_repeats_bit_for_bit_and_its_budget_closes(small: Flow) -> None:
    first, second = (sample_runs(small, "k", seed=3, runs=[0], device=torch.device("cpu")) for _ in range(2))
    for split in first.velocity:
        np.testing.assert_array_equal(first.velocity[split], second.velocity[split])
    interior = first.budget.iloc[1:-1]
    assert (
        interior["residual"].abs().max()
        < 0.02 * interior["dissipation"].mean() + 0.02 * interior["injection"].abs().max()
    )


def test_stretches_without_a_gap_share_the_stress_of_their_common_output(small: Flow) -> None:
    sampling = small.configuration.sampling.model_copy(update={"gap": 0.0})
    gapless = build_flow(small.configuration.model_copy(update={"sampling": sampling}))
    sampled = sample_runs(gapless, "k", seed=3, runs=[0, 1], device=torch.device("cpu"))
    assert sampled.stress.shape == (4, 3, 2, 32, 32)
    for first, second in ((0, 1), (2, 3)):
        np.testing.assert_array_equal(sampled.stress[first, -1], sampled.stress[second, 0])
        assert (sampled.stress[first, 0] != sampled.stress[second, -1]).any()


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", FLOWS)
def test_a_killed_dns_goes_on_from_its_checkpoint_to_the_same_bytes(
    name: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stretch = {"stretches": 1, "length": 0.4}
    case = flow(
        name,
        viscosity=0.05,
        sampling={
            "runs": 3,
            "spin_up": 0.4,
            "interval": 0.2,
            "gap": 0.4,
            "splits": dict.fromkeys(("train", "validation", "test"), stretch),
        },
        direct_numerical_simulation={"points": [32] * (3 if name == "forced_isotropic" else 2), "precision": precision},
        large_eddy_grid={"points": [16] * (3 if name == "forced_isotropic" else 2)},
    )

    def run(checkpoints: Checkpoints | None = None) -> Sampled:
        return sample_runs(case, name, seed=3, runs=[0, 2], device=torch.device("cpu"), checkpoints=checkpoints)

    undisturbed = run()
    # During the spin-up, within a stretch (twice in a row), in a gap, and at the last output but one.
    for number in (1, 3, 1, 2, 4):
        with monkeypatch.context() as patch:
            stop_after_checkpoint(number, patch)
            with pytest.raises(StoppedError):
                run(Checkpoints(tmp_path, {}))
    capsys.readouterr()
    resumed = run(Checkpoints(tmp_path, {}))
    assert re.search(rf"DNS of {name} goes on after 2\.2 turnover times", capsys.readouterr().err)
    assert resumed.files == undisturbed.files
    assert undisturbed.stress_outputs == [0, 1, 2]
    assert undisturbed.stress.any(axis=(0, 2, *range(3, undisturbed.stress.ndim))).all()
    pd.testing.assert_frame_equal(resumed.budget, undisturbed.budget, check_exact=True)
    assert resumed.scales == undisturbed.scales
    assert resumed.runs == undisturbed.runs


def test_a_dns_killed_again_and_again_within_output_intervals_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps are taken one by one, and some intervals again in more steps, as the flow becomes faster on the way."""
    stretch = {"stretches": 1, "length": 0.5}
    case = flow(
        "kolmogorov",
        viscosity=0.05,
        sampling={
            "runs": 2,
            "spin_up": 0,
            "interval": 0.25,
            "gap": 0.25,
            "splits": dict.fromkeys(("train", "validation", "test"), stretch),
        },
        direct_numerical_simulation={"points": [32, 32], "integrator": "runge_kutta_4", "courant_number": 1.0},
        large_eddy_grid={"points": [16, 16]},
    )
    monkeypatch.setattr(sampling, "POINTS_AT_ONCE", 1)
    monkeypatch.setattr(RungeKutta4, "stability_limit", 0.8)
    restarts = []
    restart = sampling._Interval.restart

    def counted(self: sampling._Interval, steps: int) -> None:
        restarts.append((self.steps, steps))
        restart(self, steps)

    monkeypatch.setattr(sampling._Interval, "restart", counted)

    def run(checkpoints: Checkpoints | None = None) -> Sampled:
        return sample_runs(case, "k", seed=3, runs=[0, 1], device=torch.device("cpu"), checkpoints=checkpoints)

    undisturbed = run()
    assert restarts
    assert all(finer > steps for steps, finer in restarts)
    kills = 0
    while True:
        with monkeypatch.context() as patch:
            stop_after_checkpoint(7, patch)
            try:
                resumed = run(Checkpoints(tmp_path, {}))
                break
            except StoppedError:
                kills += 1
    assert kills > 10
    assert resumed.files == undisturbed.files
    pd.testing.assert_frame_equal(resumed.budget, undisturbed.budget, check_exact=True)
    assert resumed.scales == undisturbed.scales


def test_neither_memory_nor_checkpoints_grow_with_a_trajectory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = 4
    lengths = {"train": chunks * CHUNK_OUTPUTS, "validation": 1, "test": 1}
    interval = 0.01
    case = flow(
        "kolmogorov",
        viscosity=0.05,
        sampling={
            "runs": 1,
            "spin_up": 0,
            "interval": interval,
            "gap": interval,
            "splits": {split: {"stretches": 1, "length": outputs * interval} for split, outputs in lengths.items()},
        },
        direct_numerical_simulation={"points": [32, 32]},
        large_eddy_grid={"points": [16, 16]},
    )
    kept, stored, trims = [], [], []
    original = Checkpoints.save

    def save(self: Checkpoints, done: int, *, state: dict[str, torch.Tensor], **others: Any) -> None:
        kept.append(sum(value.nbytes for name, value in state.items() if name.startswith("train/")))
        original(self, done, state=state, **others)
        # New are the state and the rows since the last checkpoint; chunks are in the stores.
        stored.append(sum((tmp_path / f"{name}-{done:08d}.safetensors").stat().st_size for name in ("part", "state")))

    monkeypatch.setenv(SECONDS, "0")
    monkeypatch.setattr(Checkpoints, "save", save)
    monkeypatch.setattr(sampling, "give_back_unused_memory", lambda: trims.append(1))
    sample_runs(case, "k", seed=3, runs=[0], device=torch.device("cpu"), checkpoints=Checkpoints(tmp_path, {}))
    field = 4 * 2 * 16**2
    assert max(kept) == (CHUNK_OUTPUTS - 1) * field
    rounds = [stored[first : first + CHUNK_OUTPUTS] for first in range(0, chunks * CHUNK_OUTPUTS, CHUNK_OUTPUTS)]
    assert max(rounds[-1]) <= max(rounds[0]) + 64
    # What is free inside the heap is given back now and then; `give_back_unused_memory` has a test of its own.
    assert len(trims) == len(stored) // sampling.OUTPUTS_BETWEEN_TRIMS >= chunks


def test_a_filtered_flow_is_driven_by_the_filtered_force() -> None:
    plain = flow("kolmogorov")
    grid = {"points": [32, 32], "filter": {"type": "gaussian", "width": 0.5}}
    smooth = flow("kolmogorov", large_eddy_grid=grid)
    forces = [case.solver(case.coarse_grid, dtype=torch.float64).forcing.steady for case in (plain, smooth)]
    assert forces[0] is not None
    assert forces[1] is not None
    assert torch.allclose(forces[1], forces[0] * math.exp(-(0.5**2) * 4**2 / 24), atol=1e-14)
    fine = smooth.solver(smooth.fine_grid, dtype=torch.float64).forcing.steady
    assert fine is not None
    assert float(fine.abs().max()) == pytest.approx(0.5)
