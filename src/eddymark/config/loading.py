"""From YAML files to a validated `Experiment`, with every finding named where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eddymark.config.checks import check_experiment, check_flow
from eddymark.config.documents import Document, Place, label, read_document
from eddymark.config.expansion import expand
from eddymark.config.findings import ConfigurationError, Finding, Problem
from eddymark.config.schema import Experiment, Flow
from eddymark.config.schema_problems import schema_problems

_COMMAND_LINE = "command line (--config)"

FurtherCheck = Callable[[Experiment], Iterable[Problem]]
"""A check of a valid experiment which costs more than a look at its values; paths start at the experiment."""


def load_experiment(files: Sequence[Path], further: FurtherCheck | None = None) -> Experiment:
    """Load an experiment from YAML files.

    Later files are merged over earlier ones: mappings recursively, everything else replaced. The folders
    `flows` and `surrogates` stand beside the first file.

    Arguments:
        files: the files in the order of merging.
        further: a check that is made only if nothing else is wrong.

    Raises:
        ConfigurationError: with all findings at once.
    """
    return _experiment(_merged(files), files[0].parent, further)


def load_with_surrogate(files: Sequence[Path], experiment: Experiment, name: str, flows: Sequence[str]) -> Experiment:
    """Load an experiment and add a surrogate of the folder `surrogates` to some flows which do not have it.

    What it boosts is added where it is missing, too. They are not to be trained there: validation rollouts are as short
    as they can be, so that they fit into any data.

    Arguments:
        files: the files in the order of merging.
        experiment: what they describe.
        name: of the surrogate.
        flows: names of flows.

    Raises:
        ConfigurationError: with all findings at once.
    """
    folder = files[0].parent / "surrogates"
    names = [name]
    while (boosted := _boosted(folder, names[-1])) not in (None, *names):
        names.append(str(boosted))
    sections: dict[str, Any] = {}
    for flow in flows:
        schedule = {"validation_length": experiment.flows[flow].sampling.interval}
        missing = [one for one in names if one not in experiment.flows[flow].surrogates]
        sections[flow] = {"surrogates": {one: {"base": one, "schedule": schedule} for one in missing}}
    added = Document({"flows": sections}, {(): Place("command line", ())})
    return _experiment(_merged(files).merged(added), files[0].parent, None)


def _boosted(folder: Path, name: str) -> str | None:
    """Return what the surrogate of a file boosts, as far as there is a file of that name in the folder, too.

    Raises:
        ConfigurationError: if the file cannot be read.
    """
    boosted = read_document(folder / f"{name}.yaml").value.get("boosts")
    return boosted if isinstance(boosted, str) and (folder / f"{boosted}.yaml").exists() else None


def source_files(files: Sequence[Path]) -> list[str]:
    """Return the names of all files that describe an experiment, those of its flows and surrogates included.

    Arguments:
        files: the files in the order of merging.

    Raises:
        ConfigurationError: with all findings at once.
    """
    findings: list[Finding] = []
    document = expand(_merged(files), files[0].parent, findings)
    if findings:
        raise ConfigurationError(findings)
    return sorted({label(file) for file in files} | {place.file for place in document.places.values()})


def complete_mapping(experiment: Experiment) -> dict[str, Any]:
    """Return an experiment as a mapping which, as `config.yaml`, is read without any other file."""
    mapping = experiment.model_dump(mode="json")
    mapping["flows"] = {name: {"base": None} | flow for name, flow in mapping["flows"].items()}
    return mapping


def _merged(files: Sequence[Path]) -> Document:
    """Read files and merge each over those before it.

    Raises:
        ConfigurationError: with what is wrong with all of them.
    """
    findings: list[Finding] = []
    merged = Document({}, {(): Place(_COMMAND_LINE, ())})
    for index, file in enumerate(files):
        try:
            document = read_document(file)
        except ConfigurationError as error:
            findings += error.findings
        else:
            merged = merged.merged(document) if index else document
    if findings:
        raise ConfigurationError(findings)
    return merged


def experiment_from_mapping(
    mapping: Mapping[str, Any],
    config_folder: Path,
    files: Sequence[Path] = (),
    further: FurtherCheck | None = None,
) -> Experiment:
    """Load an experiment from a mapping which was already merged, such as Snakemake's `config`.

    Arguments:
        mapping: the merged mapping.
        config_folder: the folder with `flows` and `surrogates`.
        files: the files it was merged from, in order; they serve to name the file in findings. What differs
            from them was set on the command line.
        further: a check that is made only if nothing else is wrong.

    Raises:
        ConfigurationError: with all findings at once.
    """
    known = _merged(files)
    difference = Document(_difference(known.value, mapping), {(): Place(_COMMAND_LINE, ())})
    return _experiment(known.merged(difference), config_folder, further)


def _difference(base: Mapping[Any, Any], top: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return what has to be merged over `base` to get `top`."""
    result = {}
    for key, value in top.items():
        known = base.get(key)
        if isinstance(value, Mapping) and isinstance(known, Mapping):
            if below := _difference(known, value):
                result[key] = below
        elif key not in base or not _same(known, value):
            result[key] = dict(value) if isinstance(value, Mapping) else value
    return result


