"""Invented statistics for experts, as validation stores them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from tests.report.fakes import TRAJECTORIES, Fake

SEPARATIONS = np.array([1, 2, 3, 4, 6, 8]) * 2 * np.pi / 16
DENSITY_SEPARATIONS = SEPARATIONS[[0, 3, 5]]


def expert_statistics(fake: Fake, random: np.random.Generator, *, alive: np.ndarray, windows: int) -> xr.Dataset:
    """Return statistics of a stepper, NaN for the trajectories that are not alive."""
    found = increments(fake, random)
    for name, variable in found.items():
        repeated = variable.expand_dims(window=windows, axis=1)
        found[name] = repeated.where(xr.DataArray(alive, dims="trajectory"))
    return found


def increments(fake: Fake, random: np.random.Generator) -> xr.Dataset:
    """Return structure functions of skewness −0.3 and flatness up to 5, Gaussian ones of noise, and densities."""
    turbulence = 0.0 if fake.name == "matched_noise" else 1 - fake.spectrum
    scatter = 1 + 0.03 * random.standard_normal((TRAJECTORIES, 2, 1))
    second = SEPARATIONS ** (2 / 3) * (1 + 0.5 * fake.slope) * scatter
    decay = SEPARATIONS[0] / SEPARATIONS
    third = -0.3 * turbulence * decay * second**1.5 * np.array([1, 0])[:, None]
    fourth = (3 + 2 * turbulence * decay) * second**2
    functions = np.stack([second, third, fourth, 10 * third * second, 5 * fourth * second], axis=-2)
    bins = np.linspace(-8, 8, 81)
    shape = np.exp(-np.sqrt(1 + (bins / (1 + 0.3 * fake.slope)) ** 2) * 1.6)
    density = shape / shape.sum() / (bins[1] - bins[0]) * (1 + 0.03 * random.standard_normal((TRAJECTORIES, 2, 3, 81)))
    return xr.Dataset(
        {
            "structure_function": (("trajectory", "direction", "order", "separation"), functions),
            "increment_densities": (
                ("trajectory", "direction", "density_separation", "increment_bin"),
                np.where(density < 1e-5, 0.0, np.abs(density)),
            ),
        },
        coords={
            "direction": ["longitudinal", "transverse"],
            "order": [2, 3, 4, 5, 6],
            "separation": SEPARATIONS,
            "density_separation": DENSITY_SEPARATIONS,
            "increment_bin": bins,
        },
    )
