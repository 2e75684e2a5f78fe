"""Every job of an experiment and its signature, which says what its results depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eddymark.closures import CLOSURES
from eddymark.config.equations import Equations
from eddymark.config.refinement import Refinement
from eddymark.config.schema import WEIGHTS_FILE, Experiment, Flow, LargeEddySimulation, Surrogate
from eddymark.config.steppers import (
    Solver,
    StepperName,
    boosted_models,
    closure_models,
    longest_history,
    solvers,
    stepper_names,
)
from eddymark.errors import EddymarkError
from eddymark.fingerprint import SourceTree, foreign_fingerprint
from eddymark.flows import FLOWS
from eddymark.operators import OPERATORS
from eddymark.source_data import source_digests, weights_digest

OUTPUTS: dict[str, tuple[str, ...]] = {
    "generate": (
        "train.zarr.zip",
        "validation.zarr.zip",
        "test.zarr.zip",
        "unfiltered_validation.zarr.zip",
        "unfiltered_test.zarr.zip",
        "stress.zarr.zip",
        "budget.csv",
    ),
    "importing": ("train.zarr.zip", "validation.zarr.zip", "test.zarr.zip", "budget.csv"),
    "timestep": ("timestep.json",),
    "train": ("weights.safetensors", "model.json", "history.csv"),
    "validate": ("rollouts.zarr.zip", "statistics.nc", "scores.csv", "cost.json"),
    "apriori": ("apriori.csv", "dissipation.csv"),
    "cost": ("cost.csv",),
    "report": ("index.html", "figures", "tables", "metrics.json"),
}
"""What the jobs of each driver write into their folder, beside `signature.json`."""

_PACKAGE = Path(__file__).parent
_STRUCTURE = {
    "kind",
    "operator",
    "solver",
    "history",
    "output",
    "bundle",
    "boosts",
    "known_physics",
    "error_variances",
    "constraints",
    "refinement",
    "autocast",
    "compile",
}
"""How a model is built; what else its configuration says is about its training."""


_NOT_DATA = {"validation", "large_eddy_simulations", "alternative_grids", "surrogates"}
"""What of a flow the data do not depend on: states are kept for any alternative grid."""


@dataclass(frozen=True)
class Job:
    """One job: a stage applied to one item of the experiment.

    Arguments:
        stage: generate, timestep, train, validate, apriori, cost or report.
        flow: name of the flow ("" for the report).
        name: shard, model or stepper ("" where there is none).
        seed: training seed, if the job has one.
        folder: where its outputs go, relative to the results.
        upstream: folders of the jobs whose outputs it reads.
        fragment: the part of the experiment on which it depends.
        sources: digest of the sources that it runs.
        signature: digest of the fragment, the sources and the signatures of the upstream jobs.
        driver: module of `eddymark.stages` that does it and rule of the workflow that runs it: the stage's name, but
            importing for the generate jobs of a flow with a source.
    """

    stage: str
    flow: str
    name: str
    seed: int | None
    folder: str
    upstream: tuple[str, ...]
    fragment: dict[str, Any]
    sources: str
    signature: str
    driver: str

    @property
    def own(self) -> dict[str, str]:
        """Digests of what the signature depends on beside the upstream jobs, by name."""
        return {"configuration": _digest(self.fragment), "sources": self.sources}

    @property
    def arguments(self) -> tuple[str, ...]:
        """Arguments of the command `eddymark` that run the job."""
        item = (self.flow, self.name, "" if self.seed is None else str(self.seed))
        return (self.stage, *filter(None, item))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Files and folders which the job writes, relative to its folder."""
        return OUTPUTS[self.driver]


def plan(experiment: Experiment) -> dict[str, Job]:
    """Return all jobs of an experiment by folder, upstream jobs first."""
    jobs: dict[str, Job] = {}
    tree = SourceTree({"eddymark": _PACKAGE})
    for name, flow in experiment.flows.items():
        for job in _flow_jobs(experiment, name, flow, tree, jobs):
            jobs[job.folder] = job
    types = [FLOWS[flow.type] for flow in experiment.flows.values()]
    everything = experiment.model_dump(mode="json")
    report = _job(tree, jobs, "report", "", "report", everything, types, list(jobs))
    return jobs | {report.folder: report}


