"""Options of a surrogate that do not go together are one line each; what goes together is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eddymark.closures import CLOSURES
from eddymark.config import ConfigurationError, load_experiment
from eddymark.config.refinement_checks import check_refinement
from eddymark.config.schema import Flow, Forcing, Surrogate
from eddymark.config.steppers import find_stepper, stepper_names
from eddymark.config.surrogate_checks import check_stepping
from tests.small_experiment import FILES, write_experiment

FORMS = ("differential", "integral")
FNO = "surrogates/fno.yaml"
HYBRID = "surrogates/hybrid.yaml"


LEARNED = {"solver.closure.type": "learned"}


def load(folder: Path, file: str, changes: dict[str, Any]) -> Surrogate:
    path = write_experiment(folder / "config", *((file, key, value) for key, value in changes.items()))
    return load_experiment([path]).flows["kolmogorov"].surrogates["fno"]


@pytest.mark.parametrize(
    ("file", "changes", "line"),
    [
        (
            HYBRID,
            {"bundle": 2},
            "bundle: expected 1 with kind hybrid (only kind surrogate gives several outputs at once), found 2",
        ),
        (
            HYBRID,
            {"output": "direct"},
            "output: expected 'increment' with kind hybrid (only kind surrogate has a choice), found 'direct'",
        ),
        (
            HYBRID,
            {"error_variances": "components"},
            "error_variances: expected 'equal' with kind hybrid (only kind surrogate restores incompressibility with a "
            "choice), found 'components'",
        ),
        (
            FNO,
            {"error_variances": "components", "known_physics": ["momentum"]},
            "error_variances: expected 'equal' without incompressibility in known_physics (nothing is restored), found "
            "'components'",
        ),
        (FNO, {"bundle": 4}, "objective.curriculum.0.unroll: expected a multiple of bundle (4), found 1"),
        (
            FNO,
            {"output": "direct"},
            "known_physics: expected parts that act on a state whatever the one before, with output direct "
            "(incompressibility, momentum), found 'viscosity'",
        ),
        (
            FNO,
            {"known_physics": ["momentum", "momentum"]},
            "known_physics: expected each part once, found ['momentum', 'momentum']",
        ),
        (
            FNO,
            {"known_physics": ["gravity"]},
            "known_physics.0: expected 'viscosity', 'forcing', 'incompressibility' or 'momentum', found 'gravity'; "
            "did you mean viscosity?",
        ),
        (
            FNO,
            {"objective.error_weight": 0},
            "objective.error_weight: expected a positive weight here or in shell_energy_weight, sobolev_weight, "
            "band_weight, found 0.0",
        ),
        (
            FNO,
            {"objective.band_weight": 1, "objective.bands": [1, 12]},
            "objective.bands: expected increasing numbers of shells, at most 10, found [1, 12]",
        ),
        (FNO, {"objective.bands": [1, 4]}, "objective.bands: expected no bands without a band_weight, found [1, 4]"),
        (
            FNO,
            {"objective.curriculum": [{"start": 0, "unroll": 1}], "objective.pushforward": True},
            "objective.pushforward: expected an unroll above 1 in the curriculum (else nothing is fed back), found 1",
        ),
        (
            FNO,
            {"objective.curriculum": [{"start": 0, "all_to_all": 4, "unroll": 2}]},
            "objective.curriculum.0.all_to_all: expected nothing in a stage that unrolls (nothing is fed back), "
            "found 4",
        ),
        (
            FNO,
            {"objective.curriculum": [{"start": 0, "all_to_all": 21}]},
            "objective.curriculum.0.all_to_all: expected at most 20 intervals (a training stretch less the history), "
            "found 21",
        ),
        (
            FNO,
            {"objective.curriculum": [{"start": 0, "all_to_all": 4}], "bundle": 2},
            "objective.curriculum.0.all_to_all: expected nothing with a bundle (a lead time is that of one output), "
            "found 4",
        ),
        (
            FNO,
            {"objective.curriculum": [{"start": 0, "all_to_all": 4}], "augmentation.input_noise": 0.1},
            "objective.curriculum.0.all_to_all: expected nothing with input_noise (states are inputs and targets), "
            "found 4",
        ),
        (
            HYBRID,
            {"objective.curriculum": [{"start": 0, "all_to_all": 4}]},
            "objective.curriculum.0.all_to_all: expected nothing with kind hybrid (its solver's steps are of one "
            "interval), found 4",
        ),
        (
            FNO,
            {"schedule.selection_length": 8},
            "schedule.selection_length: expected no length without select_by: spectrum, found 8.0",
        ),
        (
            FNO,
            {"objective.dissipativity": {"weight": 1, "scales": [0.5, 2]}},
            "objective.dissipativity.scales: expected two factors above 1, not decreasing, found [0.5, 2.0]",
        ),
        (
            FNO,
            {"constraints": [{"type": "shell_energy_limit"}]},
            "constraints.0.type: expected 'shell_energy_cap' or 'shell_energy', found 'shell_energy_limit'; "
            "did you mean shell_energy?",
        ),
        (
            FNO,
            {"constraints": [{"type": "shell_energy_cap", "factor": 0}]},
            "constraints.0.factor: expected greater than 0, found 0",
        ),
        (
            FNO,
            {"constraints": [{"type": "shell_energy", "factor": 2}]},
            "constraints.0.factor: expected no factor with shell_energy, found 2.0",
        ),
        (
            FNO,
            {"constraints": [{"type": "shell_energy_cap"}, {"type": "shell_energy_cap", "factor": 1}]},
            "constraints: expected each type once, found ['shell_energy_cap', 'shell_energy_cap']",
        ),
        (
            FNO,
            {"constraints": [{"type": "shell_energy_cap", "shells": [3, 12]}]},
            "constraints.0.shells: expected numbers of shells, each once, at most 10, found [3, 12]",
        ),
        (
            HYBRID,
            LEARNED | {"boosts": "fno"},
            "boosts: expected nothing with closure learned (stresses of two networks are not summed), found 'fno'",
        ),
        (
            HYBRID,
            LEARNED | {"known_physics": ["viscosity", "forcing", "incompressibility"]},
            "known_physics: expected ['viscosity', 'forcing', 'incompressibility', 'momentum'] with closure learned "
            "(no stress changes the mean flow), found ['viscosity', 'forcing', 'incompressibility']",
        ),
        (
            HYBRID,
            LEARNED | {"known_physics": False},
            "known_physics: expected ['viscosity', 'forcing', 'incompressibility', 'momentum'] with kind hybrid (the "
            "solver of the others is all they know; a hybrid may leave out momentum), found []",
        ),
        (
            HYBRID,
            LEARNED | {"constraints": [{"type": "shell_energy"}]},
            "constraints: expected nothing with closure learned (they act on outputs that a network makes, and this "
            "one makes a stress), found shell_energy",
        ),
        (
            HYBRID,
            LEARNED | {"history": 2},
            "history: expected 1 with closure learned (the stress follows from the present state), found 2",
        ),
        (
            HYBRID,
            LEARNED | {"autocast": "bfloat16"},
            "autocast: expected nothing with closure learned (the stress is a part of the solver, which keeps its "
            "precision), found 'bfloat16'",
        ),
        (
            HYBRID,
            {"solver.closure": {"type": "learned", "arguments": {"limiter": "volum"}}},
            "solver.closure.arguments.limiter: expected none, volume or pointwise, found 'volum'; did you mean volume?",
        ),
        (
            HYBRID,
            {"solver.closure": {"type": "learned", "arguments": {"input": "vorticity"}}},
            "solver.closure.arguments.input: expected gradient or velocity, found 'vorticity'; did you mean velocity?",
        ),
        (
            HYBRID,
            {"solver.closure": {"type": "learned", "arguments": {"operator": 1}}},
            "solver.closure.arguments.operator: expected an argument of learned (input, limiter), found an unknown key",
        ),
        (
            HYBRID,
            {"refinement": {}},
            "refinement: expected nothing with kind hybrid (its steps are those of the equations already), found one",
        ),
        (
            FNO,
            {"refinement": {}},
            "refinement.form: expected form integral, or history + bundle above 2 (differences of that order), found "
            "'differential' with 2",
        ),
        (
            FNO,
            {"refinement": {"form": "integral", "order": 4}},
            "refinement.order: expected 2 with form integral (only differential has it), found 4",
        ),
        (
            FNO,
            {"refinement": {"steps": 4}, "history": 2},
            "refinement.steps: expected 1 with form differential (only integral has it), found 4",
        ),
        (
            FNO,
            {"refinement": {"form": "integral", "closure": {"type": "smagorinski"}}},
            "refinement.closure.type: expected a closure (" + ", ".join(sorted(CLOSURES)) + "), found 'smagorinski'; "
            "did you mean smagorinsky?",
        ),
        (
            FNO,
            {"refinement": {"form": "integral"}, "compile": True},
            "compile: expected nothing with refinement (the network is called in two parts), found True",
        ),
        (
            FNO,
            {"refinement": {"form": "integral"}, "constraints": [{"type": "shell_energy_cap"}]},
            "constraints: expected nothing with refinement (they change what the equations have just been asked for), "
            "found ['shell_energy_cap']",
        ),
        (
            FNO,
            {"refinement": {"form": "integral"}, "objective.curriculum": [{"start": 0, "all_to_all": 4}]},
            "objective.curriculum: expected a curriculum without all_to_all with refinement (outputs follow one "
            "another), found 4",
        ),
        (
            HYBRID,
            {"known_physics": ["momentum"]},
            "known_physics: expected ['viscosity', 'forcing', 'incompressibility', 'momentum'] with kind hybrid (the "
            "solver of the others is all they know; a hybrid may leave out momentum), found ['momentum']",
        ),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, file: str, changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, file, changes)
    assert [str(finding).partition(": ")[2] for finding in caught.value.findings] == [line]


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        (True, ("viscosity", "forcing", "incompressibility", "momentum")),
        (False, ()),
        ("momentum", ("momentum",)),
        (["forcing", "momentum"], ("forcing", "momentum")),
    ],
)
def test_known_physics_is_all_nothing_or_some_parts(tmp_path: Path, value: Any, parts: tuple[str, ...]) -> None:
    assert load(tmp_path, FNO, {"known_physics": value}).known_physics == parts


def test_constraints_are_for_networks_in_statistically_steady_flows(tmp_path: Path) -> None:
    constraint = [{"type": "shell_energy_cap"}]
    closure = "surrogates/fitted_viscosity.yaml"
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, closure, {"constraints": constraint})
    assert [str(finding).partition(": ")[2] for finding in caught.value.findings] == [
        "constraints: expected nothing with kind les (constraints are for what a network makes), found shell_energy_cap"
    ]
    path = write_experiment(
        tmp_path / "les", ("flows/kolmogorov.yaml", "large_eddy_simulations.no_model.constraints", constraint)
    )
    with pytest.raises(
        ConfigurationError, match=r"large_eddy_simulations.no_model.constraints: .* found an unknown key"
    ):
        load_experiment([path])


def test_constraints_are_refused_where_the_reference_changes_with_time() -> None:
    surrogate = Surrogate.model_validate(
        FILES[FNO] | {"constraints": [{"type": "shell_energy"}], "schedule": {"steps": 100}}
    )
    steady = Flow.model_validate({**FILES["flows/kolmogorov.yaml"], "surrogates": {}})
    transient = steady.model_copy(update={"type": "mcwilliams"})
    assert not list(check_stepping((), surrogate, steady))
    assert [(problem.path, problem.expected) for problem in check_stepping((), surrogate, transient)] == [
        (("constraints",), "nothing in the transient flow mcwilliams (the energies of its shells change with time)")
    ]


def test_a_force_that_holds_shells_is_seen_by_the_integral_form_alone() -> None:
    flow = Flow.model_validate({**FILES["flows/kolmogorov.yaml"], "surrogates": {}})
    flow = flow.model_copy(update={"forcing": Forcing(type="held_shells", energies={1: 0.6, 2: 0.3})})
    asked = [Surrogate.model_validate(FILES[FNO] | {"history": 2, "refinement": {"form": form}}) for form in FORMS]
    found = [[problem.expected for problem in check_refinement((), one, flow)] for one in asked]
    assert found == [
        ["integral with forcing held_shells (it acts after each step and is no part of the tendency)"],
        [],
    ]


def test_shells_that_the_forcing_holds_are_not_constrained_again() -> None:
    flow = Flow.model_validate({**FILES["flows/kolmogorov.yaml"], "surrogates": {}})
    flow = flow.model_copy(update={"forcing": Forcing(type="held_shells", energies={1: 0.6, 2: 0.3})})
    document = FILES[FNO] | {"constraints": [{"type": "shell_energy", "shells": [2, 3]}]}
    found = list(check_stepping((), Surrogate.model_validate(document), flow))
    assert [problem.expected for problem in found] == ["shells other than 1, 2, whose energy the forcing holds"]
    # A network that has to learn the forcing may be constrained there.
    assert not list(check_stepping((), Surrogate.model_validate(document | {"known_physics": False}), flow))


def test_a_hybrid_may_leave_its_mean_flow_to_the_network() -> None:
    flow = Flow.model_validate({**FILES["flows/kolmogorov.yaml"], "surrogates": {}})
    parts = ["incompressibility", "viscosity", "forcing"]
    hybrid = Surrogate.model_validate(FILES[HYBRID] | {"known_physics": parts})
    assert not list(check_stepping((), hybrid, flow))


def test_a_constrained_model_has_a_control_whose_name_is_its_own(tmp_path: Path) -> None:
    file, constraint = "flows/kolmogorov.yaml", {"constraints": [{"type": "shell_energy_cap"}]}
    path = write_experiment(tmp_path, (file, "surrogates.fno", constraint))
    flow = load_experiment([path]).flows["kolmogorov"]
    control = find_stepper(flow, "fno-noise")
    assert (control.kind, control.model, control.seed) == ("control", "fno", None)
    assert [one.folder for one in stepper_names(flow) if one.model is not None] == ["fno-noise"]
    named = {"fno": constraint, "fno-noise": {"base": "hybrid"}}
    path = write_experiment(tmp_path / "clash", (file, "surrogates", named))
    with pytest.raises(
        ConfigurationError, match=r"expected a name of its own, found one that clashes with surrogates.fno"
    ):
        load_experiment([path])


def refusals(folder: Path, models: dict[str, Any]) -> list[str]:
    """Return what is wrong with the surrogates of a flow, without the file's name."""
    path = write_experiment(folder / "config", ("flows/kolmogorov.yaml", "surrogates", models))
    with pytest.raises(ConfigurationError) as caught:
        load_experiment([path])
    return [str(finding).partition(": ")[2] for finding in caught.value.findings]


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (
            {"base": "fno", "boosts": "fnoo"},
            "boosts: expected another surrogate of the flow (fno), found 'fnoo'; did you mean fno?",
        ),
        (
            {"base": "fno", "boosts": "second"},
            "boosts: expected a surrogate that does not itself boost this one, found 'second'",
        ),
        (
            {"base": "fno", "boosts": "hybrid"},
            "kind: expected 'hybrid' as in hybrid, which it boosts, found 'surrogate'",
        ),
        (
            {"base": "hybrid", "boosts": "hybrid", "solver": {"closure": {"type": "smagorinsky"}}},
            "solver: expected the same as in hybrid, which it boosts, found another",
        ),
        (
            {"base": "fno", "boosts": "fno", "history": 2},
            "history: expected 1 as in fno, which it boosts, found 2",
        ),
        (
            {"base": "fno", "boosts": "fno", "seeds": [0, 2]},
            "seeds: expected seeds with which fno, which it boosts, is trained [0, 1], found 2",
        ),
        (
            {"base": "fno", "boosts": "fno", "objective": {"curriculum": [{"start": 0, "all_to_all": 2}]}},
            "boosts: expected a surrogate without all_to_all, in one without (sums have no lead time), found 'fno'",
        ),
        (
            {"base": "fitted_viscosity", "boosts": "fitted_viscosity"},
            "boosts: expected nothing with kind les (it has no network), found 'fitted_viscosity'",
        ),
    ],
)
def test_what_cannot_be_boosted(tmp_path: Path, model: dict[str, Any], line: str) -> None:
    models = {"fno": {}, "hybrid": {}, "fitted_viscosity": {}, "second": model}
    # A key that has come from a file of its own is named as it stands there.
    assert [one.removeprefix("surrogates.second.") for one in refusals(tmp_path, models)] == [line]