def _same(known: Any, value: Any) -> bool:
    """Return whether two readings of one YAML value agree; readers of YAML 1.1 leave `1e-3` as text."""
    if isinstance(known, list) and isinstance(value, list):
        return len(known) == len(value) and all(map(_same, known, value))
    if isinstance(known, float) and isinstance(value, str):
        return re.fullmatch(r"[-+0-9.eE]+", value) is not None and float(value) == known
    return bool(known == value)


def _experiment(merged: Document, folder: Path, further: FurtherCheck | None) -> Experiment:
    """Expand, validate and check a merged document.

    Raises:
        ConfigurationError: with all findings at once.
    """
    findings: list[Finding] = []
    document = expand(merged, folder, findings)
    experiment: Experiment | None = None
    try:
        experiment = Experiment.model_validate(document.value)
    except ValidationError as error:
        problems = schema_problems(error, document)
        findings += [_finding(document, problem) for problem in problems]
    if experiment is not None:
        if not experiment.flows and not findings:
            findings.append(_finding(document, Problem(("flows",), "at least one flow", "none")))
        findings += [_finding(document, problem) for problem in check_experiment(experiment)]
    flows = document.value.get("flows")
    for name, flow in (flows if isinstance(flows, dict) else {}).items():
        valid = _valid_part(flow)
        for problem in check_flow(str(name), valid) if valid is not None else ():
            findings.append(_finding(document.at(("flows", name)), problem))
    if experiment is not None and further is not None and not findings:
        findings += [_finding(document, problem) for problem in further(experiment)]
    if findings or experiment is None:
        raise ConfigurationError(list(dict.fromkeys(findings)))
    return experiment


def _finding(document: Document, problem: Problem) -> Finding:
    place = document.place(problem.path)
    return Finding(place.file, place.key, problem.expected, problem.found, problem.nearest)


def _valid_part(value: Any) -> Flow | None:
    """Return a flow without those of its models that have schema errors, so that the others are checked."""
    for _ in range(2):
        try:
            return Flow.model_validate(value)
        except ValidationError as error:
            value = dict(value) if isinstance(value, dict) else {}
            for detail in error.errors():
                section, *rest = detail["loc"]
                if section in ("surrogates", "large_eddy_simulations") and rest:
                    value[section] = _without(value[section], rest[0])
    return None


def _without(models: Mapping[Any, Any], removed: str | int) -> dict[Any, Any]:
    """Return models without one, and without those which boost it."""
    kept = {key: value for key, value in models.items() if key != removed}
    for key, value in list(kept.items()):
        if key in kept and isinstance(value, Mapping) and value.get("boosts") == removed:
            kept = _without(kept, key)
    return kept
