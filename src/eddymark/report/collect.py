"""Everything the report needs from the results tree, read once and typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import xarray as xr

from eddymark.config.schema import Experiment, Flow
from eddymark.config.steppers import StepperName, longest_history, solvers, stepper_names
from eddymark.errors import EddymarkError
from eddymark.records import read_record
from eddymark.statistics.pooled import PooledScore, pool
from eddymark.storage import open_trajectories

SPLITS = ("train", "validation", "test")
LEARNED = ("surrogate", "hybrid")

Content = TypeVar("Content")


@dataclass(frozen=True)
class StepperResults:
    """What validation wrote about one stepper (one seed of it, if it was trained)."""

    name: str
    kind: str
    seed: int | None
    folder: Path
    scores: pd.DataFrame
    statistics: xr.Dataset
    cost: dict[str, Any]
    measured: dict[str, Any]
    """What the job's record says of time and memory."""

    @property
    def failure_times(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Turnover time at which each rollout failed, NaN where it survived, shape (trajectory,)."""
        return np.asarray(self.statistics["failure_time"].values, dtype=float)


@dataclass(frozen=True)
class TrainingResults:
    """What training wrote about one seed of one model."""

    name: str
    kind: str
    seed: int
    model: dict[str, Any]
    history: pd.DataFrame
    measured: dict[str, Any]
    """What the job's record says of time and memory."""


@dataclass(frozen=True)
class EnergyBudget:
    """How well the DNS' energy balances after the spin-up, in magnitude; NaN where generation did not state it.

    The supply is the injection, or in a flow without a force the loss of kinetic energy.
    """

    relative_residual: float
    """|mean residual| / mean supply."""
    relative_drift: float
    """|mean dE/dt| / mean supply."""


@dataclass(frozen=True)
class DataSummary:
    """What generation wrote: sizes, attributes and the energy budget, over all shards."""

    trajectories: dict[str, int]
    lengths: dict[str, float]
    """Length of one trajectory of each split, turnover times."""
    attributes: tuple[dict[str, Any], ...]
    """Attributes of the training data, one entry per shard."""
    budget: pd.DataFrame

    @property
    def energy_budget(self) -> EnergyBudget:
        """The time-averaged energy budget that generation measured, over all shards."""
        shards = [json.loads(one.get("energy_budget", "{}")) for one in self.attributes]

        def relative(name: str) -> float:
            # Shards weigh as much as their supply, so that this is the ratio of the means over all of them.
            values = [one.get(name, np.nan) * one.get("supply", np.nan) for one in shards]
            supply = sum(one.get("supply", np.nan) for one in shards)
            return abs(float(sum(values))) / supply if supply > 0 else float("nan")

        return EnergyBudget(relative("relative_residual"), relative("relative_drift"))

    def energy_of_halves(self, *, start: float) -> tuple[float, float]:
        """Return the mean kinetic energy in the first and in the second half of the sampled period.

        Arguments:
            start: end of the spin-up, turnover times.
        """
        sampled = self.budget[self.budget["time"] >= start]
        late = sampled["time"] > 0.5 * (start + sampled.groupby("run")["time"].transform("max"))
        return float(sampled.loc[~late, "kinetic_energy"].mean()), float(sampled.loc[late, "kinetic_energy"].mean())


@dataclass(frozen=True)
class AprioriResults:
    """What the a-priori test says of each closure."""

    statistics: pd.DataFrame
    """Statistic, value, low and high."""
    dissipation: pd.DataFrame
    """Densities of the local subgrid-scale dissipation, true and modelled."""


@dataclass(frozen=True)
class FlowResults:
    """All results of one flow, steppers in the order of the experiment."""

    name: str
    flow: Flow
    data: DataSummary
    trainings: tuple[TrainingResults, ...]
    steppers: tuple[StepperResults, ...]
    timings: pd.DataFrame
    apriori: AprioriResults | None
    """None for a flow with a source, whose true stress is not known."""
    seed: int = 0
    """The experiment's."""

    @property
    def dimensions(self) -> int:
        """Number of space dimensions."""
        return len(self.flow.sides)

    @property
    def start(self) -> float:
        """Time between the beginning of a run and the start of the rollouts of a transient flow, turnover times."""
        return self.flow.sampling.spin_up + (longest_history(self.flow) - 1) * self.flow.sampling.interval

    @property
    def dns(self) -> StepperResults:
        """The DNS on the test trajectories."""
        return next(stepper for stepper in self.steppers if stepper.kind == "floor")

    @property
    def no_model(self) -> str | None:
        """Name of the LES without a closure, if the experiment has one."""
        for name, simulation in self.flow.large_eddy_simulations.items():
            if simulation.closure.type == "none":
                return name
        return None

    @property
    def longest_lead(self) -> float:
        """Last time at which rollouts are compared with their DNS trajectory, turnover times; NaN without one."""
        statistics = (stepper.statistics for stepper in self.steppers)
        ends = [float(one["lead_time"][-1]) for one in statistics if "lead_time" in one.coords]
        return max(ends, default=float("nan"))

    def seeds_of(self, name: str) -> list[StepperResults]:
        """Return the results of every seed of one stepper."""
        return [stepper for stepper in self.steppers if stepper.name == name]

    @property
    def extensions(self) -> dict[str, str]:
        """The models which are changes of others, and of which."""
        return {name: one.extends for name, one in self.flow.surrogates.items() if one.extends is not None}

    @cached_property
    def pooled(self) -> dict[str, dict[str, PooledScore]]:
        """Scores over all seeds by model and statistic, of models with several seeds and those that are compared."""
        wanted = {name for name in self.flow.surrogates if len(self.seeds_of(name)) > 1}
        wanted |= {name for pair in self.extensions.items() for name in pair}
        validation, paired = self.flow.validation, self.flow.is_transient
        return {
            name: pool(
                [stepper.statistics for stepper in self.seeds_of(name)],
                self.dns.statistics,
                seed=self.seed,
                samples=validation.bootstrap_samples,
                paired=paired,
            )
            for name in self.flow.surrogates
            if name in wanted
        }


@dataclass(frozen=True)
class Record:
    """The content of one job's signature.json."""

    job: str
    stage: str
    content: dict[str, Any]


@dataclass(frozen=True)
class Results:
    """The whole results tree of an experiment."""

    experiment: Experiment
    flows: tuple[FlowResults, ...]
    records: tuple[Record, ...]


def collect(experiment: Experiment, *, results: Path) -> Results:
    """Read every artifact of the experiment except velocity fields, which figures read when they need them.

    Arguments:
        experiment: decides which jobs belong to the report; other folders of the tree are ignored.
        results: root of the results tree.

    Raises:
        EddymarkError: an artifact of the experiment is missing or damaged.
    """
    flows = tuple(_flow(name, flow, results / name, experiment.seed) for name, flow in experiment.flows.items())
    return Results(experiment, flows, _records(experiment, results))


def _flow(name: str, flow: Flow, folder: Path, seed: int) -> FlowResults:
    trainings = tuple(
        _training(model, surrogate.kind, seed, folder / "train" / model / f"seed{seed}")
        for model, surrogate in flow.surrogates.items()
        for seed in surrogate.seeds
    )
    validate = folder / "validate"
    steppers = tuple(_stepper(stepper, validate / stepper.folder) for stepper in stepper_names(flow))
    timings = _read(validate / "cost" / "cost.csv", pd.read_csv)
    apriori = None
    if flow.source is None:
        tables = [_read(validate / "apriori" / f"{table}.csv", pd.read_csv) for table in ("apriori", "dissipation")]
        apriori = AprioriResults(*tables)
    return FlowResults(name, flow, _data(folder / "generate", flow), trainings, steppers, timings, apriori, seed)


def _read(path: Path, reader: Callable[[Path], Content]) -> Content:
    try:
        return reader(path)
    except Exception as error:  # whatever a damaged file makes a library raise
        raise EddymarkError(f"{path}: cannot be read ({type(error).__name__}: {error})") from error


def _read_json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError("not a JSON object")
    return content


def _read_statistics(path: Path) -> xr.Dataset:
    return xr.load_dataset(path, engine="h5netcdf")


def _data(folder: Path, flow: Flow) -> DataSummary:
    shards = [folder / str(shard) for shard in range(flow.sampling.shards)]
    trajectories = dict.fromkeys(SPLITS, 0)
    lengths = dict.fromkeys(SPLITS, 0.0)
    attributes = []
    for shard in shards:
        for split in SPLITS:
            data = open_trajectories(shard / f"{split}.zarr.zip")
            trajectories[split] += data.sizes["trajectory"]
            lengths[split] = float(data["turnovers"][-1])
            if split == "train":
                attributes.append({str(key): value for key, value in data.attrs.items()})
    budget = pd.concat([_read(shard / "budget.csv", pd.read_csv) for shard in shards], ignore_index=True)
    return DataSummary(trajectories, lengths, tuple(attributes), budget)


def _training(name: str, kind: str, seed: int, folder: Path) -> TrainingResults:
    model = _read(folder / "model.json", _read_json)
    history = _read(folder / "history.csv", pd.read_csv)
    return TrainingResults(name, kind, seed, model, history, _measured(folder))


def _stepper(stepper: StepperName, folder: Path) -> StepperResults:
    return StepperResults(
        name=stepper.name,
        kind=stepper.kind,
        seed=stepper.seed,
        folder=folder,
        scores=_read(folder / "scores.csv", pd.read_csv),
        statistics=_read(folder / "statistics.nc", _read_statistics),
        cost=_read(folder / "cost.json", _read_json),
        measured=_measured(folder),
    )


def _measured(folder: Path) -> dict[str, Any]:
    return dict(read_record(folder).get("measured", {}))


def _records(experiment: Experiment, results: Path) -> tuple[Record, ...]:
    records = []
    for name, flow in experiment.flows.items():
        folders = [("generate", f"generate/{shard}") for shard in range(flow.sampling.shards)]
        folders += [
            ("train", f"train/{model}/seed{seed}")
            for model, surrogate in flow.surrogates.items()
            for seed in surrogate.seeds
        ]
        folders += [("train", f"train/{key}/timestep") for key, solver in solvers(flow).items() if solver.is_measured]
        folders += [("validate", f"validate/{stepper.folder}") for stepper in stepper_names(flow)]
        folders += [("validate", "validate/apriori")] if flow.source is None else []
        folders.append(("validate", "validate/cost"))
        for stage, folder in folders:
            job = f"{name}/{folder}"
            records.append(Record(job, stage, read_record(results / job)))
    return tuple(records)
