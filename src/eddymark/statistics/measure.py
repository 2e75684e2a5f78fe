"""All statistics of the trajectories of one stepper, as one labelled data set."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from eddymark.grid import Grid, SpectralSpace
from eddymark.statistics import balance, distributions, errors, structure
from eddymark.statistics.averaging import chunks, window_averages
from eddymark.statistics.distributions import INCREMENT_BINS, VORTICITY_BINS


@dataclass(frozen=True)
class Scales:
    """What vorticity and velocity increments are divided by before they are counted: rms values of the DNS in each
    window, `(window,)`."""

    vorticity: tuple[float, ...]
    increment: tuple[float, ...]


@dataclass(frozen=True)
class Window:
    """The part of a rollout from which time averages are taken, both ends included, in turnover times.

    The initial state is no part of any window, also if it starts at 0: it is given to a stepper, not made by
    it. Statistics of DNS in a steady state have no initial state to leave out; they use `start = -inf`. A transient
    flow is averaged over each of several equal parts by itself, to be compared with the DNS over the same part.
    """

    start: float
    end: float = float("inf")
    parts: int = 1

    def slices(self, time: NDArray[np.float64]) -> list[slice]:
        """Return which outputs lie in each part.

        Arguments:
            time: `(time,)`, ascending.

        Raises:
            ValueError: if there are fewer outputs than parts.
        """
        inside = (time >= self.start - 1e-9) & (time <= self.end + 1e-9)
        outputs = np.flatnonzero(inside if self.start == -np.inf else inside & (time > 0))
        if len(outputs) < self.parts:
            raise ValueError("the statistics window holds no state of the rollout")
        return [slice(int(part[0]), int(part[-1]) + 1) for part in np.array_split(outputs, self.parts)]


def measure_scales(velocity: Tensor, *, grid: Grid, interval: float, window: Window) -> Scales:
    """Return the rms of vorticity components and of longitudinal increments over one grid spacing in each window.

    Arguments:
        velocity: DNS on the LES grid, `(trajectory, time, component, *grid)`.
        grid: the LES grid.
        interval: time between two states, turnover times.
        window: where they are averaged.
    """
    space = SpectralSpace(grid, dealiased=False, device=velocity.device)
    parts = window.slices(interval * np.arange(velocity.shape[1], dtype=np.float64))
    pairs = [_rms(velocity[:, part], space) for part in parts]
    return Scales(tuple(first for first, _ in pairs), tuple(second for _, second in pairs))


def _rms(velocity: Tensor, space: SpectralSpace) -> tuple[float, float]:
    """Return the rms of vorticity components and of longitudinal increments."""
    grid = space.grid
    vorticity, increment = [], []
    for part in chunks(velocity):
        curl = space.to_physical(space.vorticity(space.to_spectral(part)))
        step = distributions.longitudinal_increments(part, dimension=grid.dimension)
        vorticity.append(curl.square().mean((0, *range(2, curl.ndim))))
        increment.append(step.square().mean((0, *range(2, step.ndim))))
    return float(torch.cat(vorticity).mean().sqrt()), float(torch.cat(increment).mean().sqrt())


def measure(
    velocity: Tensor,
    *,
    grid: Grid,
    interval: float,
    window: Window,
    scales: Scales,
    truth: Tensor | None = None,
    correlation_threshold: float = 0.8,
    averaged_axes: tuple[int, ...] = (),
) -> xr.Dataset:
    """Measure the statistics of trajectories.

    All modes of the grid are seen, also those beyond the dealiased ones, in which a network may put energy.
    Time averages over a part of the window are taken of trajectories which are finite throughout it; for the others
    they are NaN.

    Arguments:
        velocity: `(trajectory, time, component, *grid)`, NaN after a failure, the initial state first.
        grid: the grid.
        interval: time between two states, turnover times.
        window: where time averages are taken.
        scales: normalisation of the densities.
        truth: DNS from the same initial states at the times 1, 2, … intervals, as far as it reaches,
            `(trajectory, lead time, component, *grid)`; without it there are no errors.
        correlation_threshold: see `errors.decorrelation_time`.
        averaged_axes: see `errors.vorticity_correlation`.

    Returns:
        variables, each with dimension `trajectory`: `kinetic_energy`, `mean_flow_energy` (of the mode k = 0),
        `enstrophy`, `divergence` over `time`;
        `relative_l2_error`, `vorticity_correlation` over `lead_time`; `decorrelation_time` (NaN: longer than
        the data); and, with dimension `window`, time averages over each part of the window: `mean_kinetic_energy`,
        `mean_enstrophy`, `mean_divergence`, `energy_spectrum` over `shell`, `vorticity_density` and
        `increment_density` over bins, and the moments of `eddymark.statistics.structure`. The coordinates
        `window_start` and `window_end` are the times of the first and last state of each part. Velocities are in flow
        units, times in turnover times. `modes(shell)` is the number of dealiased modes in a shell.
    """
    space = SpectralSpace(grid, dealiased=False, device=velocity.device)
    time = interval * np.arange(velocity.shape[1], dtype=np.float64)
    data: dict[str, tuple[tuple[str, ...], NDArray[np.float64]]] = {}
    for name, values in _balance(velocity, space).items():
        data[name] = (("trajectory", "time"), values)
    parts = window.slices(time)
    averaged = [
        partial(_state_statistics, space=space, vorticity_scale=vorticity, increment_scale=increment)
        for vorticity, increment in zip(scales.vorticity, scales.increment, strict=True)
    ]
    for name, values in window_averages(velocity, parts, averaged).items():
        axis = {"energy_spectrum": ("shell",), "vorticity_density": ("vorticity_bin",)}
        axis["increment_density"] = ("increment_bin",)
        data[name] = (("trajectory", "window", *axis.get(name, ())), values)
    alive = np.isfinite(data["energy_spectrum"][1][..., 0])
    for name in ("kinetic_energy", "enstrophy", "divergence"):
        means = np.stack([data[name][1][:, part].mean(axis=1) for part in parts], axis=1)
        data[f"mean_{name}"] = (("trajectory", "window"), np.where(alive, means, np.nan))
    coordinates = {
        "time": time,
        "window_start": ("window", time[[part.start for part in parts]]),
        "window_end": ("window", time[[part.stop - 1 for part in parts]]),
        "shell": np.arange(1, data["energy_spectrum"][1].shape[-1] + 1),
        "modes": ("shell", dealiased_modes(grid, shells=data["energy_spectrum"][1].shape[-1])),
        "vorticity_bin": VORTICITY_BINS.centres,
        "increment_bin": INCREMENT_BINS.centres,
    }
    result = xr.Dataset(
        data,
        coords=coordinates,
        attrs={
            "cutoff": grid.resolved_shells,
            "correlation_threshold": correlation_threshold,
        },
    )
    if truth is None or not truth.shape[1]:
        return result
    prediction = velocity[:, 1 : 1 + truth.shape[1]]
    pointwise = measure_errors(
        prediction,
        truth,
        grid=grid,
        interval=interval,
        correlation_threshold=correlation_threshold,
        averaged_axes=averaged_axes,
    )
    return result.merge(pointwise)


def dealiased_modes(grid: Grid, *, shells: int) -> NDArray[np.int64]:
    """Return how many modes free of aliasing lie in each of the shells 1 … `shells`, `(shell,)`.

    Beyond the last complete shell, boxes with unequal sides also have shells without any mode.
    """
    counts = np.bincount(SpectralSpace(grid).shells.numpy().ravel(), minlength=shells + 1)
    return np.asarray(counts[1 : shells + 1], dtype=np.int64)


def measure_errors(
    prediction: Tensor,
    truth: Tensor,
    *,
    grid: Grid,
    interval: float,
    correlation_threshold: float,
    averaged_axes: tuple[int, ...] = (),
) -> xr.Dataset:
    """Measure how trajectories differ from others at equal times.

    Arguments:
        prediction: states at the times 1, 2, … intervals after a start, `(trajectory, lead time, component, *grid)`.
        truth: DNS at the same times, same shape.
        grid: the grid.
        interval: time between two states, turnover times.
        correlation_threshold: see `errors.decorrelation_time`.
        averaged_axes: see `errors.vorticity_correlation`.

    Returns:
        `relative_l2_error`, `vorticity_correlation` `(trajectory, lead_time)`, `decorrelation_time` `(trajectory,)`.
    """
    space = SpectralSpace(grid, dealiased=False, device=prediction.device)
    lead_time = interval * np.arange(1, prediction.shape[1] + 1, dtype=np.float64)
    error, correlation = _errors(prediction, truth, space, averaged_axes)
    crossing = errors.decorrelation_time(lead_time, correlation, threshold=correlation_threshold)
    return xr.Dataset(
        {
            "relative_l2_error": (("trajectory", "lead_time"), error),
            "vorticity_correlation": (("trajectory", "lead_time"), correlation),
            "decorrelation_time": (("trajectory",), crossing),
        },
        coords={"lead_time": lead_time},
    )


def unrelated_trajectories(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each trajectory another one, from another run where there are several: a permutation.

    Arguments:
        runs: the run of each trajectory, `(trajectory,)`.

    Returns:
        indices `(trajectory,)`; a single trajectory is left with itself.
    """
    order = np.argsort(runs, kind="stable")
    largest = int(np.unique(runs, return_counts=True)[1].max())
    shift = largest if largest < len(runs) else 1
    partners = np.empty(len(runs), dtype=np.int64)
    partners[order] = np.roll(order, -shift)
    return partners


