"""What training may ask of the equations, and what is refused before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eddymark.config import ConfigurationError, load_experiment
from eddymark.config.equation_checks import check_equations
from eddymark.config.schema import Flow, Forcing, Surrogate
from eddymark.plan import plan
from tests.small_experiment import ABSENT, FILES, write_experiment

FNO = "surrogates/fno.yaml"
HYBRID = "surrogates/hybrid.yaml"
FLOW = "flows/kolmogorov.yaml"
EQUATIONS = "objective.equations"
SMAGORINSKY = {"closure": {"type": "smagorinsky"}}
UNROLLED = {"objective.curriculum": [{"start": 0, "unroll": 4}]}


def load(folder: Path, file: str, changes: dict[str, Any]) -> Flow:
    path = write_experiment(folder / "config", *((file, key, value) for key, value in changes.items()))
    return load_experiment([path]).flows["kolmogorov"]


@pytest.mark.parametrize(
    ("file", "changes", "line"),
    [
        (
            FNO,
            {EQUATIONS: {}, "schedule.steps": 50, "schedule.warm_up_steps": 5},
            "objective.curriculum.0.unroll: expected at least 2 outputs (for differences of order 2), found 1",
        ),
        (
            FNO,
            {EQUATIONS: {"order": 3}} | UNROLLED,
            "objective.equations.order: expected 2 or 4, found 3",
        ),
        (
            FNO,
            {EQUATIONS: {"form": "integral", "order": 4}} | UNROLLED,
            "objective.equations.order: expected 2 with form integral (it is of form differential), found 4",
        ),
        (
            FNO,
            {EQUATIONS: {"steps": 4}} | UNROLLED,
            "objective.equations.steps: expected 1 with form differential (it is of form integral), found 4",
        ),
        (
            FNO,
            {EQUATIONS: {"order": 4}, "schedule.validation_length": 0.6} | UNROLLED,
            "schedule.validation_length: expected at least 4 outputs (for differences of order 4), found 0.6 turnover "
            "times",
        ),
        (
            FNO,
            {EQUATIONS: {}, "objective.teacher_forcing": 0.5} | UNROLLED,
            "objective.teacher_forcing: expected nothing with equations (the residual is that of outputs which follow "
            "one another), found 0.5",
        ),
        (
            FNO,
            {EQUATIONS: {}, "objective.pushforward": True} | UNROLLED,
            "objective.pushforward: expected nothing with equations (the residual is that of outputs which follow "
            "one another), found True",
        ),
        (
            FNO,
            {EQUATIONS: {}, "objective.curriculum": [{"start": 0, "all_to_all": 4}]},
            "objective.curriculum.0.all_to_all: expected nothing with equations (the residual is that of outputs "
            "which follow one another), found 4",
        ),
        (
            FNO,
            {EQUATIONS: {}, "known_physics": False} | UNROLLED,
            "known_physics: expected at least one part with objective.equations (without any, outputs hold modes which "
            "they have not), found none",
        ),
        (
            FNO,
            {EQUATIONS: {"divergence_weight": 1}} | UNROLLED,
            "objective.equations.divergence_weight: expected 0.0 for a model which is incompressible by itself, "
            "found 1.0",
        ),
        (
            HYBRID,
            {EQUATIONS: {"divergence_weight": 1}} | UNROLLED,
            "objective.equations.divergence_weight: expected 0.0 for a model which is incompressible by itself, "
            "found 1.0",
        ),
        (
            FNO,
            {EQUATIONS: {"closure": {"type": "smagorinski"}}} | UNROLLED,
            "objective.equations.closure.type: expected a closure (approximate_deconvolution, clipped_gradient, "
            "dynamic_mixed, dynamic_smagorinsky, fitted_spectral_viscosity, gradient, learned, leith, none, sigma, "
            "smagorinsky, spectral_eddy_viscosity, vreman, wale), found 'smagorinski'; did you mean smagorinsky?",
        ),
        (
            FNO,
            {EQUATIONS: {"closure": {"type": "smagorinsky", "arguments": {"constant": 0.1}}}} | UNROLLED,
            "objective.equations.closure.arguments.constant: expected an argument of smagorinsky "
            "(smagorinsky_constant), found an unknown key; did you mean smagorinsky_constant?",
        ),
        (
            FNO,
            {EQUATIONS: {"closure": {"type": "fitted_spectral_viscosity"}}} | UNROLLED,
            "objective.equations.closure.type: expected a closure whose constants are known (one to be fitted goes "
            "under surrogates, kind: les), found 'fitted_spectral_viscosity'",
        ),
        (
            FNO,
            {EQUATIONS: {"closure": {"type": "dynamic_smagorinsky"}, "learned_constant": {}}} | UNROLLED,
            "objective.equations.learned_constant: expected nothing, or a closure with a constant to learn "
            "(smagorinsky, wale, vreman, sigma, leith), found one with closure dynamic_smagorinsky",
        ),
        (
            FNO,
            {EQUATIONS: SMAGORINSKY | {"learned_constant": {"trajectory": 4}}} | UNROLLED,
            "objective.equations.learned_constant.trajectory: expected the number of a training trajectory, 0 … 3, "
            "found 4",
        ),
        (
            FNO,
            {EQUATIONS: SMAGORINSKY | {"learned_constant": {}}, "parallel": {"strategy": "fsdp", "devices": 2}}
            | UNROLLED,
            "objective.equations.learned_constant: expected nothing with strategy fsdp (each process would learn a "
            "constant of its own), found one",
        ),
        (
            "surrogates/fitted_viscosity.yaml",
            {"solver.closure": {"type": "smagorinsky"}},
            "solver.closure.type: expected a closure with constants to fit (fitted_spectral_viscosity), found "
            "'smagorinsky'",
        ),
        (
            FNO,
            {"schedule.select_by": "residual"},
            "schedule.select_by: expected error or spectrum without objective.equations (whose residual would select "
            "the weights), found 'residual'",
        ),
        (FLOW, {"viscosity": ABSENT}, "viscosity: expected a value (this key is required), found nothing"),
    ],
)
def test_what_the_equations_cannot_do_is_one_line(
    tmp_path: Path, file: str, changes: dict[str, Any], line: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, file, changes)
    assert [str(finding).partition(": ")[2] for finding in caught.value.findings] == [line]


def test_held_shells_are_seen_by_solver_steps_only() -> None:
    flow = Flow.model_validate({**FILES[FLOW], "surrogates": {}})
    held = flow.model_copy(update={"forcing": Forcing(type="held_shells", energies={1: 0.6, 2: 0.3})})
    for form, problems in (
        ("integral", []),
        ("differential", [(("objective", "equations", "form"), "integral with forcing held_shells")]),
    ):
        document = FILES[FNO] | {"objective": {"curriculum": [{"start": 0, "unroll": 2}], "equations": {"form": form}}}
        surrogate = Surrogate.model_validate(document)
        assert not list(check_equations((), surrogate, flow))
        found = check_equations((), surrogate, held)
        assert [(one.path, one.expected.partition(" (")[0]) for one in found] == problems


@pytest.mark.parametrize(
    "changes",
    [
        {EQUATIONS: {"closure": {"type": "dynamic_smagorinsky"}}, "objective.error_weight": 0} | UNROLLED,
        {EQUATIONS: {"divergence_weight": 2}, "known_physics": ["viscosity"], "schedule.select_by": "residual"}
        | UNROLLED,
        {EQUATIONS: {"form": "integral", "steps": 3, "norm_order": -1}},
        {EQUATIONS: SMAGORINSKY | {"learned_constant": {"trajectory": 3, "learning_rate": 0.01}}} | UNROLLED,
        {EQUATIONS: {"order": 4, "ends": False}, "bundle": 4} | UNROLLED,
    ],
)
def test_what_goes_together_is_taken(tmp_path: Path, changes: dict[str, Any]) -> None:
    objective = load(tmp_path, FNO, changes).surrogates["fno"].objective
    assert objective.equations is not None
    assert objective.compares == ("objective.error_weight" not in changes)


def test_the_closure_of_the_equations_concerns_the_training_and_what_follows(tmp_path: Path) -> None:
    jobs = {}
    for name in ("none", "smagorinsky"):
        equations = {"closure": {"type": name}, "form": "integral"}
        path = write_experiment(tmp_path / name / "config", (FNO, EQUATIONS, equations))
        jobs[name] = plan(load_experiment([path]))
    changed = {key for key, job in jobs["none"].items() if job.signature != jobs["smagorinsky"][key].signature}
    trained = {f"kolmogorov/{stage}" for stage in ("train/fno/seed0", "train/fno/seed1")}
    assert changed == trained | {"kolmogorov/validate/fno-seed0", "kolmogorov/validate/fno-seed1", "report"}
    (one, *_) = trained
    assert jobs["none"][one].sources != jobs["smagorinsky"][one].sources
