"""`eddymark describe`, from the configuration to the lines it prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from eddymark.cli import main
from eddymark.config import load_experiment
from eddymark.describe import complete
from eddymark.errors import EddymarkError
from tests.small_experiment import ABSENT, write_experiment


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "config"


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["describe", *arguments])
    output = capsys.readouterr()
    return int(stopped.value.code or 0), output.out + output.err


def rows(text: str) -> dict[str, str]:
    return {line[:26].strip(): line[26:] for line in text.splitlines() if line.startswith("  ") and line[2] != " "}


def test_a_surrogate_of_the_experiment(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_experiment(config)
    code, text = printed(capsys, "fno")
    assert code == 0
    assert text.splitlines()[0] == "fno for kolmogorov"
    found = rows(text)
    # Two components and the force, which the network has to see.
    count = (3 * 8 + 8) + 4 * (9 * 5 * 8 * 8 * 2 + 8 * 8 + 8) + (8 * 16 + 16) + (16 * 2 + 2)
    assert found["parameters"].replace(" ", "") == str(count)
    assert found["grid"] == "32 × 32, float32"
    assert found["operator"].startswith("fno: Fourier neural operator: lift, L layers")
    assert found["an output point sees"] == "the whole box"
    assert found["commutes with shifts by"] == "any number of grid spacings"
    assert found["Fourier modes"] == "up to 4 × 4; fields on the LES grid have modes up to 10 × 10"
    size, moments = (f"{factor * count / 1e3:.3g} kB" for factor in (4, 8))
    assert found["memory"] == (
        f"{size} weights; in training {moments} for AdamW's moments and {size} for the averaged weights beside them"
    )
    assert found["operations"].endswith("GFLOP per step and sample")
    assert "batch of 8" in text
    assert found["on 64 × 64"].startswith("output for the same smooth field differs by")


def test_what_boosts_another_surrogate_counts_both(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second = {"type": "convolutional", "arguments": {"width": 6, "layers": 2}}
    files = (
        ("flows/kolmogorov.yaml", "surrogates", {"hybrid": {}}),
        ("surrogates/hybrid.yaml", "kind", "surrogate"),
        ("surrogates/hybrid.yaml", "solver", ABSENT),
        ("surrogates/hybrid.yaml", "boosts", "fno"),
        ("surrogates/hybrid.yaml", "operator", second),
    )
    # In the folder, but not in the flow.
    write_experiment(config, files[0])
    first = rows(printed(capsys, "fno")[1])
    write_experiment(config, ("flows/kolmogorov.yaml", "surrogates", {"fitted_viscosity": {}}), *files[1:])
    code, text = printed(capsys, "hybrid")
    assert code == 0, text
    found = rows(text)
    assert found["operator"].startswith("convolutional: ")
    assert found["boosts"].startswith("fno, whose network is kept")
    alone = int(first["parameters"].replace(" ", ""))
    # Three channels as the first one has, and the two that it gives.
    count = 5 * 9 * 6 + 6 + 6 * 9 * 2 + 2
    assert int(found["parameters"].replace(" ", "")) == alone + count
    assert float(found["operations"].split()[0]) > float(first["operations"].split()[0])
    # Only the second network is trained; of the constants there is the scale of the residual.
    size = 4 * (alone + count + 1) / 1e3
    assert found["memory"] == (
        f"{size:.3g} kB weights; in training {8 * count / 1e3:.3g} kB for AdamW's moments and {size:.3g} kB for the "
        "averaged weights beside them"
    )


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (True, "; exact: viscosity, forcing, incompressibility, momentum"),
        (["incompressibility", "momentum"], "; exact: incompressibility, momentum"),
        (False, ""),
    ],
)
def test_the_known_physics_is_that_of_the_configuration(
    config: Path, capsys: pytest.CaptureFixture[str], known: Any, words: str
) -> None:
    write_experiment(config, ("surrogates/fno.yaml", "known_physics", known))
    code, text = printed(capsys, "fno")
    assert code == 0, text
    assert rows(text)["kind"] == f"surrogate: the network alone makes the step{words}"


def test_a_network_to_be_compiled_is_described_as_it_is(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_experiment(config)
    plain = printed(capsys, "fno")
    monkeypatch.setattr(nn.Module, "compile", lambda *_: pytest.fail("compiled"))
    write_experiment(config, ("surrogates/fno.yaml", "compile", True))
    assert printed(capsys, "fno") == plain


def test_a_hybrid_and_a_fitted_closure(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_experiment(config)
    code, text = printed(capsys, "hybrid", "--flow", "kolmogorov")
    assert code == 0
    assert rows(text)["kind"] == "hybrid: LES (closure none), then the network; what follows is the network's"
    code, text = printed(capsys, "fitted_viscosity")
    assert code == 0
    assert rows(text)["closure"].startswith("One constant eddy viscosity per wavenumber shell")


def test_a_learned_closure(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_experiment(config, ("surrogates/hybrid.yaml", "solver.closure.type", "learned"))
    code, text = printed(capsys, "hybrid")
    assert code == 0, text
    found = rows(text)
    assert found["kind"].startswith("hybrid: LES whose closure is the network, called in each stage of every time step")
    assert found["closure"].startswith("The stress is what a neural operator N makes of the resolved velocity gradient")
    # It sees four entries of the gradient and gives the two of a reduced stress.
    count = (4 * 8 + 8) + 4 * (9 * 5 * 8 * 8 * 2 + 8 * 8 + 8) + (8 * 16 + 16) + (16 * 2 + 2)
    assert found["parameters"].replace(" ", "") == str(count)
    assert found["commutes with shifts by"] == "any number of grid spacings"


def test_a_file_that_no_flow_uses_is_described_for_all_flows(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Its validation would not fit into the data; it is not going to be trained.
    changes: list[tuple[str, str, Any]] = [
        ("flows/kolmogorov.yaml", "surrogates", {"hybrid": {}}),
        ("surrogates/fno.yaml", "schedule.validation_length", 1000),
    ]
    write_experiment(config, *changes)
    code, text = printed(capsys, "fno")
    assert code == 0
    assert text.splitlines()[0] == "fno for kolmogorov"
    assert rows(text)["Fourier modes"].startswith("up to 4 × 4")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["fnoo"],
            "eddymark: command line: surrogate: expected a surrogate (fitted_viscosity, fno, hybrid), found 'fnoo'; "
            "did you mean fno?",
        ),
        (
            ["fno", "--flow", "kolmogorof"],
            "eddymark: command line: flow: expected a flow of the experiment (kolmogorov), found 'kolmogorof'; "
            "did you mean kolmogorov?",
        ),
    ],
)
def test_unknown_names_are_one_line(
    config: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    write_experiment(config)
    assert printed(capsys, *arguments) == (1, message + "\n")


def test_an_operator_that_cannot_be_built_is_one_line(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    operator = {"type": "tno", "arguments": {"width": 10, "heads": 3}}
    write_experiment(config, ("surrogates/fno.yaml", "operator", operator))
    code, text = printed(capsys, "fno")
    assert code == 1
    assert text.startswith("eddymark: operator tno: arguments.heads: expected arguments that tno accepts (heads must")
    assert text.count("\n") == 1


def test_a_resolved_experiment_has_no_other_surrogates(config: Path) -> None:
    experiment = load_experiment([write_experiment(config)])
    assert complete(experiment, [], "hybrid", None) == (experiment, ["kolmogorov"])
    with pytest.raises(EddymarkError, match="did you mean hybrid"):
        complete(experiment, [], "hybrit", "kolmogorov")
