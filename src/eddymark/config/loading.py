"""From YAML files to a validated `Experiment`, with every finding named where it stands."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from eddymark.config.checks import check_experiment, check_flow
from eddymark.config.documents import NAME, Document, Keys, Place, label, read_document
from eddymark.config.findings import ConfigurationError, Finding, Problem, nearest_name, show
from eddymark.config.schema import Experiment, Flow

_COMMAND_LINE = "command line (--config)"

FurtherCheck = Callable[[Experiment], Iterable[Problem]]
"""A check of a valid experiment which costs more than a look at its values; paths start at the experiment."""

_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "text",
    "dict": "a section of keys",
    "model": "a section of keys",
    "tuple": "a list",
}


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
    document = _expand(_merged(files), files[0].parent, findings)
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
    document = _expand(merged, folder, findings)
    experiment: Experiment | None = None
    try:
        experiment = Experiment.model_validate(document.value)
    except ValidationError as error:
        problems = _schema_problems(error, document)
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


def _expand(merged: Document, folder: Path, findings: list[Finding]) -> Document:
    """Replace the overrides of flows and surrogates by their files with the overrides merged over."""
    described = merged.value.get("flows")
    if not isinstance(described, dict):
        return merged
    flows = _from_files(merged.at(("flows",)), folder / "flows", findings)
    for name, flow in flows.value.items():
        document = flows.at((name,))
        if isinstance(flow.get("surrogates"), dict):
            complete = described[name].get("base", name) is None
            sections = document.at(("surrogates",))
            extending = {key: value["extends"] for key, value in sections.value.items() if _extends(value)}
            for key in extending:
                sections = sections.without(key)
            surrogates = _from_files(sections, folder / "surrogates", findings, complete=complete)
            surrogates = _extended(surrogates, document.at(("surrogates",)), extending, findings)
            document = document.with_section("surrogates", surrogates)
        if isinstance(flow.get("large_eddy_simulations"), dict):
            simulations = document.at(("large_eddy_simulations",))
            for removed in [key for key, value in simulations.value.items() if value is None]:
                simulations = simulations.without(removed)
            document = document.with_section("large_eddy_simulations", simulations)
        flows = flows.with_section(name, document)
    return merged.with_section("flows", flows)


def _from_files(sections: Document, folder: Path, findings: list[Finding], *, complete: bool = False) -> Document:
    """Merge each section over the file of its name, or of its `base`; a section that is null is left out.

    A section whose base is null is complete. With `complete`, so are all that do not name a base.
    """
    result = Document({}, {(): sections.place(())})
    for name, value in sections.value.items():
        if value is None:
            continue
        if not isinstance(value, dict):
            place = sections.place((name,))
            findings.append(Finding(place.file, place.key, "a section of keys ({} if empty)", show(value)))
            continue
        base = value.get("base", None if complete else name)
        if base is None:
            result = result.with_section(name, sections.at((name,)).without("base"))
            continue
        file = folder / f"{base}.yaml"
        available = sorted(path.stem for path in folder.glob("*.yaml"))
        if base not in available:
            place = sections.place((name, "base") if "base" in value else (name,))
            expected = f"the name of a file in {label(folder)} ({', '.join(available) or 'which is empty'})"
            findings.append(Finding(place.file, place.key, expected, show(base), nearest_name(base, available)))
            continue
        try:
            document = read_document(file)
        except ConfigurationError as error:
            findings += error.findings
            continue
        section = document.merged(sections.at((name,)).without("base"))
        section.places[(NAME,)] = sections.place((name,))
        result = result.with_section(name, section)
    return result


def _extends(section: Any) -> bool:
    return isinstance(section, dict) and section.get("extends") is not None


def _extended(resolved: Document, sections: Document, extending: dict[Any, Any], findings: list[Finding]) -> Document:
    """Merge each section that extends another one of the same flow over it, in the order in which they stand.

    Arguments:
        resolved: the surrogates of a flow that stand alone.
        sections: all surrogates of the flow as they are written.
        extending: what each of the others extends.
        findings: where what is wrong goes.
    """
    left = dict(extending)
    while ready := [name for name, base in left.items() if isinstance(base, str) and base in resolved.value]:
        for name in ready:
            own = sections.at((name,))
            if "base" in own.value:
                place = own.place(("base",))
                findings.append(Finding(place.file, place.key, "no base beside extends", show(own.value["base"])))
                own = own.without("base")
            section = resolved.at((left.pop(name),)).merged(own)
            section.places[(NAME,)] = sections.place((name,))
            resolved = resolved.with_section(name, section)
    for name, base in left.items():
        place = sections.place((name, "extends"))
        others = [key for key in resolved.value if isinstance(key, str)]
        expected = f"another surrogate of the flow which does not extend this one ({', '.join(others) or 'none'})"
        findings.append(Finding(place.file, place.key, expected, show(base), nearest_name(base, others)))
    # As they stand in the file, which is the order of tables.
    for name in [name for name in sections.value if name in resolved.value]:
        resolved = resolved.with_section(name, resolved.at((name,)))
    return resolved


def _schema_problems(error: ValidationError, document: Document) -> list[Problem]:
    """Translate pydantic's errors into problems, one per key."""
    problems: dict[Keys, Problem] = {}
    for detail in error.errors(include_url=False):
        path, is_missing = _real_path(detail["loc"], document.value), detail["type"] == "missing"
        if is_missing:
            problems.setdefault(path, Problem(path, "a value (this key is required)", "nothing"))
        elif detail["type"] == "extra_forbidden":
            options = sorted(section_at(path[:-1]).model_fields)
            nearest = nearest_name(path[-1], options)
            expected = "a known key" if nearest else f"one of the keys {', '.join(options)}"
            problems.setdefault(path, Problem(path, expected, "an unknown key", nearest))
        else:
            expected = _expected(detail)
            options = re.findall(r"'([^']+)'", expected) if detail["type"] == "literal_error" else []
            problem = Problem(path, expected, show(detail["input"]), nearest_name(detail["input"], options))
            problems.setdefault(path, problem)
    # A misspelt required key is one mistake, not two.
    misspelt = {(*p.path[:-1], p.nearest) for p in problems.values() if p.found == "an unknown key"}
    return [p for p in problems.values() if not (p.found == "nothing" and p.path in misspelt)]


