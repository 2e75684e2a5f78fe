"""A flow of which every axis and component differs, and files which hold it in the layouts of others."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from eddymark.config.schema import Flow
from eddymark.grid import Grid, SpectralSpace

GRID_2D = Grid((24, 16), (2 * math.pi, 2 * math.pi))
GRID_3D = Grid((12, 12, 12), (2 * math.pi, 2 * math.pi, 2 * math.pi))
INTERVAL = 0.2


def velocity(grid: Grid, *, trajectories: int = 6, outputs: int = 9, seed: int = 0) -> NDArray[np.float32]:
    """Return solenoidal fields, `(trajectory, time, component, *grid)`, that have no symmetry between their axes.

    They hold what a grid of 12 points resolves, which is less than their own grid does.
    """
    space = SpectralSpace(grid)
    random = np.random.default_rng(seed)
    noise = torch.as_tensor(random.standard_normal((trajectories, outputs, grid.dimension, *grid.points)))
    smooth = torch.exp(-0.1 * space.wavenumber_squared - 0.2 * space.wavenumbers[0].abs())
    smooth = smooth * (space.wavenumbers.abs() <= 3).all(dim=0)
    states = space.to_physical(space.project(space.to_spectral(noise) * smooth))
    return (states / states.square().mean().sqrt()).numpy().astype(np.float32)


def flow(source: dict[str, Any], *, dimension: int = 2, **changes: Any) -> Flow:
    """Return the configuration of a flow with a source."""
    splits = {split: {"stretches": 1, "length": 0.4} for split in ("train", "validation", "test")}
    mapping: dict[str, Any] = {
        "type": "kolmogorov" if dimension == 2 else "forced_isotropic",
        "reference": {"length": "1", "velocity": "1"},
        "turnover_time": 1.0,
        "sides": ["2pi"] * dimension,
        "viscosity": 0.02,
        "forcing": {"type": "sinusoidal", "wavenumber": 2, "amplitude": 0.1}
        if dimension == 2
        else {"type": "held_shells", "energies": {1: 0.5}},
        "large_eddy_grid": {"points": [12] * dimension},
        "source": source,
        "sampling": {"runs": 2, "spin_up": 0, "interval": INTERVAL, "gap": INTERVAL, "splits": splits},
        "validation": {
            "rollout_length": 0.6,
            "statistics_start": 0.2,
            "survival": {"energy": [0.1, 10], "enstrophy": [0.1, 10]},
            "bootstrap_samples": 100,
        },
        "large_eddy_simulations": {"no_model": {}},
        "surrogates": {},
    }
    return Flow.model_validate(mapping | changes)


def write_cutout(path: Path, fields: NDArray[np.float32], *, first: int = 1, stride: int = 1) -> None:
    """Write one trajectory `(time, component, x, y, z)` as JHTDB's cutout service does."""
    with h5py.File(path, "w") as file:
        for number, field in enumerate(fields):
            file[f"Velocity_{first + number * stride:04d}"] = field.transpose(3, 2, 1, 0)
        for name, points in zip(("xcoor", "ycoor", "zcoor"), fields.shape[2:], strict=True):
            file[name] = np.arange(points, dtype=np.float32) * np.float32(2 * math.pi / points)