def test_surrogates_that_boost_each_other_are_refused(tmp_path: Path) -> None:
    models = {"second": {"base": "fno", "boosts": "third"}, "third": {"base": "fno", "boosts": "second"}}
    expected = "expected a surrogate that does not itself boost this one, found"
    assert refusals(tmp_path, models) == [
        f"surrogates.second.boosts: {expected} 'third'",
        f"surrogates.third.boosts: {expected} 'second'",
    ]


def test_a_mistake_in_what_is_boosted_is_one_line(tmp_path: Path) -> None:
    models = {
        "fno": {"histori": 2},
        "second": {"base": "fno", "boosts": "fno", "histori": 1},
        "third": {"base": "hybrid", "kind": "surrogate", "solver": None, "boosts": "second"},
    }
    assert all("histori" in line for line in refusals(tmp_path, models))


def test_a_file_of_weights_has_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "poseidon.safetensors").touch()
    operator = {"type": "scot", "arguments": {"published_weights": "posidon.safetensors"}}
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, FNO, {"operator": operator})
    assert [str(finding).partition(": ")[2] for finding in caught.value.findings] == [
        "operator.arguments.published_weights: expected the path of an existing file (from the working directory), "
        "found 'posidon.safetensors'; did you mean poseidon.safetensors?"
    ]
    operator["arguments"] = {"published_weights": "poseidon.safetensors"}
    assert load(tmp_path, FNO, {"operator": operator}).operator is not None
