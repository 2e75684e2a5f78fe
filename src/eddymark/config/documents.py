"""YAML documents that remember which file each value came from, through every merge."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from eddymark.config.findings import ConfigurationError, Finding, show

Keys = tuple[str | int, ...]

NAME = "\0"
"""Last element of a path which means the name of a section, not what is in it: the two may stand in two files.

No key of a YAML file can be equal to it.
"""


@dataclass(frozen=True)
class Place:
    """A key in a file."""

    file: str
    keys: Keys

    @property
    def key(self) -> str:
        """The key as the user would write it: `schedule.learning_rate`."""
        return ".".join(map(_key, self.keys)) or "the whole file"


def _key(key: object) -> str:
    """Return a key as it is, or quoted and short if it would not look like one."""
    return str(key) if re.fullmatch(r"[^\s.:'\"]{1,60}", str(key)) else show(key)


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

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, TypeError):
            # What PyYAML lets through: 2026-13-45, !!int word, 0x_, …
            kind = node.tag.rpartition(":")[2]
            raise yaml.constructor.ConstructorError(
                None, None, f"no {kind} that can be read", node.start_mark
            ) from None


_TEMPLATE = "__use_yte__"
"""Key of YAML files whose values Snakemake executes as Python before anybody else sees them."""

_DEEPEST = 50
"""Most sections in one another; an experiment has about ten."""

_LARGEST = 100_000
"""Most values of one file, aliases followed."""

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
    loader = None
    try:
        text = path.read_text(encoding="utf-8-sig")
        loader = _Loader(text)
        _check_depth(text)
        node = loader.get_single_node()
        _check_size(node)
        repeated = list(_repeated_keys(node, ())) if node is not None else []
        value = loader.construct_document(node) if node is not None else None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "text in another encoding"
        raise ConfigurationError([Finding(name, "the whole file", "a readable YAML file", reason)]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}" if mark else "the whole file"
        found = str(error.problem).removeprefix("found ")
        raise ConfigurationError([Finding(name, where, "valid YAML", found)]) from None
    except yaml.YAMLError as error:
        raise ConfigurationError([Finding(name, "the whole file", "valid YAML", str(error))]) from None
    finally:
        if loader is not None:
            loader.dispose()
    findings = [
        Finding(name, Place(name, keys).key, "every key once", f"it again in line {line}") for keys, line in repeated
    ]
    if value is None:
        value = {}
    if not isinstance(value, dict):
        findings.append(Finding(name, "the whole file", "a mapping of keys to values", show(value)))
    elif _TEMPLATE in value:
        findings.append(Finding(name, _TEMPLATE, "no template (Snakemake would execute what stands in it)", "one"))
    if findings:
        raise ConfigurationError(findings)
    return Document(value, {(): Place(name, ())})


def _check_depth(text: str) -> None:
    """Raise an error where a text is nested deeper than any experiment; readers of YAML are recursive."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            problem = f"more than {_DEEPEST} sections in one another"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)  # type: ignore[arg-type]


def _check_size(root: yaml.Node | None) -> None:
    """Raise an error if a document is endless, or huge, once all its aliases are followed."""
    sizes: dict[int, tuple[int, int]] = {}

    def measure(node: yaml.Node) -> tuple[int, int]:
        """Return how many values a node stands for and how deep they go; an alias comes after its anchor."""
        if id(node) not in sizes:
            sizes[id(node)] = (_LARGEST, 0)
            pairs = node.value if isinstance(node, yaml.MappingNode) else ()
            items = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in pairs for part in pair]
            below = [measure(item) for item in items]
            size, depth = 1 + sum(size for size, _ in below), 1 + max((depth for _, depth in below), default=0)
            if size > _LARGEST or depth > _DEEPEST:
                problem = f"aliases that make more than {_LARGEST} values or {_DEEPEST} sections in one another"
                raise yaml.composer.ComposerError(None, None, problem, node.start_mark)
            sizes[id(node)] = size, depth
        return sizes[id(node)]

    if root is not None:
        measure(root)


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
