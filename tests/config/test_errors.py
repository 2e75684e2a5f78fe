"""Whatever is wrong with a configuration is one line each: file, key, what was expected, the nearest name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eddymark.cli import main
from eddymark.config import ConfigurationError, experiment_from_mapping, load_experiment
from eddymark.operators import OPERATORS
from tests.small_experiment import ABSENT, write_experiment

FLOW = "flows/kolmogorov.yaml"
FNO = "surrogates/fno.yaml"
OPERATOR_NAMES = ", ".join(sorted(OPERATORS))
HYBRID = "surrogates/hybrid.yaml"
FITTED = "surrogates/fitted_viscosity.yaml"
OPERATOR_NAMES = ", ".join(sorted(OPERATORS))

BAD: list[tuple[str, str, Any, str]] = [
    (FLOW, "viscosty", 1, "viscosty: expected a known key, found an unknown key; did you mean viscosity?"),
    (FLOW, "viscosity", ABSENT, "viscosity: expected a value (this key is required), found nothing"),
    (FLOW, "viscosity", -1, "viscosity: expected greater than 0, found -1"),
    (FLOW, "viscosity", "thick", "viscosity: expected a number, found 'thick'"),
    (FLOW, "sampling.runs", 2.5, "sampling.runs: expected a whole number, found 2.5"),
    (FLOW, "validation", 3, "validation: expected a section of keys, found 3"),
    (FLOW, "sides", ["2pi", "2 pies"], "sides.1: expected a number, found '2 pies'"),
    (
        FLOW,
        "type",
        "kolmogorof",
        "type: expected a flow type (decaying_isotropic, forced_isotropic, kolmogorov, mcwilliams, mixing_layer), "
        "found 'kolmogorof'; did you mean kolmogorov?",
    ),
    (
        FLOW,
        "large_eddy_grid.points",
        [128, 32],
        "large_eddy_grid.points: expected fewer points than the DNS on each axis [64, 64], found [128, 32]",
    ),
    (
        FLOW,
        "large_eddy_grid.points",
        [31, 32],
        "large_eddy_grid.points: expected even numbers of points, found [31, 32]",
    ),
    (
        FLOW,
        "large_eddy_grid.points",
        [32, 32, 32],
        "large_eddy_grid.points: expected 2 numbers, one for each side, found [32, 32, 32]",
    ),
    (
        FLOW,
        "large_eddy_grid.filter",
        {"type": "box", "width": 30},
        "large_eddy_grid.filter.width: expected between the DNS spacing 0.0982 and half a side 3.14, found 30.0",
    ),
    (
        FLOW,
        "large_eddy_grid.filter",
        {"type": "sharpe"},
        "large_eddy_grid.filter.type: expected 'sharp', 'gaussian' or 'box', found 'sharpe'; did you mean sharp?",
    ),
    (
        FLOW,
        "direct_numerical_simulation.courant_number",
        3.1,
        "direct_numerical_simulation.courant_number: expected a stable time step, at most 2.8 for runge_kutta_4, "
        "found 3.1",
    ),
    (
        FLOW,
        "large_eddy_simulations.no_model",
        {"integrator": "runge_kutta_3", "courant_number": 2.5},
        "large_eddy_simulations.no_model.courant_number: expected a stable time step, at most 1.7 for runge_kutta_3, "
        "found 2.5",
    ),
    (
        FLOW,
        "initial_state.peak_wavenumber",
        40,
        "initial_state.peak_wavenumber: expected a wavenumber that the DNS resolves, at most 21, found 40.0",
    ),
    (FLOW, "forcing.type", "held_shells", "forcing.type: expected sinusoidal for kolmogorov, found 'held_shells'"),
    (
        FLOW,
        "forcing.amplitude",
        ABSENT,
        "forcing.amplitude: expected a value (forcing sinusoidal needs it), found nothing",
    ),
    (FLOW, "forcing.power", 1, "forcing.power: expected no such key with forcing sinusoidal, found 1.0"),
    (
        FLOW,
        "forcing.wavenumber",
        11,
        "forcing.wavenumber: expected a number of waves along y that the LES grid resolves, at most 10, found 11",
    ),
    (
        FLOW,
        "sampling.gap",
        0.1,
        "sampling.gap: expected at least one interval (0.2), so that no two stretches share an output, found 0.1",
    ),
    (FLOW, "sampling.shards", 3, "sampling.shards: expected at most one per run (2), found 3"),
    (
        FLOW,
        "sampling.splits.train.length",
        0.1,
        "sampling.splits.train.length: expected at least one interval (0.2), found 0.1",
    ),
    (
        FLOW,
        "validation.statistics_start",
        10,
        "validation.statistics_start: expected at least one interval before the end of the rollouts (10), found 10.0",
    ),
    (
        FLOW,
        "validation.survival.energy",
        [2.5, 0.4],
        "validation.survival.energy: expected a lower limit < 1 and an upper limit > 1, found [2.5, 0.4]",
    ),
    (
        FLOW,
        "validation.survival.energy",
        [0.4],
        "validation.survival.energy.1: expected a value (this key is required), found nothing",
    ),
    (FLOW, "validation.bootstrap_samples", 20, "validation.bootstrap_samples: expected at least 100, found 20"),
    (
        FLOW,
        "large_eddy_simulations.smagorinsky.closure.type",
        "smagorinski",
        "large_eddy_simulations.smagorinsky.closure.type: expected a closure (approximate_deconvolution, "
        "clipped_gradient, dynamic_mixed, dynamic_smagorinsky, fitted_spectral_viscosity, gradient, learned, leith, "
        "none, sigma, smagorinsky, spectral_eddy_viscosity, vreman, wale), found 'smagorinski'; did you mean "
        "smagorinsky?",
    ),
    (
        FLOW,
        "large_eddy_simulations.smagorinsky.closure.arguments",
        {"smagorinsky_konstant": 0.1},
        "large_eddy_simulations.smagorinsky.closure.arguments.smagorinsky_konstant: expected an argument of "
        "smagorinsky (smagorinsky_constant), found an unknown key; did you mean smagorinsky_constant?",
    ),
    (
        FLOW,
        "large_eddy_simulations.fitted",
        {"closure": {"type": "fitted_spectral_viscosity"}},
        "large_eddy_simulations.fitted.closure.type: expected a closure whose constants are known (one to be fitted "
        "goes under surrogates, kind: les), found 'fitted_spectral_viscosity'",
    ),
    (
        FLOW,
        "large_eddy_simulations.learned",
        {"closure": {"type": "learned"}},
        "large_eddy_simulations.learned.closure.type: expected a closure without a network (one that is learned goes "
        "under surrogates, kind: hybrid), found 'learned'",
    ),
    (
        FITTED,
        "solver.closure.type",
        "learned",
        "kind: expected hybrid with closure learned (a network gives the stress), found 'les'",
    ),
    (
        FLOW,
        "large_eddy_simulations.persistence",
        {},
        "large_eddy_simulations.persistence: expected a name other than dns, persistence, matched_noise, "
        "constrained_noise, apriori, cost, found 'persistence'",
    ),
    (
        FLOW,
        "large_eddy_simulations.fno-seed1",
        {},
        "surrogates.fno: expected a name of its own, found one that clashes with large_eddy_simulations.fno-seed1",
    ),
    (
        FLOW,
        "surrogates",
        {"fnoo": {}},
        "surrogates.fnoo: expected the name of a file in config/surrogates (fitted_viscosity, fno, hybrid), "
        "found 'fnoo'; did you mean fno?",
    ),
    (FNO, "operator", ABSENT, "operator: expected a section (kind surrogate needs it), found nothing"),
    (FNO, "solver", {}, "solver: expected no such section with kind surrogate, found one"),
    (HYBRID, "solver", ABSENT, "solver: expected a section (kind hybrid needs it), found nothing"),
    (
        FITTED,
        "solver.closure.type",
        "smagorinsky",
        "solver.closure.type: expected a closure with constants to fit (fitted_spectral_viscosity), "
        "found 'smagorinsky'",
    ),
    (
        FNO,
        "operator.type",
        "fmo",
        f"operator.type: expected an operator or a dotted path ({OPERATOR_NAMES}), found 'fmo'; did you mean fno?",
    ),
    (
        FNO,
        "operator.type",
        "no_such_package.Operator",
        f"operator.type: expected an operator ({OPERATOR_NAMES}) or a class of an installed package, "
        "found 'no_such_package.Operator'",
    ),
    (
        FNO,
        "operator.type",
        "my package.Operator",
        "operator.type: expected a dotted path such as package.module.Class, found 'my package.Operator'",
    ),
    (
        FNO,
        "operator.arguments.modes",
        16,
        "operator.arguments.modes: expected Fourier modes per sign that the LES grid [32, 32] has, at most 15, "
        "found 16",
    ),
    (
        FNO,
        "operator.arguments.modes",
        [4, 4, 4],
        "operator.arguments.modes: expected a number of Fourier modes per sign, or 2 of them, found [4, 4, 4]",
    ),
    (
        FNO,
        "operator.arguments.width",
        ABSENT,
        "operator.arguments.width: expected a value (fno needs it), found nothing",
    ),
    (
        FITTED,
        "history",
        2,
        "history: expected 1 with kind les (a fitted closure sees the present state), found 2",
    ),
    (FNO, "history", 16, "history: expected fewer outputs than a validation stretch has (16), found 16"),
    (
        FNO,
        "objective.curriculum.1.unroll",
        21,
        "objective.curriculum.1.unroll: expected at most 20 intervals (a training stretch less the history), found 21",
    ),
    (
        FNO,
        "objective.curriculum",
        [{"start": 0.2, "unroll": 1}],
        "objective.curriculum: expected stages whose start increases from 0, found starts [0.2]",
    ),
    (
        FNO,
        "schedule.validation_length",
        3.2,
        "schedule.validation_length: expected at most 3 (a validation stretch less the history), found 3.2",
    ),
    (
        FNO,
        "schedule.warm_up_steps",
        100,
        "schedule.warm_up_steps: expected fewer than the training steps (100), found 100",
    ),
    (
        FLOW,
        "sampling.splits.train.length",
        1e9,
        "sampling.splits.train.length: expected at most 1000000 intervals, found 1000000000.0",
    ),
    (FLOW, "sampling.shards", 10**6, "sampling.shards: expected less than or equal to 10000, found 1000000"),
    (FLOW, "viscosity", 1e300, "viscosity: expected less than or equal to 1000000000000, found 1e+300"),
    (
        FLOW,
        "validation.rollout_length",
        1e9,
        "validation.rollout_length: expected at most 1000000 intervals, found 1000000000.0",
    ),
    (
        FLOW,
        "large_eddy_simulations.smagorinsky.closure.arguments.smagorinsky_constant",
        "0.17",
        "large_eddy_simulations.smagorinsky.closure.arguments.smagorinsky_constant: expected a positive number, "
        "found '0.17'",
    ),
    (FNO, "operator.arguments.width", 0, "operator.arguments.width: expected a positive whole number, found 0"),
    (
        HYBRID,
        "operator",
        {"type": "convolutional", "arguments": {"width": 8, "layers": 1}},
        "operator.arguments.width: expected arguments that convolutional accepts (width must be at least 1 and layers "
        "at least 2), found 8 and 1",
    ),
    (
        "config.yaml",
        "flows",
        {"kolmogorov": {}, "Kolmogorov": {"base": "kolmogorov"}},
        "flows.Kolmogorov: expected a name of its own, found one that clashes with flows.kolmogorov",
    ),
    (
        FNO,
        "parallel.devices",
        3,
        "parallel.devices: expected devices × nodes that divide batch_size (8), found 3 × 1",
    ),
    (FNO, "parallel.devices", 0, "parallel.devices: expected greater than or equal to 1, found 0"),
    (
        FNO,
        "parallel.strategy",
        "fsdp",
        "parallel.strategy: expected auto with a single device (fsdp spreads a model over several), found 'fsdp'",
    ),
    (FNO, "seeds", [1, 1], "seeds: expected at least one seed and each once, found [1, 1]"),
    ("config.yaml", "sed", 1, "sed: expected a known key, found an unknown key; did you mean seed?"),
    ("config.yaml", "device", "gpu", "device: expected 'auto', 'cpu' or 'cuda', found 'gpu'; did you mean cpu?"),
    (
        "config.yaml",
        "flows",
        {"kolmogorow": {}},
        "flows.kolmogorow: expected the name of a file in config/flows (kolmogorov), found 'kolmogorow'; "
        "did you mean kolmogorov?",
    ),
    ("config.yaml", "flows", {}, "flows: expected at least one flow, found none"),
    (
        "config.yaml",
        "flows",
        {"report": {"base": "kolmogorov"}},
        "flows.report: expected a name other than report, plan.yaml, found 'report'",
    ),
    (
        "config.yaml",
        "flows.kolmogorov",
        {"surrogates": {"fno": {"schedule": {"steps": 0}}}},
        "flows.kolmogorov.surrogates.fno.schedule.steps: expected greater than or equal to 1, found 0",
    ),
]


@pytest.mark.parametrize(("file", "key", "value", "line"), BAD, ids=[case[3].partition(" found")[0] for case in BAD])
def test_a_mistake_is_one_line_with_its_file_and_key(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    file: str,
    key: str,
    value: Any,
    line: str,
) -> None:
    write_experiment(tmp_path / "config", (file, key, value))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["check"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.splitlines() == [f"config/{file}: {line}"]


def test_all_mistakes_are_found_at_once_each_in_its_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_experiment(
        tmp_path / "config",
        ("config.yaml", "seed", "one"),
        (FLOW, "sampling.shards", 5),
        (FLOW, "large_eddy_simulations.smagorinsky.courant_number", 9),
        (FNO, "schedule.learning_rate", 0),
        (HYBRID, "objective", {"curriculum": [{"start": 0, "unroll": 50}]}),
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError) as raised:
        load_experiment([Path("config/config.yaml")])
    assert sorted((finding.file, finding.key) for finding in raised.value.findings) == [
        ("config/config.yaml", "seed"),
        ("config/flows/kolmogorov.yaml", "large_eddy_simulations.smagorinsky.courant_number"),
        ("config/flows/kolmogorov.yaml", "sampling.shards"),
        ("config/surrogates/fno.yaml", "schedule.learning_rate"),
        ("config/surrogates/hybrid.yaml", "objective.curriculum.0.unroll"),
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("kind: les\nkind: hybrid\n", "kind: expected every key once, found it again in line 2"),
        ("solver:\n  a: 1\n  a: 2\n", "solver.a: expected every key once, found it again in line 3"),
        ("kind: [les\n", "line 2: expected valid YAML, found expected ',' or ']', but got '<stream end>'"),
        ("- kind\n", "the whole file: expected a mapping of keys to values, found ['kind']"),
        (
            "kind: !!python/object:os.system {}\n",
            "line 1: expected valid YAML, found could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/object:os.system'",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: str
) -> None:
    write_experiment(tmp_path)
    (tmp_path / FNO).write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError) as raised:
        load_experiment([Path("config.yaml")])
    assert [str(finding) for finding in raised.value.findings] == [f"{FNO}: {line}"]


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.yaml"
    with pytest.raises(SystemExit) as stopped:
        main(["check", "--configfile", str(missing)])
    assert stopped.value.code == 2
    expected = "the whole file: expected a readable YAML file, found No such file or directory"
    assert capsys.readouterr().err.splitlines() == [f"{missing}: {expected}"]


def test_a_wrong_value_set_on_snakemakes_command_line_is_not_blamed_on_a_file(tmp_path: Path) -> None:
    file = write_experiment(tmp_path)
    mapping = {"name": "small", "seed": -4, "flows": {"kolmogorov": {}}}
    with pytest.raises(ConfigurationError) as raised:
        experiment_from_mapping(mapping, tmp_path, [file])
    assert str(raised.value) == "command line (--config): seed: expected greater than or equal to 0, found -4"


def test_fsdp_on_a_cpu_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parallel = {"strategy": "fsdp", "devices": 2}
    write_experiment(tmp_path / "config", ("config.yaml", "device", "cpu"), (FNO, "parallel", parallel))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["check"])
    assert stopped.value.code == 2
    line = "parallel.strategy: expected ddp or auto with device cpu (fsdp needs GPUs), found 'fsdp'"
    assert capsys.readouterr().err.splitlines() == [f"config/{FNO}: {line}"]
