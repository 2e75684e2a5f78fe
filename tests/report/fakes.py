"""Invented steppers, the experiment they belong to and their scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

COLUMNS = ["flow", "stepper", "kind", "seed", "statistic", "window", "value", "low", "high", "floor", "unit"]


@dataclass(frozen=True)
class Fake:
    """How well an invented stepper does."""

    name: str
    kind: str
    seed: int | None
    spectrum: float
    slope: float
    """Power law by which its upper shells differ from DNS."""
    decorrelation: float
    cost: float
    failures: int = 0


FLOOR = {2: 0.02, 3: 0.003}
STEPPERS = {
    2: [
        Fake("dns", "floor", None, 0.02, 0.0, 0.0, 40.0),
        Fake("no_model", "les", None, 0.205, 0.25, 2.9, 0.010),
        Fake("smagorinsky", "les", None, 0.393, -0.5, 3.2, 0.018, failures=2),
        Fake("dynamic_smagorinsky", "les", None, 0.128, -0.15, 3.15, 0.04),
        Fake("fno", "surrogate", 0, 0.039, 0.03, 3.95, 0.02),
        Fake("fno_one_step", "surrogate", 0, 0.9, 0.9, 1.2, 0.02, failures=4),
        Fake("cnn_hybrid", "hybrid", 0, 0.030, 0.02, 4.6, 0.015),
        Fake("fitted_viscosity", "les", 0, 0.062, -0.06, 4.2, 0.011),
        Fake("persistence", "control", None, 0.03, 0.0, 0.3, 0.0001),
        Fake("matched_noise", "control", None, 0.018, 0.0, 0.2, 0.0001),
        Fake("constrained_noise", "control", None, 0.5, 0.6, 0.2, 0.0001, failures=4),
    ],
    3: [
        Fake("dns", "floor", None, 0.003, 0.0, 0.0, 60.0),
        Fake("no_model", "les", None, 0.124, 0.3, 2.0, 0.013, failures=4),
        Fake("smagorinsky", "les", None, 0.298, -0.6, 2.6, 0.03),
        Fake("dynamic_smagorinsky", "les", None, 0.174, -0.3, 2.7, 0.06),
        Fake("fno", "surrogate", 0, 0.085, -0.1, 2.9, 0.036),
        Fake("cnn_hybrid", "hybrid", 0, 0.045, -0.05, 3.1, 0.03),
        Fake("fitted_viscosity", "les", 0, 0.081, -0.1, 3.0, 0.015),
        Fake("persistence", "control", None, 0.01, 0.0, 0.3, 0.0001),
        Fake("matched_noise", "control", None, 0.001, 0.0, 0.2, 0.0001),
        Fake("constrained_noise", "control", None, 0.5, 0.6, 0.2, 0.0001, failures=4),
    ],
}
CHANCE = 1.39
"""Relative L2 error between unrelated states."""
TRAJECTORIES, LENGTH, INTERVAL, TEST_LENGTH = 4, 10.0, 0.2, 6.0


def flow_mapping(dimensions: int) -> dict[str, Any]:
    points = (16,) * dimensions
    fakes = STEPPERS[dimensions]
    schedule = {"steps": 100}
    simulations = {
        fake.name: {"closure": {"type": "none" if fake.name == "no_model" else fake.name}}
        for fake in fakes
        if fake.kind == "les" and fake.seed is None
    }
    surrogates = {fake.name: {"kind": fake.kind, "schedule": schedule} for fake in fakes if fake.seed is not None}
    return {
        "type": "kolmogorov" if dimensions == 2 else "forced_isotropic",
        "reference": {"length": "box / 2 pi", "velocity": "forcing amplitude"},
        "turnover_time": 0.8,
        "sides": ["2 pi"] * dimensions,
        "viscosity": 0.01,
        "initial_state": {"energy": 1, "peak_wavenumber": 4},
        "direct_numerical_simulation": {"points": (64,) * dimensions},
        "large_eddy_grid": {"points": points},
        "sampling": {
            "runs": 4,
            "shards": 2,
            "spin_up": 5,
            "interval": INTERVAL,
            "gap": 1,
            "splits": {name: {"stretches": 1, "length": 5} for name in ("train", "validation", "test")},
        },
        "validation": {
            "rollout_length": LENGTH,
            "statistics_start": 5,
            "survival": {"energy": (0.5, 2), "enstrophy": (0.4, 2.5)},
        },
        "large_eddy_simulations": simulations,
        "surrogates": surrogates,
    }


def score_frame(fake: Fake, flow: str, dimensions: int) -> pd.DataFrame:
    floor = FLOOR[dimensions]
    catcher = "palinstrophy_production" if dimensions == 2 else "derivative_skewness"
    caught = 0.08 if fake.name == "matched_noise" else 0.005 + 0.1 * fake.spectrum
    seed = "" if fake.seed is None else fake.seed
    lost = fake.failures == TRAJECTORIES
    table = [
        ("spectrum_error", "resolved", fake.spectrum, floor, "decades"),
        ("spectrum_error_upper", "resolved", 1.5 * fake.spectrum, 0.4 * floor, "decades"),
        (f"{catcher}_error", "statistics", caught, 0.003, "1"),
        ("vorticity_pdf_distance", "statistics", 0.01 + 0.3 * abs(fake.slope), 0.003, "1"),
        ("increment_pdf_distance", "statistics", 0.012 + 0.3 * abs(fake.slope), 0.004, "1"),
        ("enstrophy", "statistics", 1 + fake.slope, np.nan, "1"),
        ("enstrophy_error", "statistics", abs(fake.slope), 0.02, "1"),
    ]
    if fake.kind == "floor":
        table.append(("relative_l2_error", "step 1", CHANCE, np.nan, "1"))
        table.append(("decorrelation_time", "rollout", INTERVAL, np.nan, "turnover times"))
    else:
        table.append(("relative_l2_error", "step 1", 0.35 / (1 + fake.decorrelation), np.nan, "1"))
        table.append(("decorrelation_time", "rollout", fake.decorrelation, np.nan, "turnover times"))
    if fake.name == "constrained_noise":
        table.append(("constraint_activity", "every step", 0.4, np.nan, "1"))
    rows = []
    for statistic, window, value, reference, unit in table:
        if lost and statistic not in ("relative_l2_error", "decorrelation_time", "constraint_activity"):
            value = np.nan
        row = (
            flow,
            fake.name,
            fake.kind,
            seed,
            statistic,
            window,
            value,
            0.93 * value,
            1.07 * value,
            reference,
            unit,
        )
        rows.append(row)
    rows.append(
        (
            flow,
            fake.name,
            fake.kind,
            seed,
            "surviving_fraction",
            "rollout",
            1 - fake.failures / 4,
            *[""] * 3,
            "1",
        )
    )
    return pd.DataFrame(rows, columns=COLUMNS)
