"""A synthetic results tree: small, random but plausible, in the layout that the other stages write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from eddymark.config.schema import Experiment
from eddymark.grid import Grid, SpectralSpace
from eddymark.records import RECORD, record_text
from eddymark.storage import trajectory_dataset, write_trajectories
from tests.report.expert import averages, expert_statistics
from tests.report.fakes import (
    INTERVAL,
    LENGTH,
    STEPPERS,
    TEST_LENGTH,
    TRAJECTORIES,
    Fake,
    flow_mapping,
    score_frame,
)


def turbulent_velocity(random: np.random.Generator, grid: Grid, times: int, slope: float) -> np.ndarray:
    """Random solenoidal modes with E(k) ~ k^-5/3 whose phases turn slowly, (time, component, *grid)."""
    space = SpectralSpace(grid)
    d = grid.dimension
    noise = space.to_spectral(torch.from_numpy(random.standard_normal((d, *grid.points))))
    k = space.wavenumber_squared.sqrt().clamp(min=1)
    amplitude = k ** (-(5 / 3 + d - 1) / 2 + slope / 2) * (space.wavenumber_squared > 0)
    spectrum = space.project(noise * amplitude)
    spectrum = spectrum * (0.5 / space.mode_energy(spectrum).sum()).sqrt()
    drift = torch.from_numpy(random.standard_normal((d,)))
    turn = sum(drift[axis] * space.wavenumbers[axis] for axis in range(d))
    frames = [spectrum * torch.exp(0.2j * step * turn) for step in range(times)]
    return space.to_physical(torch.stack(frames)).numpy().astype(np.float32)


def write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def record(folder: Path, seconds: float, **measured: float) -> None:
    content = record_text(
        {
            "signature": "ab" * 32,
            "outputs": {},
            "upstream": {},
            "seconds": seconds,
            "measured": measured,
            "peak_memory_bytes": 4.2e8,
            "machine": {"processor": "Example CPU", "cores": 2},
            "revision": {"commit": "0123abc", "modified": False},
            "started": "2025-01-01T00:00:00+00:00",
            "finished": "2025-01-01T00:01:00+00:00",
            "versions": {"python": "3.11", "torch": "2.13.0"},
        }
    )
    (folder / RECORD).write_text(content, encoding="utf-8")


def write_data(folder: Path, grid: Grid, random: np.random.Generator, resolution: float) -> None:
    d = grid.dimension
    for shard in range(2):
        place = folder / str(shard)
        place.mkdir(parents=True)
        for split in ("train", "validation", "test"):
            velocity = np.stack([turbulent_velocity(random, grid, 4, 0.0) for _ in range(2)])
            dataset = trajectory_dataset(
                velocity,
                grid=grid,
                interval=INTERVAL * 0.8,
                turnover_time=0.8,
                attributes={
                    "turnover_time": 0.81,
                    "nominal_turnover_time": 0.8,
                    "taylor_reynolds_number": 54.3 if d == 3 else 120.0,
                    "resolution": resolution,
                    "energy_budget": json.dumps({"supply": 1.0, "relative_residual": 0.003, "relative_drift": -0.005}),
                },
                runs=[2 * shard, 2 * shard + 1],
            )
            write_trajectories(place / f"{split}.zarr.zip", dataset)
        frames = []
        for run in (2 * shard, 2 * shard + 1):
            time = np.linspace(0, 21, 106)
            wave = 0.08 * np.sin(0.8 * time + run) + 0.02 * random.standard_normal(len(time))
            injection, drag = 1 + wave, np.full_like(time, 0.2 if d == 2 else 0.0)
            dissipation = 1 - drag + 0.9 * np.roll(wave, 5)
            frames.append(
                pd.DataFrame(
                    {
                        "run": run,
                        "time": time,
                        "kinetic_energy": 0.5 + 0.1 * wave,
                        "dissipation": dissipation,
                        "injection": injection,
                        "drag": drag,
                        "residual": 0.01 * random.standard_normal(len(time)),
                        "courant_number": 1.5,
                    }
                )
            )
        pd.concat(frames).to_csv(place / "budget.csv", index=False)
        record(place, 60.0)


def write_training(folder: Path, fake: Fake, random: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    steps = np.arange(10, 1001, 10)
    decay = 0.1 + 0.9 * np.exp(-steps / 150) + 0.01 * random.random(len(steps))
    history = pd.DataFrame(
        {
            "epoch": np.arange(len(steps)),
            "step": steps,
            "unroll": np.where(steps > 400, 4, 1),
            "learning_rate": 1e-3,
            "training_loss": decay * np.where(steps > 400, 1.5, 1.0),
            "validation_error": 2 * decay + fake.spectrum,
        }
    )
    history.to_csv(folder / "history.csv", index=False)
    write_json(folder / "model.json", {"parameters": 123456, "best_epoch": 90})
    record(folder, 140.0, training_seconds=135.0)


def write_stepper(
    folder: Path, fake: Fake, flow: str, grid: Grid, random: np.random.Generator, *, windows: int = 1
) -> None:
    """Write results of a stepper; with several windows, of a flow that decays over a time of 3, as long as its DNS."""
    folder.mkdir(parents=True)
    d = grid.dimension
    time = np.arange(0, (LENGTH if windows == 1 else TEST_LENGTH) + 1e-9, INTERVAL)
    n = TRAJECTORIES
    shared = np.random.default_rng(7)  # all start from the same states
    length = len(time) if fake.kind != "floor" else int(TEST_LENGTH / INTERVAL) + 1
    velocity = np.stack([turbulent_velocity(shared, grid, length, 0.0) for _ in range(n)])
    changed = np.stack([turbulent_velocity(random, grid, length, fake.slope) for _ in range(n)])
    weight = np.clip(time[:length] / 4, 0, 1).reshape(1, -1, *[1] * (d + 1))
    if fake.kind != "floor":
        velocity = np.sqrt(1 - weight) * velocity + np.sqrt(weight) * changed
    failure_time = np.full(n, np.nan)
    cause = np.full(n, "", dtype=object)
    energy = 0.5 * (1 + 0.1 * np.cumsum(random.standard_normal((n, length)), axis=1) / np.sqrt(length))
    if windows > 1:
        energy *= np.exp(-time[:length] / 3)
    enstrophy = 8 * (1 + fake.slope * np.clip(time[:length] / 4, 0, 1)) * (energy / 0.5)
    for trajectory in range(fake.failures):
        failure_time[trajectory] = 2.0 + trajectory
        cause[trajectory] = "enstrophy above 2.5 times the DNS mean"
        dead = time[:length] > failure_time[trajectory]
        velocity[trajectory, dead] = np.nan
        energy[trajectory, dead] = np.nan
        enstrophy[trajectory] *= 1 + np.clip(time[:length] / 3, 0, 2)
        enstrophy[trajectory, dead] = np.nan
    dataset = trajectory_dataset(
        velocity.astype(np.float32), grid=grid, interval=INTERVAL * 0.8, turnover_time=0.8, attributes={}
    )
    write_trajectories(folder / "rollouts.zarr.zip", dataset)
    shells = np.arange(1, 8)
    scatter = 1 + 0.05 * random.standard_normal((n, len(shells)))
    spectrum = 0.5 * shells ** (-5 / 3) * np.where(shells > 3, shells / 3.0, 1.0) ** (2 * fake.slope) * scatter
    bins = np.linspace(-8, 8, 81)
    width = 1 + 0.3 * fake.slope
    shape = np.exp(-np.sqrt(1 + (bins / width) ** 2) * 1.6)
    if fake.name == "matched_noise":
        shape = np.exp(-(bins**2) / 2)
    density = shape / shape.sum() / (bins[1] - bins[0]) * (1 + 0.03 * random.standard_normal((n, len(bins))))
    density = np.where(density < 1e-5, 0.0, np.abs(density))
    alive = np.isnan(failure_time)
    spectrum[~alive] = np.nan
    density[~alive] = np.nan
    ends = np.linspace(0, length - 1, windows + 1).astype(int)
    share = np.exp(-time[ends[1:]] / 3).reshape(-1, 1) if windows > 1 else np.ones((1, 1))
    data = {
        "kinetic_energy": (("trajectory", "time"), energy),
        "enstrophy": (("trajectory", "time"), enstrophy),
        "divergence": (("trajectory", "time"), np.full((n, length), 1e-7)),
        "energy_spectrum": (("trajectory", "window", "shell"), spectrum[:, None] * share),
        "vorticity_density": (("trajectory", "window", "vorticity_bin"), np.repeat(density[:, None], windows, axis=1)),
        "increment_density": (("trajectory", "window", "increment_bin"), np.repeat(density[:, None], windows, axis=1)),
        **{
            name: (("trajectory", "window"), values)
            for name, values in averages(fake, energy, enstrophy, windows).items()
        },
        "failure_time": ("trajectory", failure_time),
        "failure_cause": ("trajectory", cause.astype(str)),
    }
    coords = {"time": time[:length], "shell": shells, "vorticity_bin": bins, "increment_bin": bins}
    coords["run"] = ("trajectory", np.arange(n))
    coords |= {"window_start": ("window", time[ends[:-1] + 1]), "window_end": ("window", time[ends[1:]])}
    coords["modes"] = ("shell", np.full(len(shells), 10))
    expert = expert_statistics(fake, random, dimensions=d, alive=alive, windows=windows)
    data |= {str(name): (one.dims, one.to_numpy()) for name, one in expert.data_vars.items()}
    coords |= {str(name): (one.dims, one.to_numpy()) for name, one in expert.coords.items()}
    if fake.kind != "floor":
        lead = np.arange(INTERVAL, TEST_LENGTH + 1e-9, INTERVAL)
        growth = 1 / (1 + np.exp(-(lead[None, :] - fake.decorrelation - 0.3 * random.standard_normal((n, 1))) * 1.3))
        data["relative_l2_error"] = (("trajectory", "lead_time"), 1.4 * growth)
        data["vorticity_correlation"] = (("trajectory", "lead_time"), 1 - growth**0.5)
        data["decorrelation_time"] = ("trajectory", np.full(n, fake.decorrelation))
        coords["lead_time"] = lead
    attrs = {
        "flow": flow,
        "stepper": fake.name,
        "kind": fake.kind,
        "cutoff": 5,
        "turnover_time": 0.8,
    }
    xr.Dataset(data, coords=coords, attrs=attrs).to_netcdf(folder / "statistics.nc", engine="h5netcdf")
    score_frame(fake, flow, d).to_csv(folder / "scores.csv", index=False)
    listed = [
        {"trajectory": int(i), "time": float(failure_time[i]), "cause": str(cause[i])} for i in np.flatnonzero(~alive)
    ]
    parameters = {"surrogate": 150000, "hybrid": 11000}.get(fake.kind, 0)
    write_json(
        folder / "cost.json",
        {"parameters": parameters, "failures": listed},
    )
    record(folder, 20.0, rollout_seconds=12.0, peak_memory_bytes=3.1e8)


def write_costs(folder: Path, flow: str, fakes: list[Fake]) -> None:
    folder.mkdir(parents=True)
    rows = [
        {
            "flow": flow,
            "stepper": fake.name,
            "kind": fake.kind,
            "batch": batch,
            "seconds_per_turnover_time": fake.cost * (2 if batch == 1 else 1),
            "low": 0.97 * fake.cost * (2 if batch == 1 else 1),
            "high": 1.05 * fake.cost * (2 if batch == 1 else 1),
            "repeats": 5,
            "threads": 1,
            "device": "cpu",
            "precision": "float32",
            "solver_code": "" if fake.kind == "surrogate" else "torch" if fake.name == "smagorinsky" else "compiled",
        }
        for fake in fakes
        if fake.kind != "control"
        for batch in ((1,) if fake.kind == "floor" else (1, TRAJECTORIES))
    ]
    pd.DataFrame(rows).to_csv(folder / "cost.csv", index=False)
    record(folder, 30.0)


def write_apriori(folder: Path, flow: str, fakes: list[Fake]) -> None:
    folder.mkdir(parents=True)
    rows, densities = [], []
    edges = np.linspace(-10, 10, 81)
    for index, fake in enumerate(one for one in fakes if one.kind in ("floor", "les") and one.name != "no_model"):
        label = {"flow": flow, "stepper": fake.name, "kind": fake.kind, "seed": "" if fake.seed is None else fake.seed}
        for statistic, value in (
            ("stress_correlation", 1 / (1 + index)),
            ("force_correlation", 0.9 / (1 + index)),
            ("dissipation", 0.3),
            ("dissipation_ratio", 1 + 0.1 * index),
            ("backscatter_fraction", 0.35 if index == 0 else 0.0),
        ):
            rows.append(
                label | {"statistic": statistic, "value": value, "low": 0.9 * value, "high": 1.1 * value, "unit": "1"}
            )
        centres = (edges[1:] + edges[:-1]) / 2
        densities.append(pd.DataFrame(label | {"dissipation": centres, "density": np.exp(-np.abs(centres - 1)) / 2}))
    pd.DataFrame(rows).to_csv(folder / "apriori.csv", index=False)
    pd.concat(densities).to_csv(folder / "dissipation.csv", index=False)
    record(folder, 5.0)


def write_tree(results: Path, flows: dict[str, dict[str, Any]] | None = None) -> Experiment:
    """Write all artifacts of some flows: a 2-D and a 3-D one unless others are given."""
    mappings = flows or {"kolmogorov": flow_mapping(2), "forced_isotropic": flow_mapping(3)}
    experiment = Experiment.model_validate({"name": "synthetic", "seed": 1, "flows": mappings})
    random = np.random.default_rng(0)
    for name, flow in experiment.flows.items():
        dimensions = len(flow.sides)
        grid = Grid(flow.large_eddy_grid.points, flow.sides)
        write_data(results / name / "generate", grid, random, resolution=1.2 if dimensions == 3 else 0.8)
        for fake in STEPPERS[dimensions]:
            folder = fake.name if fake.seed is None else f"{fake.name}-seed{fake.seed}"
            if fake.seed is not None:
                write_training(results / name / "train" / fake.name / f"seed{fake.seed}", fake, random)
            place = results / name / "validate" / folder
            write_stepper(place, fake, name, grid, random, windows=flow.validation.windows)
        write_apriori(results / name / "validate" / "apriori", name, STEPPERS[dimensions])
        write_costs(results / name / "validate" / "cost", name, STEPPERS[dimensions])
    return experiment
