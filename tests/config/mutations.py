"""Hypothesis strategies that damage the YAML files of an experiment in every way a user, or a disk, might."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

Files = dict[str, bytes]
Draw = Callable[[st.SearchStrategy[Any]], Any]
Keys = tuple[Any, ...]

NAMES = (
    "../x",
    "/absolute/x",
    "..",
    "",
    " ",
    "a b",
    "naïve-λ",
    "日本",
    "x" * 300,
    "con\nfig",
    "-rf",
    ".hidden",
    "a/b",
    "*",
    "{flow}",
    "$(touch x)",
    "dns",
    "report",
    "cost",
    "FNO",
    "Kolmogorov",
    "fno-seed0",
)
"""Names that do not do as a folder's name, are taken, or fall together with others where case does not count."""

VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2,
    7,
    10**18,
    -(10**18),
    10**400,
    0.0,
    -0.5,
    0.1,
    1e-300,
    1e-9,
    1e300,
    float("inf"),
    float("-inf"),
    float("nan"),
    "",
    "0.5",
    "word",
    "2pi",
    "1" * 400,
    "λ",
    "x" * 10_000,
    "neuralop.models.FNOO",
    "os.system",
    "no_such_package.Operator",
    "..",
    ".x",
    "a..b",
    b"\x00\xff",
    datetime.date(2026, 1, 1),
    [],
    [1],
    [16, 16],
    [64, 64, 64, 64],
    [None, {}],
    [["2pi"]],
    {},
    {"a": 1},
    {1: 2, "b": [3]},
    {None: None},
    {"base": "fno"},
    {"base": "../config"},
    {"base": ["fno"]},
    {"base": None},
)


@st.composite
def mutated(draw: Draw, files: Files) -> Files:
    """Return the files of an experiment after one to three changes of values or keys, and sometimes one of the text."""
    result = dict(files)
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        name = draw(st.sampled_from(sorted(files)))
        document = yaml.safe_load(result[name])
        _TREE_CHANGES[draw(st.sampled_from(sorted(_TREE_CHANGES)))](draw, document)
        result[name] = yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode()
    if draw(st.integers(0, 5)) == 0:
        name = draw(st.sampled_from(sorted(files)))
        result[name] = draw(text_change(result[name]))
    return result


