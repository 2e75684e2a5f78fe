from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from eddymark.config.training import Augmentation, CurriculumStage, Objective
from eddymark.errors import EddymarkError
from eddymark.flows.build import build_flow
from eddymark.storage import read_trajectories
from eddymark.training.windows import TrainingBatches, Windows, unroll_at

from .conftest import experiment

SHARDS = ("0", "1")
CURRICULUM = Objective(curriculum=(CurriculumStage(start=0, unroll=1), CurriculumStage(start=0.4, unroll=3)))


def files(results: Path, split: str = "train") -> list[Path]:
    return [results / "flow" / "generate" / shard / f"{split}.zarr.zip" for shard in SHARDS]


def batches(
    results: Path, *, shifts: bool = False, seed: int = 1, per_epoch: int = 10, noise: float = 0.0
) -> TrainingBatches:
    return TrainingBatches(
        Windows(files(results), dtype=torch.float32),
        history=2,
        objective=CURRICULUM,
        steps=25,
        steps_per_epoch=per_epoch,
        batch_size=4,
        augmentation=Augmentation(shifts=shifts, symmetries=shifts, input_noise=noise),
        flow=build_flow(experiment().flows["flow"]),
        seed=seed,
        names=("flow", "network", 0),
    )


@pytest.mark.parametrize("cache_bytes", [0, 2**30])
def test_windows_are_consecutive_outputs_of_one_trajectory(results: Path, cache_bytes: int) -> None:
    windows = Windows(files(results), dtype=torch.float64, cache_bytes=cache_bytes)
    velocity = read_trajectories(files(results))["velocity"].values
    assert windows.trajectories == 4
    assert windows.count(5) == 4 * (21 - 5 + 1)
    for index, (trajectory, start) in {0: (0, 0), 16: (0, 16), 17: (1, 0), 40: (2, 6), 67: (3, 16)}.items():
        window = windows.read(index, 5)
        assert window.dtype == torch.float64
        np.testing.assert_array_equal(window.numpy(), velocity[trajectory, start : start + 5])


def test_memory_for_whole_trajectories_is_bounded(results: Path) -> None:
    trajectory = read_trajectories(files(results))["velocity"][0].values.nbytes
    windows = Windows(files(results), dtype=torch.float32, cache_bytes=2 * trajectory + 1)
    for index in range(windows.count(5)):
        windows.read(index, 5)
    assert len(windows._cache) == 2


def test_nothing_is_read_before_it_is_asked_for(results: Path) -> None:
    windows = Windows(files(results), dtype=torch.float32)
    assert not windows._cache
    windows.read(0, 5)
    assert list(windows._cache) == [0]


def test_spread_windows_cover_all_trajectories(results: Path) -> None:
    windows = Windows(files(results), dtype=torch.float32)
    velocity = read_trajectories(files(results))["velocity"].values
    everything = windows.spread(10, most=100, stride=10).numpy()
    expected = [velocity[trajectory, start : start + 10] for trajectory in range(4) for start in (0, 10)]
    np.testing.assert_array_equal(everything, np.stack(expected))
    few = windows.spread(10, most=3, stride=10).numpy()
    np.testing.assert_array_equal(few, np.stack([expected[i] for i in (0, 4, 7)]))


def test_curriculum_switches_at_its_fraction_of_the_steps() -> None:
    assert [unroll_at(CURRICULUM, step, 10) for step in range(10)] == [1] * 4 + [3] * 6


def test_an_epoch_switches_in_the_middle_and_the_last_one_is_shorter(results: Path) -> None:
    data = batches(results)
    assert [draw.outputs for draw in data.epoch(0)] == [1] * 10
    assert [draw.outputs for draw in data.epoch(1)] == [3] * 10
    assert [draw.outputs for draw in data.epoch(2)] == [3] * 5
    data.objective = Objective(curriculum=(CurriculumStage(start=0, unroll=1), CurriculumStage(start=0.6, unroll=2)))
    assert [draw.outputs for draw in data.epoch(1)] == [1] * 5 + [2] * 5
    assert data[data.epoch(1)[4]].shape == (4, 3, 2, 12, 12)
    assert data[data.epoch(1)[5]].shape == (4, 4, 2, 12, 12)


def test_every_window_is_drawn_before_one_is_drawn_again(results: Path) -> None:
    data = batches(results, per_epoch=25)
    data.objective = Objective()
    count = data.windows.count(3)
    drawn = [window for draw in data.epoch(0) for window in draw.windows]
    assert sorted(drawn[:count]) == list(range(count))
    assert set(Counter(drawn).values()) == {1, 2}


def test_order_depends_on_seed_and_epoch_only(results: Path) -> None:
    assert batches(results).epoch(1) == batches(results).epoch(1)
    assert batches(results).epoch(0)[0].windows != batches(results).epoch(1)[0].windows
    assert batches(results).epoch(0)[0].windows != batches(results, seed=2).epoch(0)[0].windows


def test_augmentation_repeats_for_equal_draws_and_differs_between_epochs(results: Path) -> None:
    data = batches(results, shifts=True)
    draw = data.epoch(0)[3]
    assert torch.equal(data[draw], batches(results, shifts=True)[draw])
    later = type(draw)(epoch=1, outputs=draw.outputs, windows=draw.windows, positions=draw.positions)
    assert not torch.equal(data[draw], data[later])
    plain = batches(results)[draw]
    assert not torch.equal(data[draw], plain)
    torch.testing.assert_close(data[draw].square().mean((1, 2, 3, 4)), plain.square().mean((1, 2, 3, 4)))


def test_trajectories_shorter_than_the_longest_window_are_refused(results: Path) -> None:
    with pytest.raises(EddymarkError, match="have 21 outputs; history and unrolled steps need 26"):
        TrainingBatches(
            Windows(files(results), dtype=torch.float32),
            history=1,
            objective=Objective(curriculum=(CurriculumStage(start=0, unroll=1), CurriculumStage(start=0.9, unroll=25))),
            steps=10,
            steps_per_epoch=5,
            batch_size=1,
            augmentation=Augmentation(),
            flow=build_flow(experiment().flows["flow"]),
            seed=0,
            names=(),
        )


def test_noise_is_solenoidal_has_its_size_and_leaves_the_targets_alone(results: Path) -> None:
    clean, noisy = batches(results), batches(results, noise=0.1)
    draw = clean.epoch(0)[0]
    before, after = clean[draw], noisy[draw]
    assert torch.equal(after[:, 2:], before[:, 2:])
    noise = after[:, :2] - before[:, :2]
    rms = before.square().flatten(1).mean(dim=1).sqrt()
    assert torch.allclose(noise.square().flatten(1).mean(dim=1).sqrt(), 0.1 * rms, rtol=1e-4)
    spectrum = noisy.space.to_spectral(noise)
    assert noisy.space.divergence(spectrum).abs().max() < 1e-5
    assert torch.equal(noisy[draw], after)
