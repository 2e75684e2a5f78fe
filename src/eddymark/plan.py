"""Every job of an experiment and its signature, which says what its results depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eddymark.closures import CLOSURES
from eddymark.config.schema import Experiment, Flow, LargeEddySimulation, Surrogate
from eddymark.config.steppers import longest_history, stepper_names
from eddymark.fingerprint import SourceTree, foreign_fingerprint
from eddymark.flows import FLOWS
from eddymark.operators import OPERATORS

OUTPUTS: dict[str, tuple[str, ...]] = {
    "generate": ("train.zarr.zip", "validation.zarr.zip", "test.zarr.zip", "budget.csv"),
    "train": ("weights.safetensors", "model.json", "history.csv"),
    "validate": ("rollouts.zarr.zip", "statistics.nc", "scores.csv", "cost.json"),
    "cost": ("cost.csv",),
    "report": ("index.html", "figures", "tables", "metrics.json"),
}
"""What the jobs of each stage write into their folder, beside `signature.json`."""

_PACKAGE = Path(__file__).parent
_STRUCTURE = {"kind", "operator", "solver", "history", "known_physics"}
"""How a model is built; what else its configuration says is about its training."""


@dataclass(frozen=True)
class Job:
    """One job: a stage applied to one item of the experiment.

    Arguments:
        stage: generate, train, validate, cost or report.
        flow: name of the flow ("" for the report).
        name: shard, model or stepper ("" where there is none).
        seed: training seed, if the job has one.
        folder: where its outputs go, relative to the results.
        upstream: folders of the jobs whose outputs it reads.
        fragment: the part of the experiment on which it depends.
        signature: digest of the fragment, the sources and the signatures of the upstream jobs.
    """

    stage: str
    flow: str
    name: str
    seed: int | None
    folder: str
    upstream: tuple[str, ...]
    fragment: dict[str, Any]
    signature: str

    @property
    def outputs(self) -> tuple[str, ...]:
        """Files and folders which the job writes, relative to its folder."""
        return OUTPUTS[self.stage]


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


def _flow_jobs(experiment: Experiment, name: str, flow: Flow, tree: SourceTree, jobs: dict[str, Job]) -> Iterator[Job]:
    execution = experiment.model_dump(mode="json", include={"device", "precision", "threads"})
    data = {
        "seed": experiment.seed,
        "flow": flow.model_dump(mode="json", exclude={"validation", "large_eddy_simulations", "surrogates"}),
    }
    # Where rollouts and timing start depends on all surrogates of the flow.
    start = {"longest_history": longest_history(flow)}
    judged = data | execution | start | {"validation": flow.validation.model_dump(mode="json")}
    types = [FLOWS[flow.type]]

    generated = [f"{name}/generate/{shard}" for shard in range(flow.sampling.shards)]
    for shard, folder in enumerate(generated):
        yield _job(tree, jobs, "generate", name, folder, data, types, [], item=str(shard))

    for stepper in stepper_names(flow):
        section: Any = None
        used, needed = types, generated
        if stepper.seed is not None:
            surrogate = flow.surrogates[stepper.name]
            section = surrogate.model_dump(mode="json", exclude={"seeds"})
            used = types + _surrogate_types(surrogate)
            folder = f"{name}/train/{stepper.name}/seed{stepper.seed}"
            fragment = data | execution | {"model": section}
            yield _job(
                tree, jobs, "train", name, folder, fragment, used, generated, item=stepper.name, seed=stepper.seed
            )
            needed = [*generated, folder]
        elif stepper.kind == "les":
            simulation = flow.large_eddy_simulations[stepper.name]
            section = simulation.model_dump(mode="json")
            used = types + _closure_types(simulation)
        folder = f"{name}/validate/{stepper.folder}"
        fragment = judged | {"stepper": section}
        yield _job(tree, jobs, "validate", name, folder, fragment, used, needed, item=stepper.folder)

    # A model is timed with its initial weights, so its training is none of the timing's business.
    timed = {name: surrogate.model_dump(mode="json", include=_STRUCTURE) for name, surrogate in flow.surrogates.items()}
    models = flow.model_dump(mode="json", include={"large_eddy_simulations"}) | {"surrogates": timed}
    used = [path for simulation in flow.large_eddy_simulations.values() for path in _closure_types(simulation)]
    used += [path for surrogate in flow.surrogates.values() for path in _surrogate_types(surrogate)]
    fragment = data | execution | models
    yield _job(tree, jobs, "cost", name, f"{name}/validate/cost", fragment, types + used, generated)


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
) -> Job:
    own = {"stage": stage, "flow": flow, "name": item, "seed": seed}
    fragment = fragment | {"job": own}
    content = {
        "fragment": fragment,
        "sources": _sources(tree, stage, sorted(set(registered))),
        "upstream": {key: jobs[key].signature for key in upstream},
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    signature = hashlib.sha256(text.encode()).hexdigest()
    return Job(stage, flow, item, seed, folder, tuple(upstream), fragment, signature)


def _sources(tree: SourceTree, stage: str, registered: Iterable[str]) -> list[str]:
    """Return the fingerprints of what a job runs: its driver and the classes that it looks up by name."""
    own = [path for path in registered if path.startswith("eddymark.")]
    foreign = [path for path in registered if not path.startswith("eddymark.")]
    templates = sorted((_PACKAGE / "report" / "templates").rglob("*")) if stage == "report" else []
    files = [path for path in templates if path.is_file()]
    return [tree.fingerprint([f"eddymark.stages.{stage}", *own], files), *map(foreign_fingerprint, foreign)]


def _closure_types(simulation: LargeEddySimulation) -> list[str]:
    return [CLOSURES[simulation.closure.type]]


def _surrogate_types(surrogate: Surrogate) -> list[str]:
    """Return the dotted paths of the operator and of the closure that a surrogate uses."""
    types = [] if surrogate.solver is None else _closure_types(surrogate.solver)
    if surrogate.operator is not None:
        types.append(OPERATORS.get(surrogate.operator.type, surrogate.operator.type))
    return types
