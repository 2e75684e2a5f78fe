"""The scores of one stepper on one flow, pooled over its seeds: what tables, figures and verdict use."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from eddymark.config.steppers import boosted_models, noise_name
from eddymark.report.collect import LEARNED, FlowResults, StepperResults
from eddymark.statistics.pooled import PooledScore

COMPETING = ("les", *LEARNED)
ORDER = ("floor", *COMPETING, "control")
NAN = float("nan")


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval and the sampling floor of the same statistic, NaN where unknown."""

    value: float
    low: float = NAN
    high: float = NAN
    floor: float = NAN

    @property
    def multiple(self) -> float:
        """Value in multiples of the sampling floor."""
        return self.value / self.floor if self.floor > 0 else NAN


MISSING = Estimate(NAN)

CONSTRAINTS = {"shell_energy_cap": "capped", "shell_energy": "set"}
"""What constraints from reference data do to shells, by the types of constraints."""


@dataclass(frozen=True)
class Activity:
    """How often, and to how much of the energy, a constraint from reference data did something in rollouts."""

    constraint: str
    shells: float
    """Share of the shells open to it, times outputs, which it rescaled."""
    energy: float
    """Energy that it removed or added, as a fraction of that of the state, per output."""


@dataclass(frozen=True)
class Score:
    """A statistic which the report ranks."""

    key: str
    """Statistic in scores.csv."""
    title: str
    unit: str
    """Times are in turnover times or whatever else the clock of the flow is."""
    smaller_is_better: bool = True

    def unit_with(self, clock: str) -> str:
        """Return the unit, with the clock of a flow in place of the turnover time."""
        return self.unit.replace("turnover time", clock)


SPECTRUM = Score("spectrum_error", "spectrum error", "decades")
UPPER_SPECTRUM = Score("spectrum_error_upper", "spectrum error of the upper shells", "decades")
DECORRELATION = Score("decorrelation_time", "decorrelation time", "turnover times", smaller_is_better=False)
ONE_STEP = Score("one_step_error", "one-step error relative to persistence", "")
VORTICITY_PDF = Score("vorticity_pdf_distance", "distance of the vorticity PDF", "")
INCREMENT_PDF = Score("increment_pdf_distance", "distance of the velocity-increment PDF", "")
ENSTROPHY = Score("enstrophy_error", "enstrophy error", "")
SKEWNESS = Score("derivative_skewness_error", "derivative skewness error", "")
MOMENTUM_THICKNESS = Score("momentum_thickness_error", "momentum thickness error", "")
MEAN_VELOCITY = Score("mean_velocity_error", "mean velocity error", "velocity difference")
REYNOLDS_STRESS = Score("reynolds_stress_error", "Reynolds stress error", "")
PRODUCTION = Score("palinstrophy_production_error", "palinstrophy production error", "")


def fake_catcher(dimensions: int) -> Score:
    """Return the statistic which catches fields with a right spectrum and wrong dynamics."""
    return PRODUCTION if dimensions == 2 else SKEWNESS


@dataclass(frozen=True)
class Standing:
    """One row of the comparison."""

    name: str
    kind: str
    seeds: int = 1
    estimates: dict[str, Estimate] = field(default_factory=dict)
    survived: int = 0
    rollouts: int = 0
    failure_time: float = NAN
    """Median over the failed rollouts, turnover times."""
    cost_single: Estimate = MISSING
    """Seconds per turnover time and trajectory, one trajectory at a time."""
    cost_batch: Estimate = MISSING
    """The same, all trajectories at once."""
    solver_code: str = ""
    """What takes the steps of its solver: `compiled`, `torch` or, without a solver, nothing."""
    peak_memory: float = NAN
    """Bytes."""
    training_seconds: float = NAN
    parameters: float = NAN
    constraint_activity: float = NAN
    """Share of the resolved shells which a constraint rescales on every step; NaN without a constraint."""
    activities: tuple[Activity, ...] = ()
    """What constraints from reference data did; empty without such."""
    noise: str | None = None
    """Of a model with such constraints, the control that pushes noise through them."""
    courant_number: float = NAN
    """Largest Courant number of an LES or of the LES inside a model."""
    on_alternative_grid: bool = False
    fewer_shells: int | None = None
    """The highest shell that enters the scores, if the grid of the stepper resolves fewer than the data do."""

    def __getitem__(self, score: Score) -> Estimate:
        return self.estimates.get(score.key, MISSING)

    @property
    def cost(self) -> Estimate:
        """Seconds per turnover time and trajectory as rollouts are run: in a batch where that was timed."""
        return self.cost_batch if math.isfinite(self.cost_batch.value) else self.cost_single

    @property
    def has_failures(self) -> bool:
        """Whether rollouts failed, so that it is not ranked.

        Its averages hold rollouts that left the range of the DNS, and leave out those that blew up.
        """
        return self.survived < self.rollouts

    @property
    def comparable(self) -> bool:
        """Whether all rollouts survived and all resolved shells enter the scores, so that these can be ranked."""
        return self.survived == self.rollouts > 0 and self.fewer_shells is None

    @property
    def learned(self) -> bool:
        """Whether the stepper contains a network (a closure with fitted constants counts as LES)."""
        return self.kind in LEARNED