def _balance(velocity: Tensor, space: SpectralSpace) -> dict[str, NDArray[np.float64]]:
    parts: dict[str, list[Tensor]] = defaultdict(list)
    for part in chunks(velocity):
        spectrum = space.to_spectral(part)
        parts["kinetic_energy"].append(balance.kinetic_energy(spectrum, space=space))
        parts["mean_flow_energy"].append(balance.mean_flow_energy(spectrum, space=space))
        parts["enstrophy"].append(balance.enstrophy(spectrum, space=space))
        parts["divergence"].append(balance.relative_divergence(spectrum, space=space))
    return {name: torch.cat(values, dim=1).cpu().numpy() for name, values in parts.items()}


def _errors(
    prediction: Tensor, truth: Tensor, space: SpectralSpace, averaged_axes: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    error, correlation = [], []
    for ours, theirs in zip(chunks(prediction), chunks(truth), strict=True):
        error.append(errors.relative_l2_error(ours, theirs))
        correlation.append(errors.vorticity_correlation(ours, theirs, space=space, averaged_axes=averaged_axes))
    return torch.cat(error, dim=1).cpu().numpy(), torch.cat(correlation, dim=1).cpu().numpy()


def _state_statistics(
    velocity: Tensor, *, space: SpectralSpace, vorticity_scale: float, increment_scale: float
) -> dict[str, Tensor]:
    """Return what is averaged over time, of each state: `(trajectory, time, ...)`."""
    dimension = space.grid.dimension
    spectrum = space.to_spectral(velocity)
    vorticity = space.to_physical(space.vorticity(spectrum)).flatten(2)
    increments = distributions.longitudinal_increments(velocity, dimension=dimension).flatten(2)
    result = {
        "energy_spectrum": space.energy_spectrum(spectrum)[..., 1:],
        "vorticity_density": distributions.histogram(vorticity, scale=vorticity_scale, bins=VORTICITY_BINS)
        / VORTICITY_BINS.width,
        "increment_density": distributions.histogram(increments, scale=increment_scale, bins=INCREMENT_BINS)
        / INCREMENT_BINS.width,
        **structure.vorticity_moments(spectrum, space=space),
    }
    if dimension == 2:
        return {**result, **structure.palinstrophy_moments(spectrum, space=space)}
    return {**result, **structure.longitudinal_derivative_moments(spectrum, space=space)}
