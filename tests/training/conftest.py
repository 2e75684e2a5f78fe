"""Small trajectories with a simple law, and the experiment that trains on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eddymark.config.schema import Experiment
from eddymark.grid import Grid, SpectralSpace
from eddymark.randomness import generator
from eddymark.storage import trajectory_dataset, write_trajectories

POINTS = 12
INTERVAL = 0.2
SPACE = SpectralSpace(Grid(points=(POINTS, POINTS), sides=(2 * np.pi, 2 * np.pi)))


def experiment(**schedule: Any) -> Experiment:
    """Return an experiment of one flow with one model of each kind."""
    stretch = {"stretches": 2, "length": 4.0}
    settings = {
        "steps": 24,
        "steps_per_epoch": 6,
        "batch_size": 4,
        "learning_rate": 5e-3,
        "warm_up_steps": 4,
        "validation_length": 1.0,
    } | schedule
    curriculum = [{"start": 0, "unroll": 1}, {"start": 0.5, "unroll": 3}]
    no_model = {"courant_number": 2.0}
    return Experiment.model_validate(
        {
            "name": "test",
            "seed": 7,
            "device": "cpu",
            "flows": {
                "flow": {
                    "type": "kolmogorov",
                    "reference": {"length": "1", "velocity": "1"},
                    "turnover_time": 1.0,
                    "sides": ["2pi", "2pi"],
                    "viscosity": 0.05,
                    "forcing": {"type": "sinusoidal", "wavenumber": 2, "amplitude": 0.1},
                    "initial_state": {"energy": 0.5, "peak_wavenumber": 2},
                    "direct_numerical_simulation": {"points": [24, 24]},
                    "large_eddy_grid": {"points": [POINTS, POINTS]},
                    "sampling": {
                        "runs": 2,
                        "shards": 2,
                        "spin_up": 0,
                        "interval": INTERVAL,
                        "gap": 0,
                        "splits": {"train": stretch, "validation": stretch, "test": stretch},
                    },
                    "validation": {
                        "rollout_length": 2,
                        "statistics_start": 1,
                        "survival": {"energy": [0.1, 10], "enstrophy": [0.1, 10]},
                    },
                    "large_eddy_simulations": {"no_model": no_model},
                    "surrogates": {
                        "network": {
                            "kind": "surrogate",
                            "operator": {"type": "fno", "arguments": {"width": 6, "modes": 3, "layers": 2}},
                            "known_physics": False,
                            "objective": {"curriculum": curriculum, "shell_energy_weight": 0.01},
                            "schedule": settings,
                        },
                        "closure": {
                            "kind": "les",
                            "solver": no_model | {"closure": {"type": "fitted_spectral_viscosity"}},
                            "objective": {"curriculum": curriculum},
                            "schedule": settings,
                        },
                        "foreign": {
                            "kind": "surrogate",
                            "operator": {
                                "type": "neuralop.models.FNO",
                                "arguments": {"n_modes": [5, 5], "hidden_channels": 4, "positional_embedding": None},
                            },
                            "schedule": settings,
                        },
                        "hybrid": {
                            "kind": "hybrid",
                            "solver": no_model,
                            "operator": {"type": "convolutional", "arguments": {"width": 6, "layers": 2}},
                            "objective": {"curriculum": curriculum},
                            "schedule": settings,
                        },
                    },
                }
            },
        }
    )


def turning_and_decaying(states: torch.Tensor) -> torch.Tensor:
    """Return the states an interval later under the law û(t + T) = û(t) exp(−0.03 k² + 0.3 i k_x)."""
    factor = torch.exp(-0.03 * SPACE.wavenumber_squared + 0.3j * SPACE.wavenumbers[0])
    return SPACE.to_physical(factor * SPACE.to_spectral(states))


def write_split(
    folder: Path,
    split: str,
    *,
    seed: int,
    outputs: int = 21,
    law: Callable[[torch.Tensor], torch.Tensor] = turning_and_decaying,
) -> None:
    """Write two shards of two trajectories which obey a law from random solenoidal states on."""
    for shard in range(2):
        random = generator(seed, split, shard)
        noise = torch.as_tensor(random.standard_normal((2, 2, *SPACE.grid.points)))
        states = [SPACE.to_physical(SPACE.project(SPACE.to_spectral(noise)))]
        for _ in range(outputs - 1):
            states.append(law(states[-1]))
        velocity = torch.stack(states, dim=1).numpy().astype(np.float32)
        path = folder / "flow" / "generate" / str(shard) / f"{split}.zarr.zip"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        dataset = trajectory_dataset(
            velocity, grid=SPACE.grid, interval=INTERVAL, turnover_time=1.0, attributes={"turnover_time": 1.0}
        )
        write_trajectories(path, dataset)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Return a results folder with generated training and validation data."""
    folder = tmp_path / "results"
    write_split(folder, "train", seed=1)
    write_split(folder, "validation", seed=2)
    return folder