def separated(better: Estimate, worse: Estimate, *, smaller_is_better: bool = True) -> bool:
    """Say whether `better` is better than `worse` outside both 95 % intervals."""
    if smaller_is_better:
        return better.high < worse.low
    return better.low > worse.high


def rank(standings: Iterable[Standing], score: Score) -> list[Standing]:
    """Return LES and learned models with a finite score and without a failed rollout, best first.

    Averages leave out the rollouts that blew up, which are the worst: with one of eight alive, a model would be
    judged by its luckiest rollout. A coarser LES is judged on the shells that it resolves, an easier task. What noise
    achieves through the constraints of a model is no achievement of the model.
    """
    standings = list(standings)
    sign = 1.0 if score.smaller_is_better else -1.0
    eligible = [
        row
        for row in standings
        if row.kind in COMPETING
        and row.comparable
        and math.isfinite(row[score].value)
        and beats_its_noise(row, standings, score)
    ]
    return sorted(eligible, key=lambda row: sign * row[score].value)


def beats_its_noise(row: Standing, standings: Iterable[Standing], score: Score) -> bool:
    """Say whether a stepper is better than noise through its own constraints outside the intervals.

    True without constraints from reference data, and where the noise has no score, as all of its rollouts blew up.
    """
    noise = next((one[score] for one in standings if one.name == row.noise), MISSING)
    if not math.isfinite(noise.value):
        return True
    return separated(row[score], noise, smaller_is_better=score.smaller_is_better)


def pareto_front(standings: Iterable[Standing], score: Score = SPECTRUM) -> list[Standing]:
    """Return the steppers which no other beats in both cost and score, cheapest first."""
    rows = [row for row in rank(standings, score) if math.isfinite(row.cost.value)]
    front: list[Standing] = []
    for row in sorted(rows, key=lambda row: (row.cost.value, row[score].value)):
        if not front or row[score].value < front[-1][score].value:
            front.append(row)
    return front


def displayed(standings: Iterable[Standing]) -> list[Standing]:
    """Return the rows as tables show them: DNS, who is ranked, who is not, controls."""

    def place(row: Standing) -> tuple[bool, ...]:
        return row.kind != "floor", row.kind == "control", row.has_failures or row.fewer_shells is not None

    return sorted(standings, key=place)


def speed_up(dns: Standing, row: Standing) -> float:
    """Return how many times less than DNS a stepper costs, both one trajectory at a time; NaN if not timed."""
    return dns.cost_single.value / row.cost_single.value if row.cost_single.value > 0 else NAN


def standings(flow: FlowResults) -> list[Standing]:
    """Return one row per stepper of a flow: DNS, LES, learned models, controls, in the experiment's order.

    Several seeds of one model become their median, with an interval over seeds and initial states
    (`statistics.pooled`).
    """
    steppers = sorted(flow.steppers, key=lambda stepper: ORDER.index(stepper.kind))
    names = list(dict.fromkeys(stepper.name for stepper in steppers))
    rows = [_standing(flow, flow.seeds_of(name)) for name in names]
    persistence = next((row for row in rows if row.name == "persistence"), None)
    return [_relative_to_persistence(row, persistence) for row in rows]


