"""Operators of other packages are tried before the first job."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from eddymark.cli import main
from eddymark.config import load_experiment
from eddymark.trial import try_operators
from tests.operators.test_scot import published_state
from tests.small_experiment import write_experiment

FNO = "surrogates/fno.yaml"
NEURALOP = {"n_modes": [4, 4], "hidden_channels": 4, "n_layers": 1}
REPOSITORY = Path(__file__).parents[1]

OPERATORS = """
import torch


class Mixer(torch.nn.Module):
    def __init__(self, in_channels, out_channels, strength=1.0):
        super().__init__()
        self.channels = out_channels
        self.strength = torch.nn.Parameter(torch.tensor(strength))

    def forward(self, field):
        return self.strength * field[:, : self.channels]


class Frozen(Mixer):
    def __init__(self, in_channels, out_channels):
        super().__init__(in_channels, out_channels)
        self.requires_grad_(False)


class Cropping(Mixer):
    def forward(self, field):
        return field[:, : self.channels, 1:]


class Listing(Mixer):
    def forward(self, field):
        return [field]


class Refusing(Mixer):
    def __init__(self, in_channels, out_channels):
        raise RuntimeError("no\\nlicence")


class Leaving(Mixer):
    def __init__(self, in_channels, out_channels):
        raise SystemExit("not here")


class Plain:
    def __init__(self, in_channels, out_channels):
        pass