def _paths(value: Any, path: Keys = ()) -> list[Keys]:
    """Return the path of every value below a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, below in items for found in [(*path, key), *_paths(below, (*path, key))]]


def _parent(document: Any, path: Keys) -> Any:
    for key in path[:-1]:
        document = document[key]
    return document


def _pick(draw: Draw, document: Any) -> tuple[Any, Any]:
    """Return a container of the document and one of its keys."""
    path = draw(st.sampled_from(_paths(document) or [()]))
    return (_parent(document, path), path[-1]) if path else ({0: 0}, 0)


def _delete(draw: Draw, document: Any) -> None:
    container, key = _pick(draw, document)
    del container[key]


def _replace(draw: Draw, document: Any) -> None:
    container, key = _pick(draw, document)
    container[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))


def _scale(draw: Draw, document: Any) -> None:
    """Make a number larger or smaller, keeping its type: what is still plausible has to be accepted."""
    path = draw(st.sampled_from([p for p in _paths(document) if _is_number(_parent(document, p)[p[-1]])] or [()]))
    if path:
        container = _parent(document, path)
        container[path[-1]] = type(container[path[-1]])(container[path[-1]] * draw(st.sampled_from([0.5, 2, 3, -1])))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _add(draw: Draw, document: Any) -> None:
    container, _ = _pick(draw, document)
    value = copy.deepcopy(draw(st.sampled_from(VALUES)))
    if isinstance(container, list):
        container.insert(draw(st.integers(0, len(container))), value)
    else:
        container[draw(st.sampled_from([*NAMES, 0, 1.5, None, True, "seed", "viscosity", "base", "type"]))] = value


def _rename(draw: Draw, document: Any) -> None:
    """Misspell a key, or give it a name that cannot be one."""
    container, key = _pick(draw, document)
    if isinstance(container, list):
        return
    text = str(key)
    where = draw(st.integers(0, len(text)))
    typo = text[:where] + draw(st.sampled_from("aeq_ 9λ")) + text[where + 1 :]
    new = draw(st.sampled_from([typo, text[:-1], text.upper(), *NAMES, 3, None]))
    container[new] = container.pop(key)


def _move(draw: Draw, document: Any) -> None:
    """Copy one value to the place of another."""
    source, key = _pick(draw, document)
    value = copy.deepcopy(source[key])
    target, other = _pick(draw, document)
    target[other] = value


def _nest(draw: Draw, document: Any) -> None:
    container, key = _pick(draw, document)
    value = container[key]
    for _ in range(draw(st.sampled_from([1, 3, 60]))):
        value = draw(st.sampled_from([[value], {"value": value}]))
    container[key] = value


_TREE_CHANGES: dict[str, Callable[[Draw, Any], None]] = {
    change.__name__: change for change in (_delete, _replace, _scale, _add, _rename, _move, _nest)
}

TEXTS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda text: b"",
    "only a comment": lambda text: b"# nothing\n",
    "null": lambda text: b"null\n",
    "a list": lambda text: b"- 1\n- 2\n",
    "a word": lambda text: b"word\n",
    "two documents": lambda text: text + b"---\n" + text,
    "a key twice": lambda text: text + text,
    "a tab": lambda text: text + b"extra:\n\t- 1\n",
    "an open bracket": lambda text: text + b"extra: [1, 2\n",
    "an open quote": lambda text: text + b'extra: "1\n',
    "bad indentation": lambda text: b"  a: 1\n b: 2\n" + text,
    "UTF-16": lambda text: text.decode().encode("utf-16"),
    "Latin-1": lambda text: text + "extra: naïve\n".encode("latin-1"),
    "byte order mark": lambda text: b"\xef\xbb\xbf" + text,
    "a NUL byte": lambda text: text + b"\x00",
    "a binary file": lambda text: bytes(range(256)) * 8,
    "a zip file": lambda text: b"PK\x03\x04" + text,
    "DOS line ends": lambda text: text.replace(b"\n", b"\r\n"),
    "deep nesting": lambda text: text + b"extra: " + b"[" * 3000 + b"]" * 3000 + b"\n",
    "deep mappings": lambda text: text + b"extra: " + b"{a: " * 3000 + b"1" + b"}" * 3000 + b"\n",
    "billion laughs": lambda text: text + _laughs(40),
    "billion merged laughs": lambda text: text + _merged_laughs(40),
    "an alias to itself": lambda text: text + b"extra: &a [*a]\n",
    "a mapping in itself": lambda text: text + b"extra: &a {b: *a}\n",
    "a merge with itself": lambda text: text + b"extra: &a {<<: *a}\n",
    "an unknown alias": lambda text: text + b"extra: *nowhere\n",
    "a merge of a word": lambda text: text + b"<<: word\n",
    "a list as a key": lambda text: text + b"? [1, 2]\n: 3\n",
    "a mapping as a key": lambda text: text + b"? {a: 1}\n: 3\n",
    "an impossible date": lambda text: text + b"extra: 2026-13-45\n",
    "a wrong integer": lambda text: text + b"extra: !!int word\n",
    "a wrong float": lambda text: text + b"extra: !!float word\n",
    "a wrong truth value": lambda text: text + b"extra: !!bool word\n",
    "a wrong date": lambda text: text + b"extra: !!timestamp word\n",
    "hexadecimal nothing": lambda text: text + b"extra: 0x_\n",
    "five thousand digits": lambda text: text + b"extra: " + b"7" * 5000 + b"\n",
    "a set": lambda text: text + b"extra: !!set {a, b}\n",
    "pairs": lambda text: text + b"extra: !!omap [a: 1, b: 2]\n",
    "a Python object": lambda text: text + b"extra: !!python/object/apply:os.system [exit 3]\n",
    "a Python name": lambda text: text + b"extra: !!python/name:os.system\n",
    "an unknown tag": lambda text: text + b"extra: !mine 3\n",
    "an unknown directive": lambda text: b"%TAG ! tag:x,2000:\n%NO 1\n---\n" + text,
    "half of it": lambda text: text[: len(text) // 2],
}
"""Changes of a file as text, by what they do."""


_BYTES = b"\x00\t \n:#{}[]&*!|>'\"%@`,?-\xff9z"


@st.composite
def text_change(draw: Draw, text: bytes) -> bytes:
    """Return a file's text changed in one of the ways of `TEXTS`, or with some bytes replaced."""
    kind = draw(st.sampled_from([*TEXTS, "flipped bytes", "flipped bytes"]))
    if kind != "flipped bytes":
        return TEXTS[kind](text)
    damaged = bytearray(text)
    for _ in range(draw(st.integers(1, 4))):
        if damaged:
            damaged[draw(st.integers(0, len(damaged) - 1))] = draw(st.sampled_from(_BYTES))
    return bytes(damaged)


def _laughs(depth: int) -> bytes:
    """Return a mapping that becomes 2^depth values when its aliases are followed."""
    lines = ["laugh0: &laugh0 [1, 1]"]
    lines += [f"laugh{i}: &laugh{i} [*laugh{i - 1}, *laugh{i - 1}]" for i in range(1, depth)]
    return ("\n".join(lines) + "\n").encode()


def _merged_laughs(depth: int) -> bytes:
    """Return mappings that each merge the one before twice."""
    lines = ["merge0: &merge0 {a: 1}"]
    lines += [f"merge{i}: &merge{i} {{<<: [*merge{i - 1}, *merge{i - 1}]}}" for i in range(1, depth)]
    return ("\n".join(lines) + "\n").encode()


def read_files(folder: Path) -> Files:
    """Return the files of the experiment in a configuration folder by their names."""
    paths = [folder / "config.yaml", *folder.glob("flows/*.yaml"), *folder.glob("surrogates/*.yaml")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(paths)}


def write_files(folder: Path, files: Files) -> None:
    """Write the files of an experiment into a configuration folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