def _standing(flow: FlowResults, seeds: list[StepperResults]) -> Standing:
    first = seeds[0]
    per_seed = [_estimates(stepper.scores) for stepper in seeds]
    keys = list(dict.fromkeys(key for estimates in per_seed for key in estimates))
    failures = np.concatenate([stepper.failure_times for stepper in seeds])
    failed = failures[np.isfinite(failures)]
    single, batch = _costs(flow.timings, first.name)
    estimates = per_seed[0]
    if len(seeds) > 1:
        pooled = flow.pooled[first.name]
        estimates = {key: _pool([one[key] for one in per_seed if key in one], pooled.get(key)) for key in keys}
    points, cutoff = (first.statistics.attrs.get(key) for key in ("points", "cutoff"))
    resolved = int(flow.dns.statistics.attrs["cutoff"])
    return Standing(
        name=first.name,
        kind=first.kind,
        seeds=len(seeds),
        estimates=estimates,
        survived=len(failures) - len(failed),
        rollouts=len(failures),
        failure_time=float(np.median(failed)) if failed.size else NAN,
        cost_single=single,
        cost_batch=batch,
        solver_code=_solver_code(flow.timings, first.name),
        peak_memory=_median(stepper.measured.get("peak_memory_bytes") for stepper in seeds),
        training_seconds=_training_seconds(flow, first.name),
        parameters=_median(stepper.cost.get("parameters") for stepper in seeds),
        courant_number=float(first.statistics.attrs.get("courant_number", NAN)),
        on_alternative_grid=points is not None and tuple(points) != flow.flow.large_eddy_grid.points,
        fewer_shells=int(cutoff) if cutoff is not None and cutoff < resolved else None,
        constraint_activity=estimates.get("constraint_activity", MISSING).value,
        activities=_activities(estimates),
        noise=noise_name(first.name) if _is_constrained(flow, first.name) else None,
    )


def _is_constrained(flow: FlowResults, name: str) -> bool:
    return name in flow.flow.surrogates and bool(flow.flow.surrogates[name].constraints)


def _activities(estimates: dict[str, Estimate]) -> tuple[Activity, ...]:
    return tuple(
        Activity(name, estimates[f"{name}_activity"].value, estimates[f"{name}_changed_energy"].value)
        for name in CONSTRAINTS
        if f"{name}_activity" in estimates
    )


def _training_seconds(flow: FlowResults, name: str) -> float:
    """Return the median over the seeds of what a training took; what a model boosts had to be trained before it."""
    models = [name, *(boosted_models(flow.flow, name) if name in flow.flow.surrogates else [])]
    return sum(
        _median(one.measured.get("training_seconds") for one in flow.trainings if one.name == model) for model in models
    )


def _estimates(scores: pd.DataFrame) -> dict[str, Estimate]:
    """One estimate per statistic; errors after one step are keyed `relative_l2_error step 1` and so on."""
    estimates = {}
    for row in scores.to_dict("records"):
        statistic, window = str(row["statistic"]), str(row["window"])
        key = f"{statistic} {window}" if statistic == "relative_l2_error" else statistic
        estimates[key] = Estimate(*(float(row[part]) for part in ("value", "low", "high", "floor")))
    return estimates


def _pool(seeds: list[Estimate], pooled: PooledScore | None) -> Estimate:
    """Return the median of the seeds; what validation measured once and is no average has no interval over seeds."""
    low, high = (NAN, NAN) if pooled is None else pooled.interval
    return Estimate(_median(one.value for one in seeds), low, high, _median(one.floor for one in seeds))


def _median(values: Iterable[float | int | None]) -> float:
    finite = [float(value) for value in values if value is not None and math.isfinite(value)]
    return float(np.median(finite)) if finite else NAN


def _costs(timings: pd.DataFrame, name: str) -> tuple[Estimate, Estimate]:
    """Seconds per turnover time at batch 1 and at the largest batch, pooled over seeds."""
    rows = timings[timings["stepper"] == name]
    largest = rows["batch"].max() if len(rows) else 1

    def at(batch: int) -> Estimate:
        chosen = rows[rows["batch"] == batch]
        if chosen.empty:
            return MISSING
        return Estimate(
            float(chosen["seconds_per_turnover_time"].median()),
            float(chosen["low"].min()),
            float(chosen["high"].max()),
        )

    return at(1), at(int(largest)) if largest > 1 else MISSING


def _solver_code(timings: pd.DataFrame, name: str) -> str:
    """Return what takes the steps of a stepper's solver."""
    words = timings.loc[timings["stepper"] == name, "solver_code"].dropna()
    return "" if words.empty else str(words.iloc[0])


def _relative_to_persistence(row: Standing, persistence: Standing | None) -> Standing:
    """Add the one-step error as a fraction of that of a stepper which changes nothing."""
    error = row.estimates.get("relative_l2_error step 1")
    reference = persistence and persistence.estimates.get("relative_l2_error step 1")
    if error is None or not reference or not reference.value > 0:
        return row
    fraction = Estimate(*(part / reference.value for part in (error.value, error.low, error.high)))
    return replace(row, estimates={**row.estimates, ONE_STEP.key: fraction})
