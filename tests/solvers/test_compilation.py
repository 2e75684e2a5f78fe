"""Where compiled code is kept: never that of other sources, and somewhere even if the sources cannot be written to."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eddymark.solvers.compiled import compilation


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the compiled package's sources that looks like the package."""
    folder = tmp_path / "compiled"
    shutil.copytree(Path(compilation.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(compilation, "__file__", str(folder / "compilation.py"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    compilation.code_folder.cache_clear()
    yield folder
    compilation.code_folder.cache_clear()


def found() -> Path | None:
    compilation.code_folder.cache_clear()
    return compilation.code_folder()


def test_a_change_of_any_source_changes_the_folder_of_the_code(sources: Path) -> None:
    before = found()
    assert before is not None
    assert before.parent == sources / "__pycache__"
    assert found() == before
    changed = sources / "rates.py"
    changed.write_text(changed.read_text() + "\n# changed\n")
    assert found() not in (None, before)


def test_code_goes_to_the_cache_of_the_user_if_the_sources_cannot_be_written_to(
    sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (sources / "__pycache__").touch()  # a file in the place of the folder: that stops root as well
    folder = found()
    assert folder is not None
    assert folder.parent == tmp_path / "cache" / "eddymark"
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "cache").touch()
    assert found() is None
    assert "compiles its own" in capsys.readouterr().err


def test_others_wait_while_code_is_compiled(sources: Path) -> None:
    folder = found()
    assert folder is not None
    with compilation.compiling(), (folder / "lock").open("a") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with (folder / "lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_code_is_loaded_though_its_sources_were_written_again(tmp_path: Path) -> None:
    package = Path(compilation.__file__).parents[2]
    shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    script = (
        "from eddymark.solvers.compiled.modes import low_modes as f; f(3, 4); print(sum(f.stats.cache_hits.values()))"
    )
    loaded = []
    for _ in range(2):
        for source in (tmp_path / package.name / "solvers" / "compiled").glob("*.py"):
            os.utime(source)
        command = [sys.executable, "-c", script]
        run = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True)
        loaded.append(run.stdout.strip())
    assert loaded == [b"0", b"1"]
