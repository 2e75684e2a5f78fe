"""Whether what is in an artifact can be read and makes sense: one check for each kind of file."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from safetensors import safe_open

from eddymark.storage import open_trajectories, read_stresses

MAY_BE_MISSING = {"low", "high", "floor", "seed", "relative_l2_error", "decorrelation_time", "failure_time"}
"""Columns and statistics which are empty where there is nothing to state."""

CORRELATIONS = {"stress_correlation", "force_correlation"}
"""Statistics of the a-priori test which are empty where there is nothing to correlate."""


class ContentError(Exception):
    """The content of a file is not what such a file may hold; the text says what is wrong."""


def check_content(folder: Path, name: str) -> str | None:
    """Return what is wrong with the content of an artifact, None if nothing is.

    Numbers have to be finite; a rollout and its statistics may be NaN from the recorded failure of a trajectory on.

    Arguments:
        folder: a job's folder.
        name: an artifact in it.
    """
    check = _CHECKS.get(name) or _SUFFIXES[Path(name).suffix]
    try:
        check(folder / name)
    except ContentError as error:
        return str(error)
    except Exception as error:  # whatever a library raises when a file makes no sense to it
        return f"cannot be read ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
    return None


def _trajectories(path: Path) -> None:
    _archive(path)
    dataset = open_trajectories(path)
    _require_finite(dataset)


def _rollouts(path: Path) -> None:
    _archive(path)
    _require_finite(open_trajectories(path), _failure_times(path.with_name("cost.json")))


def _stresses(path: Path) -> None:
    _archive(path)
    _require_finite(read_stresses([path])[["stress"]])


def _archive(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ContentError(f"{damaged} inside it is damaged")


def _statistics(path: Path) -> None:
    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        failures = dict(enumerate(dataset["failure_time"].to_numpy().tolist()))
        recorded = {trajectory: time for trajectory, time in failures.items() if not math.isnan(time)}
        if recorded != _failure_times(path.with_name("cost.json")):
            raise ContentError("its failures are not those in cost.json")
        _require_finite(dataset, recorded)


def _failure_times(path: Path) -> dict[int, float]:
    """Return the time of each trajectory that failed, turnover times."""
    return {one["trajectory"]: one["time"] for one in json.loads(path.read_bytes())["failures"]}


def _require_finite(dataset: xr.Dataset, failures: Mapping[int, float] | None = None) -> None:
    """Refuse numbers that are not finite, but for NaN after a trajectory's failure.

    One trajectory is read at a time.
    """
    for name, variable in dataset.variables.items():
        if variable.dtype.kind != "f" or name in MAY_BE_MISSING:
            continue
        if "trajectory" not in variable.dims:
            if not np.isfinite(variable.to_numpy()).all():
                raise ContentError(f"{name} is not finite")
            continue
        for trajectory in range(variable.sizes["trajectory"]):
            values = variable.isel(trajectory=trajectory)
            failure = (failures or {}).get(trajectory)
            if failure is not None and np.isinf(values.to_numpy()).any():
                raise ContentError(f"{name} is infinite in trajectory {trajectory}")
            if failure is not None:
                values = _before(dataset, values, failure)
            if not np.isfinite(values.to_numpy()).all():
                where = "which did not fail" if failure is None else "before its failure"
                raise ContentError(
                    f"{name} is not finite in trajectory {trajectory}" + (f", {where}" if failures else "")
                )


def _before(dataset: xr.Dataset, values: xr.Variable, failure: float) -> xr.Variable:
    """Return the part of a trajectory's values that has to be there although the trajectory failed."""
    for dimension in ("time", "lead_time"):
        if dimension in values.dims:
            times = dataset["turnovers" if "turnovers" in dataset.coords else dimension].to_numpy()
            return values.isel({dimension: times < failure * (1 - 1e-9)})
    return values.isel({name: slice(0) for name in values.dims}) if values.dims else xr.Variable((), 0.0)


def _weights(path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        if not names:
            raise ContentError("holds no weights")
        for name in names:
            if not bool(file.get_tensor(name).isfinite().all()):
                raise ContentError(f"{name} is not finite")


def _description(path: Path) -> None:
    for name, value in _numbers(json.loads(path.read_bytes())):
        if not math.isfinite(value):
            raise ContentError(f"{name} is not finite")


def _time_step(path: Path) -> None:
    _description(path)
    if not float(json.loads(path.read_bytes())["courant_number"]) > 0:
        raise ContentError("the Courant number is not positive")


def _numbers(content: Any, name: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(content, float):
        yield name, content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from _numbers(value, key)
    elif isinstance(content, list):
        for value in content:
            yield from _numbers(value, name)


def _table(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path)
    if table.empty:
        raise ContentError("has no rows")
    return table


def _numeric_table(path: Path) -> None:
    for name, column in _table(path).select_dtypes("number").items():
        if not np.isfinite(column).all():
            raise ContentError(f"column {name} is not finite")


def _scores(path: Path) -> None:
    """A statistic without data is NaN, but only if a trajectory failed or the statistic may be beyond the data."""
    table = _table(path)
    numbers: NDArray[np.float64] = table[["value", "low", "high", "floor"]].to_numpy(dtype=float)
    if np.isinf(numbers).any():
        raise ContentError("a value is infinite")
    survived = table.loc[table["statistic"] == "surviving_fraction", "value"]
    if len(survived) != 1 or not 0 <= float(survived.iloc[0]) <= 1:
        raise ContentError("surviving_fraction is not a fraction")
    needed = table[~table["statistic"].isin(MAY_BE_MISSING)]
    if float(survived.iloc[0]) == 1 and needed["value"].isna().any():
        raise ContentError(f"{needed.loc[needed['value'].isna(), 'statistic'].iloc[0]} is NaN though no rollout failed")


def _apriori(path: Path) -> None:
    """A correlation without a modelled stress is NaN, and so is an interval of it."""
    table = _table(path)
    if "dns" not in set(table["stepper"]):
        raise ContentError("lacks the DNS")
    if np.isinf(table[["value", "low", "high"]].to_numpy(dtype=float)).any():
        raise ContentError("a value is infinite")
    needed = table[~table["statistic"].isin(CORRELATIONS)]
    if needed["value"].isna().any():
        raise ContentError(f"{needed.loc[needed['value'].isna(), 'statistic'].iloc[0]} is NaN")


def _densities(path: Path) -> None:
    density = _table(path)["density"].to_numpy(dtype=float)
    if not (np.isfinite(density) & (density >= 0)).all():
        raise ContentError("a density is negative or not finite")


def _drawing(path: Path) -> None:
    if not ElementTree.parse(path).getroot().tag.endswith("svg"):
        raise ContentError("is no SVG drawing")


def _page(path: Path) -> None:
    text = path.read_text(encoding="utf-8").rstrip()
    if not (text[:20].lower().startswith("<!doctype html") and text.endswith("</html>")):
        raise ContentError("is no complete HTML page")


_CHECKS: dict[str, Callable[[Path], object]] = {
    "rollouts.zarr.zip": _rollouts,
    "stress.zarr.zip": _stresses,
    "timestep.json": _time_step,
    "budget.csv": _numeric_table,
    "history.csv": _numeric_table,
    "cost.csv": _numeric_table,
    "apriori.csv": _apriori,
    "dissipation.csv": _densities,
    "scores.csv": _scores,
}
_SUFFIXES: dict[str, Callable[[Path], object]] = {
    ".zip": _trajectories,
    ".nc": _statistics,
    ".safetensors": _weights,
    ".json": _description,
    ".csv": _table,
    ".svg": _drawing,
    ".html": _page,
}