def _real_path(location: tuple[str | int, ...], value: Any) -> Keys:
    """Return the part of pydantic's location that is made of keys and indices (it adds names of types)."""
    path: list[str | int] = []
    for key in location:
        if isinstance(value, dict):
            # Keys such as shell numbers may be numbers in the file and text in the location.
            real = next((known for known in value if str(known) == str(key)), key)
            path.append(real)
            value = value.get(real)
        elif isinstance(value, list | tuple) and isinstance(key, int):
            path.append(key)
            value = value[key] if key < len(value) else None
        else:
            break
    return tuple(path)


def _expected(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in ("too_short", "too_long"):
        length = context.get("min_length", context.get("max_length"))
        return f"a list of {length} values"
    if "arguments" in detail["loc"] and not isinstance(detail["input"], dict):
        return "a number, a word or true/false"
    return _EXPECTED.get(kind.split("_")[0], detail["msg"].removeprefix("Input should be "))


def section_at(path: Sequence[str | int]) -> type[BaseModel]:
    """Return the model that describes the section at a path of the resolved experiment."""
    kind: Any = Experiment
    for key in path:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[str(key)].annotation
        else:
            arguments = typing.get_args(kind)
            kind = arguments[1] if typing.get_origin(kind) is dict else arguments[0]
        if typing.get_origin(kind) in (typing.Union, types.UnionType):
            kind = next(a for a in typing.get_args(kind) if a is not type(None))
    return typing.cast(type[BaseModel], kind)