"""
SCOT = {"width": 12, "levels": 2, "layers": 2, "patch_size": 2, "window_size": 4, "kernel_size": 7}


def write_operator(folder: Path, type: str, arguments: dict[str, Any]) -> None:
    """Write a configuration with an operator, and the package `local_operators` beside it."""
    write_experiment(folder / "config", (FNO, "operator", {"type": type, "arguments": arguments}))
    (folder / "local_operators.py").write_text(OPERATORS)


def test_a_refinement_needs_a_linear_last_layer(tmp_path: Path) -> None:
    changes = [
        (FNO, "refinement", {"form": "integral"}),
        (FNO, "operator", {"type": "unet", "arguments": {"width": 4}}),
    ]
    (problem,) = try_operators(load_experiment([write_experiment(tmp_path, *changes)]))
    assert problem.path == ("flows", "kolmogorov", "surrogates", "fno", "operator", "type")
    assert problem.expected.startswith("an operator with a linear last layer")
    assert not try_operators(load_experiment([write_experiment(tmp_path, changes[0])]))


@pytest.mark.parametrize(
    ("type", "arguments", "line"),
    [
        (
            "neuralop.models.FNO",
            {"n_mode": [4, 4], "hidden_channels": 4},
            "operator.arguments.n_mode: expected an argument of neuralop.models.FNO, found an unknown key; "
            "did you mean n_modes?",
        ),
        (
            "neuralop.models.FNOO",
            NEURALOP,
            "operator.type: expected a class or function of neuralop.models, found 'FNOO'; "
            "did you mean neuralop.models.FNO?",
        ),
        (
            "neuralop.models.FNO",
            {"n_modes": [4, 4], "hidden_channels": 4, "in_channels": 3},
            "operator.arguments.in_channels: expected no such key (it follows from the experiment), found 3",
        ),
        (
            "neuralop.modles.FNO",
            NEURALOP,
            "operator.type: expected a module that can be imported, found No module named 'neuralop.modles'",
        ),
        (
            "local_operators.Cropping",
            {},
            "operator.type: expected a module that maps (1, 3, 32, 32) to (1, 2, 32, 32), "
            "found one that gives (1, 2, 31, 32)",
        ),
        (
            "local_operators.Frozen",
            {},
            "operator.type: expected a module with parameters to train, found one without any",
        ),
    ],
)
def test_a_mistake_in_a_foreign_operator_is_one_line_of_check(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    type: str,
    arguments: dict[str, Any],
    line: str,
) -> None:
    pytest.importorskip("neuralop")
    write_operator(tmp_path, type, arguments)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "local_operators", raising=False)
    with pytest.raises(SystemExit) as stopped:
        main(["check"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.splitlines() == [f"config/{FNO}: {line}"]


@pytest.mark.parametrize(
    ("type", "arguments", "line"),
    [
        (
            "tno",
            {"width": 10, "heads": 3},
            "operator.arguments.heads: expected arguments that tno accepts (heads must divide width 10 into even "
            "parts), found 3",
        ),
        (
            "iafno",
            {"width": 12, "modes": 12},
            "operator.arguments.modes: expected an operator for input of shape (1, 3, 32, 32) (modes (12, 12) need a "
            "grid of at least 50 × 50 points), found 32 × 32",
        ),
        (
            "local_operators.Listing",
            {},
            "operator.type: expected a module that maps (1, 3, 32, 32) to (1, 2, 32, 32), found one that gives list",
        ),
        (
            "local_operators.Refusing",
            {},
            "operator.arguments: expected arguments that local_operators.Refusing accepts, found no licence",
        ),
        (
            "local_operators.Leaving",
            {},
            "operator.arguments: expected arguments that local_operators.Leaving accepts, found not here",
        ),
        (
            "local_operators.Plain",
            {},
            "operator.type: expected a torch.nn.Module, found 'local_operators.Plain'",
        ),
        (
            "scot",
            SCOT | {"published_weights": "corrupt.safetensors"},
            "operator.arguments.published_weights: expected arguments that scot accepts, found corrupt.safetensors: "
            "cannot be read as weights (SafetensorError: Error while deserializing header: header too large)",
        ),
        (
            "scot",
            SCOT | {"published_weights": "other.bin"},
            "operator.arguments.published_weights: expected arguments that scot accepts, found other.bin: expected the "
            "parameters of a Poseidon model with lead times, found a …",
        ),
        (
            "scot",
            SCOT | {"width": 24, "published_weights": "poseidon.safetensors"},
            "operator.arguments.published_weights: expected arguments that scot accepts, found poseidon.safetensors: "
            "embed.bias: expected (24,), found (12,); are the operator's sizes the file's?",
        ),
    ],
)
def test_an_operator_that_cannot_be_built_is_one_line_at_the_argument_that_it_names(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    type: str,
    arguments: dict[str, Any],
    line: str,
) -> None:
    write_operator(tmp_path, type, arguments)
    (tmp_path / "corrupt.safetensors").write_bytes(b"\x10garbage")
    torch.save({"a": torch.zeros(3)}, tmp_path / "other.bin")
    save_file(published_state(), tmp_path / "poseidon.safetensors")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "local_operators", raising=False)
    with pytest.raises(SystemExit) as stopped:
        main(["check"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.splitlines() == [f"config/{FNO}: {line}"]


def test_an_operator_of_the_package_is_tried_without_memory_for_its_weights(tmp_path: Path) -> None:
    arguments = {"width": 4096, "modes": 15, "layers": 16}
    # 16 layers of 31 × 16 complex matrices of 4096²: a terabyte.
    path = write_experiment(tmp_path / "config", (FNO, "operator", {"type": "fno", "arguments": arguments}))
    assert list(try_operators(load_experiment([path]))) == []


def test_modes_that_do_not_fit_the_dimension_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("neuralop")
    write_operator(tmp_path, "neuralop.models.FNO", NEURALOP | {"n_modes": [4, 4, 4]})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["check"])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"config/{FNO}: operator.arguments: expected an operator for input of shape (1, 3, 32, 32)")


def test_what_is_wrong_with_a_network_is_not_said_again_for_what_boosts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    operator = {"type": "tno", "arguments": {"width": 10, "heads": 3}}
    models = {"second": {"base": "fno", "boosts": "fno"}, "fno": {"operator": operator}}
    write_experiment(tmp_path / "config", ("flows/kolmogorov.yaml", "surrogates", models))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["check"])
    (line,) = capsys.readouterr().err.splitlines()
    assert "operator.arguments.heads: expected arguments that tno accepts (heads must divide width 10" in line


def test_the_console_script_finds_a_package_in_the_working_directory(tmp_path: Path) -> None:
    write_operator(tmp_path, "local_operators.Mixer", {"strength": 2.0})
    # Like the script that pip installs, and unlike `python -m`, -P leaves the working directory out of the path.
    command = [sys.executable, "-P", "-c", "from eddymark.cli import main; main()", "check"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1].startswith("ok: experiment small")


def test_snakemake_refuses_a_foreign_operator_before_the_first_job(tmp_path: Path) -> None:
    for name in ("Snakefile", "workflow"):
        source = REPOSITORY / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    write_operator(tmp_path, "local_operators.Cropping", {})
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 2
    lines = [line for line in result.stderr.splitlines() if line.startswith("config/")]
    assert lines == [
        f"config/{FNO}: operator.type: expected a module that maps (1, 3, 32, 32) to (1, 2, 32, 32), "
        "found one that gives (1, 2, 31, 32)"
    ]
    assert "Traceback" not in result.stderr
