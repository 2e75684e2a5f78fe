"""YAML documents that remember which file each value came from, through every merge."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from eddymark.config.findings import ConfigurationError, Finding, show

Keys = tuple[str | int, ...]

NAME = ""
"""Last element of a path which means the name of a section, not what is in it: the two may stand in two files."""


@dataclass(frozen=True)
class Place:
    """A key in a file."""

    file: str
    keys: Keys

    @property
    def key(self) -> str:
        """The key as the user would write it: `schedule.learning_rate`."""
        return ".".join(str(key) for key in self.keys) or "the whole file"


@dataclass(frozen=True)
class Document:
    """A mapping read from files.

    Arguments:
        value: the mapping.
        places: where the subtree at each path stands; below these paths, keys continue as in the file.
    """

    value: dict[Any, Any]
    places: dict[Keys, Place] = field(default_factory=dict)

    def place(self, path: Keys) -> Place:
        """Return the file and key at which the value of a path stands, or would stand."""
        if path not in self.places and path[-1:] == (NAME,):
            path = path[:-1]
        for length in range(len(path), -1, -1):
            origin = self.places.get(path[:length])
            if origin is not None:
                return Place(origin.file, origin.keys + path[length:])
        raise KeyError(path)

    def at(self, path: Keys) -> Document:
        """Return the section at a path as a document of its own."""
        value: Any = self.value
        for key in path:
            value = value[key]
        below = {keys[len(path) :]: place for keys, place in self.places.items() if keys[: len(path)] == path}
        return Document(value, {(): self.place(path)} | below)

    def without(self, key: str) -> Document:
        """Return the document without one of its top keys."""
        value = {name: section for name, section in self.value.items() if name != key}
        return Document(value, {keys: place for keys, place in self.places.items() if keys[:1] != (key,)})

    def with_section(self, key: str, section: Document) -> Document:
        """Return the document with one of its top keys replaced by another document."""
        result = self.without(key)
        places = {(key, *keys): place for keys, place in section.places.items()}
        return Document(result.value | {key: section.value}, result.places | places)

    def merged(self, over: Document) -> Document:
        """Return this document with another merged over it.

        Mappings are merged recursively, everything else is replaced, as Snakemake does with `--configfile`.
        """
        places = dict(self.places)

        def merge(base: dict[Any, Any], top: dict[Any, Any], path: Keys) -> dict[Any, Any]:
            result = dict(base)
            for key, value in top.items():
                keys = (*path, key)
                if isinstance(value, dict) and isinstance(base.get(key), dict):
                    result[key] = merge(base[key], value, keys)
                    continue
                result[key] = value
                for known in [known for known in places if known[: len(keys)] == keys]:
                    del places[known]
                places[keys] = over.place(keys)
                places.update({k: place for k, place in over.places.items() if k[: len(keys)] == keys})
            return result

        value = merge(self.value, over.value, ())
        return Document(value, places)


class _Loader(yaml.SafeLoader):
    """Safe YAML, in which `1e-3` is a number as in YAML 1.2."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def label(path: Path) -> str:
    """Return how a file is named in messages: relative to the working directory where that is possible."""
    try:
        return path.resolve().relative_to(Path.cwd().resolve()).as_posix()
    except ValueError:
        return path.as_posix()


def read_document(path: Path) -> Document:
    """Read a YAML file whose top level is a mapping.

    Raises:
        ConfigurationError: if the file cannot be read, is not YAML, repeats a key or is not a mapping.
    """
    name = label(path)
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=_Loader)
        repeated = list(_repeated_keys(node, ())) if node is not None else []
        value = yaml.load(text, Loader=_Loader)  # a SafeLoader
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "text in another encoding"
        raise ConfigurationError([Finding(name, "the whole file", "a readable YAML file", reason)]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}" if mark else "the whole file"
        raise ConfigurationError([Finding(name, where, "valid YAML", str(error.problem))]) from None
    except yaml.YAMLError as error:
        raise ConfigurationError([Finding(name, "the whole file", "valid YAML", str(error))]) from None
    findings = [
        Finding(name, Place(name, keys).key, "every key once", f"it again in line {line}") for keys, line in repeated
    ]
    if value is None:
        value = {}
    if not isinstance(value, dict):
        findings.append(Finding(name, "the whole file", "a mapping of keys to values", show(value)))
    if findings:
        raise ConfigurationError(findings)
    return Document(value, {(): Place(name, ())})


def _repeated_keys(node: yaml.Node, path: Keys) -> list[tuple[Keys, int]]:
    """Return the path and line of every key that stands twice in one mapping."""
    result: list[tuple[Keys, int]] = []
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            result += _repeated_keys(item, (*path, index))
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            keys = (*path, str(key.value))
            if keys in seen:
                result.append((keys, key.start_mark.line + 1))
            seen.add(keys)
            result += _repeated_keys(value, keys)
    return result
