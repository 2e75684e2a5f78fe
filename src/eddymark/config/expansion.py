"""Flows and surrogates in their full length: their files, what they extend, and the experiment's changes to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eddymark.config.documents import NAME, Document, label, read_document
from eddymark.config.findings import ConfigurationError, Finding, nearest_name, show


def expand(merged: Document, folder: Path, findings: list[Finding]) -> Document:
    """Replace the overrides of flows and surrogates by their files with the overrides merged over.

    Arguments:
        merged: the merged files of an experiment.
        folder: the folder with `flows` and `surrogates`.
        findings: where what is wrong goes.
    """
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