def find_job(jobs: Mapping[str, Job], folder: str) -> Job:
    """Return the job with a folder.

    Raises:
        EddymarkError: if there is none; it names those that are most like it.
    """
    if folder not in jobs:
        siblings = [name for name in jobs if name.split("/")[:2] == folder.split("/")[:2]]
        flows = dict.fromkeys(name.partition("/")[0] for name in jobs)
        raise EddymarkError(f"no job {folder} in the experiment; there are: {', '.join(siblings or flows)}")
    return jobs[folder]


def _flow_jobs(experiment: Experiment, name: str, flow: Flow, tree: SourceTree, jobs: dict[str, Job]) -> Iterator[Job]:
    execution = experiment.model_dump(mode="json", include={"device", "precision", "threads"})
    data: dict[str, Any] = {"seed": experiment.seed, "flow": flow.model_dump(mode="json", exclude=_NOT_DATA)}
    if flow.source is not None:
        # What is in the files counts, not where they lie.
        data["flow"]["source"] |= {"files": source_digests(flow.source)}
    # Where rollouts and timing start depends on all surrogates of the flow.
    start = {"longest_history": longest_history(flow)}
    judged = data | execution | start | {"validation": flow.validation.model_dump(mode="json")}
    types = [FLOWS[flow.type]]

    generated = [f"{name}/generate/{shard}" for shard in range(flow.sampling.shards)]
    for shard, folder in enumerate(generated):
        driver = "generate" if flow.source is None else "importing"
        yield _job(tree, jobs, "generate", name, folder, data, types, [], item=str(shard), driver=driver)

    steps = {key: f"{name}/train/{key}/timestep" for key, solver in solvers(flow).items() if solver.is_measured}
    for key, folder in steps.items():
        solver = solvers(flow)[key]
        fragment = data | execution | {"solver": _solver_section(solver)}
        used = types + _closure_types(solver.simulation)
        yield _job(tree, jobs, "timestep", name, folder, fragment, used, generated, item=key)

    def depth(stepper: StepperName) -> int:
        return 0 if stepper.seed is None else len(boosted_models(flow, stepper.name))

    # What is boosted comes first.
    for stepper in sorted(stepper_names(flow), key=depth):
        section: Any = None
        used, needed = types, [*generated, *filter(None, [steps.get(stepper.name)])]
        if stepper.seed is not None:
            surrogate = flow.surrogates[stepper.name]
            section = _model_section(surrogate)
            used = types + _surrogate_types(flow, stepper.name)
            folder = f"{name}/train/{stepper.name}/seed{stepper.seed}"
            fragment = data | execution | {"model": section}
            boosted = [f"{name}/train/{surrogate.boosts}/seed{stepper.seed}"] if surrogate.boosts else []
            read = [*needed, *boosted]
            asked = used + _closure_types(surrogate.objective.equations)
            yield _job(tree, jobs, "train", name, folder, fragment, asked, read, item=stepper.name, seed=stepper.seed)
            # All its weights are there, those of what it boosts included.
            needed = [*needed, folder]
            # Training knows nothing of what is done to its outputs afterwards.
            section = section | surrogate.model_dump(mode="json", include={"refinement"})
            used = used + _closure_types(surrogate.refinement)
        elif stepper.kind == "les":
            solver = solvers(flow)[stepper.name]
            section = _solver_section(solver)
            used = types + _closure_types(solver.simulation)
        elif stepper.model is not None:
            constrained = {"kind", "known_physics", "constraints"}
            section = flow.surrogates[stepper.model].model_dump(mode="json", include=constrained)
        folder = f"{name}/validate/{stepper.folder}"
        fragment = judged | {"stepper": section}
        yield _job(tree, jobs, "validate", name, folder, fragment, used, needed, item=stepper.folder)

    # Only a DNS keeps the true stress; a source may be filtered already.
    if flow.source is None:
        # Trained closures come with their constants or networks, and so from their training.
        models = closure_models(flow)
        alone = flow.large_eddy_simulations | models
        closures = {key: simulation.closure.model_dump(mode="json") for key, simulation in alone.items()}
        fragment = data | execution
        fragment |= {"closures": closures, "bootstrap_samples": flow.validation.bootstrap_samples}
        used = [path for simulation in alone.values() for path in _closure_types(simulation)]
        used += [path for model in models for path in _surrogate_types(flow, model)]
        trained = [f"{name}/train/{model}/seed{seed}" for model in models for seed in flow.surrogates[model].seeds]
        needed = [*generated, *trained]
        yield _job(tree, jobs, "apriori", name, f"{name}/validate/apriori", fragment, types + used, needed)

    # A model is timed with its initial weights, so its training is none of the timing's business.
    timed = {name: _structure(surrogate) for name, surrogate in flow.surrogates.items()}
    steppers = flow.model_dump(mode="json", include={"large_eddy_simulations", "alternative_grids"})
    steppers |= {"surrogates": timed}
    used = [path for simulation in flow.large_eddy_simulations.values() for path in _closure_types(simulation)]
    used += [path for model in flow.surrogates for path in _surrogate_types(flow, model)]
    used += _closure_types(*(surrogate.refinement for surrogate in flow.surrogates.values()))
    fragment = data | execution | steppers
    needed = [*generated, *steps.values()]
    yield _job(tree, jobs, "cost", name, f"{name}/validate/cost", fragment, types + used, needed)


