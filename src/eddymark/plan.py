"""Every job of an experiment and its signature, which says what its results depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eddymark.closures import CLOSURES
from eddymark.config.names import CONTROLS
from eddymark.config.schema import Experiment, Flow, LargeEddySimulation, Surrogate
from eddymark.fingerprint import foreign_fingerprint, source_fingerprint
from eddymark.flows import FLOWS
from eddymark.operators import OPERATORS

OUTPUTS: dict[str, tuple[str, ...]] = {
    "generate": ("train.zarr.zip", "validation.zarr.zip", "test.zarr.zip", "budget.csv"),
    "train": ("weights.safetensors", "model.json", "history.csv"),
    "validate": ("rollouts.zarr.zip", "statistics.nc", "scores.csv", "cost.json"),
    "cost": ("cost.csv",),
    "report": ("index.html", "figures", "tables"),
}
"""What the jobs of each stage write into their folder, beside `signature.json`."""

_PACKAGE = Path(__file__).parent


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
    for name, flow in experiment.flows.items():
        for job in _flow_jobs(experiment, name, flow, jobs):
            jobs[job.folder] = job
    report = _job(
        jobs,
        "report",
        "",
        "",
        None,
        "report",
        list(jobs),
        experiment.model_dump(mode="json"),
        _flow_types(experiment),
    )
    return jobs | {report.folder: report}


def stepper_name(model: str, seed: int) -> str:
    """Return the name under which one trained model is validated."""
    return f"{model}-seed{seed}"


def _flow_jobs(experiment: Experiment, name: str, flow: Flow, jobs: dict[str, Job]) -> Iterator[Job]:
    execution = experiment.model_dump(mode="json", include={"device", "precision", "threads"})
    data = {
        "seed": experiment.seed,
        "flow": flow.model_dump(
            mode="json", exclude={"reference", "validation", "large_eddy_simulations", "surrogates"}
        ),
    }
    judged = data | execution | {"validation": flow.validation.model_dump(mode="json")}
    types = [FLOWS[flow.type]]

    generated = [f"{name}/generate/{shard}" for shard in range(flow.sampling.shards)]
    for shard, folder in enumerate(generated):
        yield _job(jobs, "generate", name, str(shard), None, folder, [], data, types)

    trained: dict[str, list[str]] = {}
    for model, surrogate in flow.surrogates.items():
        for seed in surrogate.seeds:
            folder = f"{name}/train/{model}/seed{seed}"
            fragment = data | execution | {"model": surrogate.model_dump(mode="json", exclude={"seeds"})}
            yield _job(
                jobs,
                "train",
                name,
                model,
                seed,
                folder,
                generated,
                fragment,
                types + _surrogate_types(surrogate),
            )
            trained.setdefault(model, []).append(folder)

    def validate(stepper: str, section: Any, upstream: list[str], used: list[str]) -> Job:
        folder = f"{name}/validate/{stepper}"
        fragment = judged | {"stepper": section}
        return _job(
            jobs, "validate", name, stepper, None, folder, generated + upstream, fragment, types + used
        )

    yield validate("dns", None, [], [])
    for key, simulation in flow.large_eddy_simulations.items():
        yield validate(key, simulation.model_dump(mode="json"), [], _closure_types(simulation))
    for key, surrogate in flow.surrogates.items():
        for seed, folder in zip(surrogate.seeds, trained[key], strict=True):
            section = surrogate.model_dump(mode="json", exclude={"seeds"})
            yield validate(stepper_name(key, seed), section, [folder], _surrogate_types(surrogate))
    for control in CONTROLS:
        yield validate(control, None, [], [])

    models = flow.model_dump(mode="json", include={"large_eddy_simulations", "surrogates"})
    used = [
        path for simulation in flow.large_eddy_simulations.values() for path in _closure_types(simulation)
    ]
    used += [path for surrogate in flow.surrogates.values() for path in _surrogate_types(surrogate)]
    upstream = generated + [folder for folders in trained.values() for folder in folders]
    yield _job(
        jobs,
        "cost",
        name,
        "",
        None,
        f"{name}/validate/cost",
        upstream,
        data | execution | models,
        types + used,
    )


def _job(
    jobs: dict[str, Job],
    stage: str,
    flow: str,
    name: str,
    seed: int | None,
    folder: str,
    upstream: list[str],
    fragment: dict[str, Any],
    registered: list[str],
) -> Job:
    own = {"stage": stage, "flow": flow, "name": name, "seed": seed}
    fragment = fragment | {"job": own}
    content = {
        "fragment": fragment,
        "sources": _sources(stage, tuple(sorted(set(registered)))),
        "upstream": {key: jobs[key].signature for key in upstream},
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    signature = hashlib.sha256(text.encode()).hexdigest()
    return Job(stage, flow, name, seed, folder, tuple(upstream), fragment, signature)


def _sources(stage: str, registered: Iterable[str]) -> list[str]:
    """Return the fingerprints of what a job runs: its driver and the classes that it looks up by name."""
    own = [path for path in registered if path.startswith("eddymark.")]
    foreign = [path for path in registered if not path.startswith("eddymark.")]
    templates = sorted((_PACKAGE / "report" / "templates").rglob("*")) if stage == "report" else []
    fingerprint = source_fingerprint(
        [f"eddymark.stages.{stage}", *own],
        packages={"eddymark": _PACKAGE},
        files=[path for path in templates if path.is_file()],
    )
    return [fingerprint, *map(foreign_fingerprint, foreign)]


def _closure_types(simulation: LargeEddySimulation) -> list[str]:
    return [CLOSURES[simulation.closure.type]]


def _surrogate_types(surrogate: Surrogate) -> list[str]:
    """Return the dotted paths of the operator and of the closure that a surrogate uses."""
    types = [] if surrogate.solver is None else _closure_types(surrogate.solver)
    if surrogate.operator is not None:
        types.append(OPERATORS.get(surrogate.operator.type, surrogate.operator.type))
    return types


def _flow_types(experiment: Experiment) -> list[str]:
    return [FLOWS[flow.type] for flow in experiment.flows.values()]
