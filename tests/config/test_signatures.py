from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from eddymark.closures import CLOSURES
from eddymark.config.signatures import constructor_arguments
from eddymark.operators import OPERATORS

REGISTERED = [*CLOSURES.values(), *OPERATORS.values()]


@pytest.mark.parametrize("path", REGISTERED)
def test_arguments_are_those_of_the_imported_class(path: str) -> None:
    module, _, name = path.rpartition(".")
    signature = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    found = constructor_arguments(path)
    assert found is not None
    if "__init__" not in vars(getattr(importlib.import_module(module), name)) and not found:
        # torch's own constructor takes anything, and uses nothing.
        assert all(
            parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) for parameter in signature.values()
        )
        return
    assert list(found) == list(signature)
    for argument, parameter in signature.items():
        assert found[argument].required == (parameter.default is inspect.Parameter.empty)
        assert found[argument].kinds == frozenset(filter(None, str(parameter.annotation).split(" | ")))


def test_base_classes_of_the_package_are_followed_and_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "borrowed_names"
    package.mkdir()
    (package / "__init__.py").write_text("from borrowed_names.first import First as Renamed\n")
    (package / "first.py").write_text("class First:\n    def __init__(self, width: int, *, depth: float = 1.0): ...\n")
    (package / "second.py").write_text(
        "from argparse import ArgumentParser\n"
        "from borrowed_names import Renamed\n"
        "from borrowed_names.first import First as Base\n"
        "class Middle(Base): ...\n"
        "class Inherits(ArgumentParser, Middle): ...\n"
        "class Through(Renamed): ...\n"
        "class Foreign(ArgumentParser): ...\n"
        "class Own(Middle):\n    def __init__(self, height): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("Middle", "Inherits", "Through"):
        arguments = constructor_arguments(f"borrowed_names.second.{name}")
        assert arguments is not None
        assert {key: value.required for key, value in arguments.items()} == {"width": True, "depth": False}
        assert arguments["depth"].kinds == {"float"}
    assert constructor_arguments("borrowed_names.second.Foreign") == {}
    assert list(constructor_arguments("borrowed_names.second.Own") or {}) == ["height"]
    assert "borrowed_names.second" not in sys.modules


def test_torch_is_not_imported() -> None:
    lines = [
        "import sys",
        "from eddymark.config.signatures import constructor_arguments",
        f"assert all(constructor_arguments(path) is not None for path in {REGISTERED!r})",
        "assert 'torch' not in sys.modules",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)