def _job(
    tree: SourceTree,
    jobs: dict[str, Job],
    stage: str,
    flow: str,
    folder: str,
    fragment: dict[str, Any],
    registered: list[str],
    upstream: list[str],
    *,
    item: str = "",
    seed: int | None = None,
    driver: str | None = None,
) -> Job:
    own = {"stage": stage, "flow": flow, "name": item, "seed": seed}
    fragment = fragment | {"job": own}
    driver = driver or stage
    sources = _sources(tree, driver, sorted(set(registered)))
    signature = _digest(
        {"fragment": fragment, "sources": sources, "upstream": {key: jobs[key].signature for key in upstream}}
    )
    return Job(stage, flow, item, seed, folder, tuple(upstream), fragment, _digest(sources), signature, driver)


def _digest(content: object) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _sources(tree: SourceTree, driver: str, registered: Iterable[str]) -> list[str]:
    """Return the fingerprints of what a job runs: its driver and the classes that it looks up by name."""
    own = [path for path in registered if path.startswith("eddymark.")]
    foreign = [path for path in registered if not path.startswith("eddymark.")]
    templates = sorted((_PACKAGE / "report" / "templates").rglob("*")) if driver == "report" else []
    files = [path for path in templates if path.is_file()]
    return [tree.fingerprint([f"eddymark.stages.{driver}", *own], files), *map(foreign_fingerprint, foreign)]


def _model_section(surrogate: Surrogate) -> dict[str, Any]:
    """Return what the training of a model depends on; of a file of weights counts what is in it, not where it lies."""
    section = surrogate.model_dump(mode="json", exclude={"seeds", "extends", "refinement"})
    weights = None if surrogate.operator is None else surrogate.operator.arguments.get(WEIGHTS_FILE)
    if isinstance(weights, str) and Path(weights).is_file():
        section["operator"]["arguments"][WEIGHTS_FILE] = weights_digest(Path(weights))
    return section


def _structure(surrogate: Surrogate) -> dict[str, Any]:
    """Return what the time of a step depends on; values of weights, and so a file of them, do not count."""
    section = surrogate.model_dump(mode="json", include=_STRUCTURE)
    if surrogate.operator is not None:
        section["operator"]["arguments"].pop(WEIGHTS_FILE, None)
    return section


def _solver_section(solver: Solver) -> dict[str, Any]:
    return solver.simulation.model_dump(mode="json") | {"points": solver.points}


def _closure_types(*equations: LargeEddySimulation | Equations | Refinement | None) -> list[str]:
    """Return the dotted paths of the closures of an LES, and of what trainings and refinements ask for, if they do."""
    return [CLOSURES[one.closure.type] for one in equations if one is not None]


def _surrogate_types(flow: Flow, model: str) -> list[str]:
    """Return the dotted paths of the operators and of the closure that a surrogate uses."""
    used = [flow.surrogates[name] for name in (model, *boosted_models(flow, model))]
    types = [path for one in used if one.solver is not None for path in _closure_types(one.solver)]
    operators = [one.operator.type for one in used if one.operator is not None]
    return types + [OPERATORS.get(operator, operator) for operator in operators]
