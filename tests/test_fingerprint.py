"""Fingerprints follow what code does through all its imports, and nothing else."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

import eddymark
from eddymark.fingerprint import SourceTree, foreign_fingerprint

MODULES = {
    "__init__.py": "",
    "training.py": '"""Doc."""\n\n\ndef fit():\n    """Fit."""\n    from toy.parts import loss\n\n    return loss()\n',
    "parts/__init__.py": "",
    "parts/loss.py": "from ..numbers import one\n\n\ndef loss():\n    return one\n",
    "numbers.py": "one = 1\n",
    "other.py": "two = 2\n",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name, text in MODULES.items():
        path = tmp_path / "toy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "toy"


def fingerprint(package: Path) -> str:
    return SourceTree({"toy": package}).fingerprint(["toy.training.fit"])


def rewrite(path: Path, old: str, new: str) -> None:
    """Change a file and its time of modification, which a fast test would not."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))

    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1_000_000))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("training.py", '"""Fit."""', '"""Fit the model."""'),
        ("training.py", "    return loss()", "    # Why not.\n    return loss()"),
        ("numbers.py", "one = 1\n", "\n\none = (1)  # unity\n"),
        ("other.py", "two = 2", "two = 3"),
    ],
    ids=["docstring", "comment", "layout", "module that is not imported"],
)
def test_what_does_not_change_the_code_does_not_change_the_fingerprint(
    package: Path, file: str, old: str, new: str
) -> None:
    before = fingerprint(package)
    rewrite(package / file, old, new)
    assert fingerprint(package) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("training.py", "return loss()", "return -loss()"),
        ("parts/loss.py", "return one", "return 2 * one"),
        ("numbers.py", "one = 1", "one = 1.0"),
        ("parts/__init__.py", "", "import toy.other\n"),
    ],
    ids=["the module", "import in a function", "relative import", "package above"],
)
def test_a_change_of_the_code_or_of_what_it_imports_changes_the_fingerprint(
    package: Path, file: str, old: str, new: str
) -> None:
    before = fingerprint(package)
    rewrite(package / file, old, new)
    assert fingerprint(package) != before


def test_bytes_of_templates_count(package: Path) -> None:
    page = package / "page.html"
    page.write_text("a")
    before = SourceTree({}).fingerprint([], [page])
    page.write_text("b")
    assert SourceTree({}).fingerprint([], [page]) != before


def test_an_installed_foreign_package_counts_by_its_version() -> None:
    assert foreign_fingerprint("neuralop.models.FNO").startswith("neuraloperator 2.")


def test_a_foreign_package_on_the_path_counts_by_its_sources(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(package.parent)
    before = foreign_fingerprint("toy.training.fit")
    rewrite(package / "numbers.py", "one = 1", "one = 5")
    foreign_fingerprint.cache_clear()
    assert foreign_fingerprint("toy.training.fit") != before


def test_registries_hold_nothing_but_names() -> None:
    # Their sources are left out of fingerprints, so that a new entry reruns nothing.
    for name in ("closures", "flows", "operators"):
        tree = ast.parse((Path(eddymark.__file__).parent / name / "__init__.py").read_text())
        for statement in tree.body[1:]:
            if isinstance(statement, ast.ImportFrom):
                assert statement.module == "__future__"
                continue
            assert isinstance(statement, ast.AnnAssign)
            assert isinstance(ast.literal_eval(statement.value), dict)  # type: ignore[arg-type]
