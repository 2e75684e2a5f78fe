"""A change reruns what depends on it and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import eddymark.plan
from eddymark.config import Experiment, load_experiment
from eddymark.plan import plan
from tests.small_experiment import write_experiment


def experiment(folder: Path, *changes: tuple[str, str, Any]) -> Experiment:
    return load_experiment([write_experiment(folder, *changes)])


def test_the_plan_names_every_job_after_those_it_reads(tmp_path: Path) -> None:
    jobs = plan(experiment(tmp_path))
    assert list(jobs)[:2] == ["kolmogorov/generate/0", "kolmogorov/generate/1"]
    assert list(jobs)[-1] == "report"
    trained = [f"{name}/timestep" for name in ("no_model", "smagorinsky", "hybrid", "fitted_viscosity")]
    trained += ["fno/seed0", "fno/seed1", "hybrid/seed0", "fitted_viscosity/seed0"]
    assert [name.removeprefix("kolmogorov/train/") for name in jobs if "/train/" in name] == trained
    steppers = ["dns", "no_model", "smagorinsky", "fno-seed0", "fno-seed1", "hybrid-seed0", "fitted_viscosity-seed0"]
    steppers += ["persistence", "matched_noise", "constrained_noise", "apriori", "cost"]
    assert [name.removeprefix("kolmogorov/validate/") for name in jobs if "/validate/" in name] == steppers
    seen: set[str] = set()
    for folder, job in jobs.items():
        assert seen.issuperset(job.upstream), folder
        seen.add(folder)
    assert set(jobs["kolmogorov/validate/fno-seed1"].upstream) == {
        "kolmogorov/generate/0",
        "kolmogorov/generate/1",
        "kolmogorov/train/fno/seed1",
    }
    assert set(jobs["kolmogorov/validate/hybrid-seed0"].upstream) == {
        "kolmogorov/generate/0",
        "kolmogorov/generate/1",
        "kolmogorov/train/hybrid/timestep",
        "kolmogorov/train/hybrid/seed0",
    }
    assert set(jobs["report"].upstream) == set(jobs) - {"report"}


FLOW = "flows/kolmogorov.yaml"
FNO = "surrogates/fno.yaml"
FNO_JOBS = {"train/fno/seed0", "train/fno/seed1", "validate/fno-seed0", "validate/fno-seed1"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ((FNO, "schedule.learning_rate", 2e-3), FNO_JOBS),
        ((FNO, "seeds", [1, 0, 2]), set()),
        ((FNO, "operator.arguments.width", 16), FNO_JOBS | {"validate/cost"}),
        (
            (FLOW, "large_eddy_simulations.smagorinsky.integrator", "runge_kutta_3"),
            {"train/smagorinsky/timestep", "validate/smagorinsky", "validate/cost"},
        ),
        (
            (FLOW, "large_eddy_simulations.smagorinsky.courant_number", 2.0),
            {"validate/smagorinsky", "validate/cost"},
        ),
        ((FLOW, "large_eddy_simulations.other", {}), {"validate/cost", "validate/apriori"}),
        ((FNO, "constraints", [{"type": "shell_energy_cap"}]), FNO_JOBS | {"validate/cost"}),
        (
            (FNO, "refinement", {"form": "integral"}),
            {"validate/fno-seed0", "validate/fno-seed1", "validate/cost"},
        ),
        (("config.yaml", "name", "renamed"), set()),
    ],
    ids=[
        "learning rate",
        "one more seed",
        "width",
        "integrator",
        "fixed time step",
        "one more LES",
        "constraint",
        "refinement",
        "name",
    ],
)
def test_a_change_alters_the_signatures_of_what_depends_on_it(
    tmp_path: Path, change: tuple[str, str, Any], expected: set[str]
) -> None:
    before, after = plan(experiment(tmp_path / "a")), plan(experiment(tmp_path / "b", change))
    changed = {name for name in before.keys() & after.keys() if before[name].signature != after[name].signature}
    assert changed == {f"kolmogorov/{name}" for name in expected} | {"report"}


def test_noise_through_constraints_waits_for_data_only_and_depends_on_the_constraints(tmp_path: Path) -> None:
    caps = [(FNO, "constraints", [{"type": "shell_energy_cap", "factor": factor}]) for factor in (1.5, 2.5)]
    jobs = plan(experiment(tmp_path / "a", caps[0]))
    job = jobs["kolmogorov/validate/fno-noise"]
    assert set(job.upstream) == {"kolmogorov/generate/0", "kolmogorov/generate/1"}
    assert job.signature != plan(experiment(tmp_path / "b", caps[1]))[job.folder].signature
    slower = plan(experiment(tmp_path / "c", caps[0], (FNO, "schedule.learning_rate", 2e-3)))
    assert job.signature == slower[job.folder].signature
    assert "kolmogorov/validate/hybrid-noise" not in jobs


def test_the_stress_of_a_learned_closure_is_compared_after_its_training(tmp_path: Path) -> None:
    hybrid = "surrogates/hybrid.yaml"
    change = (hybrid, "solver.closure.type", "learned")
    jobs = plan(experiment(tmp_path / "a", change))
    job = jobs["kolmogorov/validate/apriori"]
    assert {"kolmogorov/train/hybrid/seed0", "kolmogorov/train/fitted_viscosity/seed0"} <= set(job.upstream)
    wider = plan(experiment(tmp_path / "b", change, (hybrid, "operator.arguments.width", 4)))
    changed = {name for name, job in jobs.items() if wider[name].signature != job.signature}
    # Its time step is that of the LES without the network.
    expected = ("train/hybrid/seed0", "validate/hybrid-seed0", "validate/apriori", "validate/cost")
    assert changed == {f"kolmogorov/{name}" for name in expected} | {"report"}


BOOSTED = {
    "kind": "surrogate",
    "operator": {"type": "fno", "arguments": {"width": 8, "modes": 4}},
    "boosts": "fno",
    "schedule": {"steps": 100},
}


def with_boosted(folder: Path, *changes: tuple[str, str, Any]) -> Experiment:
    """Return an experiment in which `another` boosts `boosted`, which boosts `fno`; in reverse order."""
    models = {"another": BOOSTED | {"base": None, "boosts": "boosted"}, "boosted": BOOSTED | {"base": None}, "fno": {}}
    return experiment(folder, (FLOW, "surrogates", models), *changes)


def test_what_boosts_another_surrogate_is_trained_after_it_with_the_same_seed(tmp_path: Path) -> None:
    jobs = plan(with_boosted(tmp_path, (FLOW, "surrogates.boosted.seeds", [1, 0])))
    seen: set[str] = set()
    for folder, job in jobs.items():
        assert seen.issuperset(job.upstream), folder
        seen.add(folder)
    data = ["kolmogorov/generate/0", "kolmogorov/generate/1"]
    for seed in (0, 1):
        upstream = jobs[f"kolmogorov/train/boosted/seed{seed}"].upstream
        assert list(upstream) == [*data, f"kolmogorov/train/fno/seed{seed}"]
    assert list(jobs["kolmogorov/train/another/seed0"].upstream) == [*data, "kolmogorov/train/boosted/seed0"]
    # All weights are in its own file.
    assert list(jobs["kolmogorov/validate/boosted-seed1"].upstream) == [*data, "kolmogorov/train/boosted/seed1"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ((FNO, "schedule.learning_rate", 2e-3), {"fno-seed0", "fno-seed1", "boosted-seed0", "another-seed0"}),
        ((FLOW, "surrogates.boosted.schedule.steps", 200), {"boosted-seed0", "another-seed0"}),
        ((FLOW, "surrogates.another.boosts", "fno"), {"another-seed0"}),
    ],
    ids=["first", "second", "what is boosted"],
)
def test_a_change_of_what_is_boosted_reruns_what_boosts_it(
    tmp_path: Path, change: tuple[str, str, Any], expected: set[str]
) -> None:
    before, after = plan(with_boosted(tmp_path / "a")), plan(with_boosted(tmp_path / "b", change))
    changed = {name for name in before if before[name].signature != after[name].signature}
    trained = {f"kolmogorov/train/{name.replace('-', '/')}" for name in expected}
    timed = {"kolmogorov/validate/cost"} if change[1].endswith("boosts") else set()
    assert changed == trained | {f"kolmogorov/validate/{name}" for name in expected} | timed | {"report"}


def test_the_sources_of_what_is_boosted_are_those_of_what_boosts_it(tmp_path: Path) -> None:
    other = {"type": "unet", "arguments": {"width": 4, "levels": 2}}
    folders = ["kolmogorov/train/boosted/seed0", "kolmogorov/validate/boosted-seed0"]
    before, after = plan(with_boosted(tmp_path / "a")), plan(with_boosted(tmp_path / "b", (FNO, "operator", other)))
    assert all(before[folder].sources != after[folder].sources for folder in folders)


@pytest.mark.parametrize("module", ["stepping/surrogate.py", "operators/build.py", "training/module.py"])
def test_the_code_of_models_leaves_the_data_alone(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "eddymark"
    shutil.copytree(eddymark.plan._PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(eddymark.plan, "_PACKAGE", package)
    before = plan(experiment(tmp_path / "config"))
    with (package / module).open("a", encoding="utf-8") as file:
        file.write("\nNEW = 1\n")
    after = plan(experiment(tmp_path / "config"))
    changed = {before[name].stage for name in before if before[name].sources != after[name].sources}
    assert "train" in changed
    assert "generate" not in changed


def test_a_fixed_time_step_is_not_measured(tmp_path: Path) -> None:
    jobs = plan(experiment(tmp_path, (FLOW, "large_eddy_simulations.smagorinsky.courant_number", 2.0)))
    assert "kolmogorov/train/smagorinsky/timestep" not in jobs
    assert set(jobs["kolmogorov/validate/smagorinsky"].upstream) == {"kolmogorov/generate/0", "kolmogorov/generate/1"}


def test_an_alternative_grid_adds_jobs_and_leaves_data_and_trainings_alone(tmp_path: Path) -> None:
    before = plan(experiment(tmp_path / "a"))
    after = plan(experiment(tmp_path / "b", (FLOW, "alternative_grids", [[24, 24]])))
    changed = {name for name in before if before[name].signature != after[name].signature}
    assert changed == {"kolmogorov/validate/cost", "report"}
    names = ("no_model-24", "smagorinsky-24")
    added = {f"kolmogorov/train/{name}/timestep" for name in names} | {f"kolmogorov/validate/{name}" for name in names}
    assert after.keys() - before.keys() == added


def test_validation_settings_leave_data_training_and_timing_alone(tmp_path: Path) -> None:
    before = plan(experiment(tmp_path / "a"))
    after = plan(experiment(tmp_path / "b", (FLOW, "validation.rollout_length", 12)))
    same = {name for name in before if before[name].signature == after[name].signature}
    assert {before[name].stage for name in same} == {"generate", "timestep", "train", "apriori", "cost"}
    assert not any(before[name].stage == "validate" for name in same)


@pytest.mark.parametrize(
    "change",
    [("config.yaml", "seed", 2), (FLOW, "viscosity", 2e-3), (FLOW, "sampling.spin_up", 3)],
    ids=["seed", "viscosity", "spin-up"],
)
def test_a_change_of_the_data_alters_every_job(tmp_path: Path, change: tuple[str, str, Any]) -> None:
    before, after = plan(experiment(tmp_path / "a")), plan(experiment(tmp_path / "b", change))
    assert before.keys() == after.keys()
    assert not [name for name in before if before[name].signature == after[name].signature]


def test_how_a_surrogate_is_written_alters_only_the_report(tmp_path: Path) -> None:
    change = {"objective": {"sobolev_weight": 1.0}}
    copied, extending = (
        plan(experiment(tmp_path, (FLOW, "surrogates.smooth", {key: "fno"} | change))) for key in ("base", "extends")
    )
    assert list(copied) == list(extending)
    assert [key for key in copied if copied[key].signature != extending[key].signature] == ["report"]


def test_the_longest_history_decides_where_all_steppers_start(tmp_path: Path) -> None:
    before = plan(experiment(tmp_path / "a"))
    after = plan(experiment(tmp_path / "b", (FNO, "history", 2)))
    changed = {name for name in before if before[name].signature != after[name].signature}
    judged = {name for name, job in before.items() if job.stage in ("validate", "cost", "report")}
    assert changed == judged | {"kolmogorov/train/fno/seed0", "kolmogorov/train/fno/seed1"}


def test_the_order_of_keys_and_another_flow_alter_only_the_report(tmp_path: Path) -> None:
    before = plan(experiment(tmp_path / "a"))
    flows = {"kolmogorov_viscous": {"base": "kolmogorov", "viscosity": 0.01}, "kolmogorov": {}}
    after = plan(experiment(tmp_path / "b", ("config.yaml", "flows", flows)))
    assert {name for name in before if before[name].signature != after[name].signature} == {"report"}


def test_precision_concerns_training_and_judgement_but_not_the_data(tmp_path: Path) -> None:
    before = plan(experiment(tmp_path / "a"))
    after = plan(experiment(tmp_path / "b", ("config.yaml", "precision", "float64")))
    same = {before[name].stage for name in before if before[name].signature == after[name].signature}
    assert same == {"generate"}


def test_what_is_in_a_file_of_published_weights_counts_and_not_where_it_lies(tmp_path: Path) -> None:
    def signatures(file: Path) -> dict[str, str]:
        operator = {"type": "scot", "arguments": {"patch_size": 2, "window_size": 4, "published_weights": str(file)}}
        jobs = plan(experiment(tmp_path / "config", (FNO, "operator", operator)))
        return {folder: job.signature for folder, job in jobs.items()}

    weights, moved = tmp_path / "model.safetensors", tmp_path / "moved.safetensors"
    for file in (weights, moved):
        file.write_bytes(b"weights")
    first, elsewhere = signatures(weights), signatures(moved)
    trained = {f"kolmogorov/{job}" for job in FNO_JOBS}
    # The page names the file.
    assert {folder for folder, signature in elsewhere.items() if signature != first[folder]} == {"report"}
    weights.write_bytes(b"other weights")
    assert {folder for folder, signature in signatures(weights).items() if signature != first[folder]} == {
        *trained,
        "report",
    }
