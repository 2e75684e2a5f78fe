"""Invented averages and statistics for experts, as validation stores them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from tests.report.fakes import INTERVAL, TRAJECTORIES, Fake

SEPARATIONS = np.array([1, 2, 3, 4, 6, 8]) * 2 * np.pi / 16
DENSITY_SEPARATIONS = SEPARATIONS[[0, 3, 5]]


def averages(fake: Fake, energy: np.ndarray, enstrophy: np.ndarray, windows: int) -> dict[str, np.ndarray]:
    """Averages over time of what has one number per output, and moments of invented skewness and flatness."""

    def repeated(values: np.ndarray | float) -> np.ndarray:
        return np.repeat(np.broadcast_to(values, (TRAJECTORIES,))[:, None], windows, axis=1)

    means = {"mean_kinetic_energy": energy, "mean_enstrophy": enstrophy}
    found = {name: repeated(values.mean(axis=1)) for name, values in means.items()}
    asymmetry = 0.25 * (1 - fake.spectrum)
    cubes = {"derivative_cube": -asymmetry, "vorticity_gradient_production": asymmetry, "vorticity_fourth": 4.0}
    ones = ("derivative_square", "vorticity_gradient_square", "vorticity_square")
    found |= {name: repeated(value) for name, value in (cubes | dict.fromkeys(ones, 1.0)).items()}
    return found | {"mean_divergence": repeated(1e-7)}


def expert_statistics(
    fake: Fake, random: np.random.Generator, *, dimensions: int, alive: np.ndarray, windows: int
) -> xr.Dataset:
    """Return statistics of a stepper, NaN for the trajectories that are not alive."""
    found = increments(fake, random).merge(energy_balance(fake, dimensions)).merge(gradients(fake, random, dimensions))
    found = found.merge(correlations(fake, random))
    if windows == 1:
        found = found.assign(autocovariance=found["autocovariance"].where(xr.DataArray(alive, dims="trajectory")))
    else:
        found = found.drop_vars(["autocovariance", "lag"])
    for name, variable in found.drop_vars("autocovariance", errors="ignore").items():
        repeated = variable.expand_dims(window=windows, axis=1)
        found[name] = repeated.where(xr.DataArray(alive, dims="trajectory"))
    return found


def energy_balance(fake: Fake, dimensions: int) -> xr.Dataset:
    """Return a cascade of rate 1 from shell 1 to the last one, in 2-D an inverse one, with what feeds and drains it."""
    shells = np.arange(1, 8)
    direction = 1 if dimensions == 3 else -1
    passed = np.clip(1 - fake.spectrum, 0, None) * np.where(shells < 7, 0.8 ** (shells - 1), 0.0)
    transfer = -direction * np.diff(passed, prepend=0)
    terms = {"energy_transfer": transfer, "dissipation_spectrum": 0.05 * shells}
    if dimensions == 2:
        terms["enstrophy_transfer"] = -(shells**2) * transfer
    if fake.kind == "les":
        terms["subgrid_transfer"] = -0.05 * shells / 3 * (fake.name != "no_model")
    found = {name: (("trajectory", "shell"), np.tile(one, (TRAJECTORIES, 1))) for name, one in terms.items()}
    return xr.Dataset({**found, "energy_input": ("trajectory", np.full(TRAJECTORIES, 1.25))}, {"shell": shells})


def gradients(fake: Fake, random: np.random.Generator, dimensions: int) -> xr.Dataset:
    """Return moments of longitudinal skewness −0.4 and flatness 4 (5 across), and in 3-D a density leaning to R > 0."""
    turbulence = 0.0 if fake.name == "matched_noise" else 1 - fake.spectrum
    second = np.array([1.0, 2.0]) * (1 + 0.03 * random.standard_normal((TRAJECTORIES, 1)))
    third = np.array([-0.4, 0.0]) * turbulence * second**1.5
    fourth = (3 + np.array([1.0, 2.0]) * turbulence) * second**2
    data = {"gradient_moment": (("trajectory", "direction", "moment"), np.stack([second, third, fourth], axis=-1))}
    coords = {"direction": ["longitudinal", "transverse"], "moment": [2, 3, 4]}
    if dimensions == 3:
        bins = np.linspace(-2, 2, 33)[1:] - 1 / 16
        q, r = np.meshgrid(bins, bins, indexing="ij")
        share = np.exp(-2 * (q**2 + r**2)) * (1 + turbulence * np.tanh(-2 * q * r) * (q < 0))
        density = share / share.sum() / 0.125**2 * (1 + 0.02 * random.standard_normal((TRAJECTORIES, 1, 1)))
        data["invariant_density"] = (("trajectory", "q_root", "r_root"), density)
        coords |= {"q_root": bins, "r_root": bins}
    return xr.Dataset(data, coords)


def correlations(fake: Fake, random: np.random.Generator) -> xr.Dataset:
    """Return Gaussian correlations in space of length 1 and exponential ones in time of length 2 in the DNS."""
    offset, lag = np.arange(9) * np.pi / 8, INTERVAL * np.arange(16)
    size = 1 + fake.slope + 0.03 * random.standard_normal((TRAJECTORIES, 1, 1))
    space = np.exp(-((offset / size) ** 2) * np.array([0.5, 1.0])[:, None])
    time = np.exp(-lag / (2 * size[:, 0]))
    return xr.Dataset(
        {
            "two_point_covariance": (("trajectory", "direction", "offset"), 0.3 * space),
            "autocovariance": (("trajectory", "lag"), 0.6 * time),
        },
        coords={"direction": ["longitudinal", "transverse"], "offset": offset, "lag": lag},
    )


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
