"""DVC and Snakemake agree on what has to run, whatever was edited, deleted, restored, pulled or touched.

The workflow, the signatures and DVC are the real ones. The drivers of the stages are replaced by one that writes in no
time what its results depend on; only the last test computes. `make reruns` leaves the drivers as they are, so that all
tests compute.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.repository import REPOSITORY, copy_repository, environment

SCHEDULE = {"steps": 2, "steps_per_epoch": 2, "batch_size": 1, "warm_up_steps": 1, "validation_length": 0.4}
OBJECTIVE = {"curriculum": [{"start": 0, "unroll": 1}]}
SECTION = {
    "viscosity": 1.0e-2,
    "direct_numerical_simulation": {"points": [48, 48]},
    "large_eddy_grid": {"points": [24, 24]},
    "alternative_grids": [],
    "sampling": {
        "runs": 1,
        "shards": 1,
        "spin_up": 2,
        "gap": 0.4,
        "splits": {
            "train": {"stretches": 1, "length": 1.2},
            "validation": {"stretches": 1, "length": 0.8},
            "test": {"stretches": 2, "length": 1.2},
        },
    },
    "validation": {"rollout_length": 2, "statistics_start": 1, "bootstrap_samples": 100},
    "large_eddy_simulations": {"smagorinsky": None, "dynamic_smagorinsky": None},
    "surrogates": {
        "hybrid": None,
        "neuralop_fno": None,
        "fno": {"operator": {"arguments": {"width": 4, "modes": 4, "layers": 1}}, "objective": OBJECTIVE},
        "fitted_viscosity": {"schedule": SCHEDULE, "objective": OBJECTIVE},
    },
}
"""The Kolmogorov flow at its smallest; the schedule of the FNO stands in its own file."""

FNO = {"kolmogorov/train/fno/seed0", "kolmogorov/validate/fno-seed0", "report"}
TRAINED = FNO | {
    "kolmogorov/train/fitted_viscosity/seed0",
    "kolmogorov/validate/fitted_viscosity-seed0",
    "kolmogorov/validate/apriori",
}
STEPPERS = ("dns", "no_model", "fno-seed0", "fitted_viscosity-seed0", "persistence", "matched_noise")
VALIDATED = {f"kolmogorov/validate/{name}" for name in (*STEPPERS, "constrained_noise", "apriori", "cost")}
MEASURED = {f"kolmogorov/train/{name}/timestep" for name in ("no_model", "fitted_viscosity")}
ALL = TRAINED | VALIDATED | MEASURED | {"kolmogorov/generate/0"}
MODEL = "results/kolmogorov/train/fno/seed0"
WEIGHTS = f"{MODEL}/weights.safetensors"
COMPUTES = "EDDYMARK_TEST_COMPUTES" in os.environ

pytestmark = pytest.mark.workflow


class Project:
    """A git repository with the workflow, its configuration and a copy of the package."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def execute(self, *command: str, succeeds: bool = True) -> str:
        """Run a command with the project's sources; return what it printed."""
        identity = {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        variables = environment(
            self.folder,
            **identity,
            PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            DVC_SITE_CACHE_DIR=str(self.folder.parent / "site"),
            DVC_GLOBAL_CONFIG_DIR=str(self.folder.parent / "global"),
        )
        result = subprocess.run(
            command, cwd=self.folder, env=variables, capture_output=True, text=True, timeout=900, check=False
        )
        assert (result.returncode == 0) == succeeds, result.stdout + result.stderr
        return result.stdout + result.stderr

    def json_of(self, *command: str) -> Any:
        """Run a command and return the JSON document with which its output begins."""
        return json.JSONDecoder().raw_decode(self.execute(*command))[0]

    def jobs_of(self, *command: str) -> set[str]:
        """Run a command and return the jobs that it started, which is when they begin their logs."""
        logs = self.folder / "results" / ".work" / "logs"
        shutil.rmtree(logs, ignore_errors=True)
        self.execute(*command)
        return {path.relative_to(logs).with_suffix("").as_posix() for path in logs.rglob("*.log")}

    def repro(self, *arguments: str) -> set[str]:
        return self.jobs_of("dvc", "repro", *arguments)

    def snakemake(self) -> set[str]:
        return self.jobs_of("snakemake", "--cores", "2")

    def set_learning_rate(self, value: float) -> None:
        path = self.folder / "config" / "surrogates" / "fno.yaml"
        content = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump(content | {"schedule": SCHEDULE | {"learning_rate": value}}))

    def learning_rate(self) -> float:
        """Return the learning rate with which the model on the disk was made; its record has to describe it."""
        folder = self.folder / MODEL
        record = json.loads((folder / "signature.json").read_text())
        assert record["outputs"]["weights.safetensors"] == self.digest_of_weights()
        model = json.loads((folder / "model.json").read_text())
        return float(model["configuration"]["schedule"]["learning_rate"])

    def digest_of_weights(self) -> str:
        return hashlib.sha256((self.folder / WEIGHTS).read_bytes()).hexdigest()

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.folder / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))

    def commit(self) -> None:
        self.execute("git", "add", "--all")
        self.execute("git", "commit", "--quiet", "--allow-empty", "--message", "State")


def new_project(folder: Path) -> Project:
    folder.mkdir()
    copy_repository(folder)
    for name in (".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, folder / name)
    project = Project(folder)
    default = {"name": "tiny", "seed": 1, "device": "cpu", "threads": 1, "flows": {"kolmogorov": SECTION}}
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(default))
    # The schedule of the FNO shall stand in its own file only.
    flow = folder / "config" / "flows" / "kolmogorov.yaml"
    content = yaml.safe_load(flow.read_text())
    del content["surrogates"]["fno"]["schedule"]
    flow.write_text(yaml.safe_dump(content))
    project.set_learning_rate(0.1)
    project.execute("git", "init", "--quiet")
    return project


def replace_drivers(project: Project) -> None:
    if COMPUTES:
        return
    driver, stages = Path(__file__).with_name("drivers.py"), project.folder / "src" / "eddymark" / "stages"
    for stage in ("generate", "timestep", "train", "validate", "apriori", "cost", "report"):
        shutil.copy(driver, stages / f"{stage}.py")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which `dvc repro` has run everything once."""
    project = new_project(tmp_path_factory.mktemp("dvc") / "project")
    replace_drivers(project)
    project.execute("eddymark", "dvc", "write")
    assert project.repro() == ALL
    project.commit()
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, cache and results included."""
    shutil.copytree(finished.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def test_nothing_runs_again_in_either_tool(project: Project) -> None:
    assert project.repro() == set()
    assert project.snakemake() == set()
    # DVC cannot know that the plan is the same before it has run.
    status = project.json_of("dvc", "status", "--json")
    assert set(status) == {"plan", "check"}


def test_a_changed_value_reruns_its_model_and_changing_it_back_reruns_nothing(project: Project) -> None:
    before = project.digest_of_weights()
    project.set_learning_rate(0.3)
    assert project.repro() == FNO
    assert project.learning_rate() == 0.3
    assert project.digest_of_weights() != before
    assert "learning_rate" in project.execute("dvc", "params", "diff")
    project.set_learning_rate(0.1)
    assert project.repro() == set()
    assert project.learning_rate() == 0.1
    assert project.digest_of_weights() == before
    assert project.snakemake() == set()


def test_results_of_another_configuration_are_never_taken_for_the_wanted_ones(project: Project) -> None:
    project.set_learning_rate(0.3)
    project.repro()
    shutil.copy(project.folder / "dvc.lock", project.folder.parent / "dvc.lock")
    project.execute("git", "checkout", "--quiet", "dvc.lock")
    project.execute("dvc", "checkout", "--force")
    assert project.learning_rate() == 0.1
    # The configuration says 0.3. First with a lock that says so, too, then with the restored one.
    restored = project.folder.parent / "restored"
    shutil.copytree(project.folder, restored, symlinks=True)
    assert Project(restored).snakemake() == FNO
    assert Project(restored).learning_rate() == 0.3
    shutil.copy(project.folder.parent / "dvc.lock", project.folder / "dvc.lock")
    project.repro()
    assert project.learning_rate() == 0.3
    assert project.snakemake() == set()


def test_a_recorded_mistake_is_refused_with_the_command_that_repairs_it(project: Project) -> None:
    project.set_learning_rate(0.3)
    project.execute("eddymark", "dvc", "plan")
    project.execute("dvc", "commit", "--force")  # says that the models on the disk were trained with 0.3
    message = project.execute("dvc", "repro", succeeds=False)
    command = next(line for line in message.splitlines() if "make it again with" in line).rpartition(": ")[2]
    assert project.jobs_of(*command.split()) == FNO
    assert project.learning_rate() == 0.3
    assert project.repro() == set()


def test_results_of_snakemake_are_recorded_only_if_they_are_up_to_date(project: Project) -> None:
    project.set_learning_rate(0.3)
    assert project.snakemake() == FNO
    project.set_learning_rate(0.5)
    project.execute("eddymark", "dvc", "record")  # everything but the FNO is known already
    project.set_learning_rate(0.3)
    assert "train-kolmogorov@fno-seed0" in project.execute("eddymark", "dvc", "record")
    assert project.repro() == set()
    assert project.learning_rate() == 0.3
    project.set_learning_rate(0.5)
    assert project.repro() == FNO
    assert project.learning_rate() == 0.5


def test_a_clone_with_pulled_results_runs_nothing(project: Project, tmp_path: Path) -> None:
    project.execute("dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    project.commit()
    project.execute("dvc", "push")
    clones = [Project(tmp_path / name) for name in ("pulled", "reproduced")]
    for clone in clones:
        project.execute("git", "clone", "--quiet", ".", str(clone.folder))
    pulled, reproduced = clones
    pulled.execute("dvc", "pull")
    generator = random.Random(0)
    for path in (pulled.folder / "results").rglob("*"):
        time = 1_600_000_000 + generator.randrange(10**8)
        os.utime(path, (time, time))
    assert pulled.snakemake() == set()
    assert pulled.repro() == set()
    assert reproduced.repro("--pull") == set()
    assert reproduced.snakemake() == set()
    # A model that is lost comes back from the cache.
    (pulled.folder / WEIGHTS).unlink()
    assert pulled.repro() == set()
    assert (pulled.folder / WEIGHTS).exists()
    assert pulled.snakemake() == set()


def test_a_comment_reruns_nothing_and_training_code_reruns_trainings_and_what_follows(project: Project) -> None:
    driver = "src/eddymark/stages/train.py"
    project.edit(driver, "import json\n", "# A comment.\nimport json\n")
    assert project.repro() == set()
    assert project.snakemake() == set()
    with (project.folder / driver).open("a") as file:
        file.write("CODE = 2\n")
    assert project.repro() == TRAINED
    assert COMPUTES or json.loads((project.folder / WEIGHTS).read_text())["code"] == 2
    assert project.snakemake() == set()


def test_an_artifact_that_is_lost_with_the_cache_is_made_again(project: Project) -> None:
    (project.folder / WEIGHTS).unlink()
    shutil.rmtree(project.folder / ".dvc" / "cache")
    # The copies of everything else are gone, too, but what is on the disk need not be made again.
    assert project.snakemake() == FNO
    project.execute("dvc", "commit", "--force")
    assert project.repro() == set()


def test_a_pipeline_of_other_jobs_is_refused(project: Project) -> None:
    project.edit("config/surrogates/fno.yaml", "schedule:", "seeds: [0, 1]\nschedule:")
    message = project.execute("dvc", "repro", succeeds=False)
    assert "dvc.yaml is not that of the configuration; update it, then repeat: eddymark dvc write" in message
    project.execute("eddymark", "dvc", "write")
    new = {"kolmogorov/train/fno/seed1", "kolmogorov/validate/fno-seed1", "report"}
    assert project.repro() == new
    assert project.snakemake() == set()


def test_metrics_plots_and_experiments(project: Project) -> None:
    metrics = project.json_of("dvc", "metrics", "show", "--json")
    scores = metrics[""]["data"]["results/report/metrics.json"]["data"]
    assert COMPUTES or scores == {"kolmogorov": {"fno": {"spectrum_error": 1}}}
    assert scores["kolmogorov"]["fno"]["spectrum_error"] > 0
    before = {path: path.read_bytes() for path in (project.folder / "config").rglob("*.yaml")}
    project.execute("dvc", "exp", "run", "--set-param", "config/surrogates/fno.yaml:schedule.learning_rate=0.3")
    assert project.learning_rate() == 0.3
    changed = {path.name for path, content in before.items() if path.read_bytes() != content}
    assert changed == {"fno.yaml"}
    shown = project.execute("dvc", "exp", "show", "--csv")
    assert "config/surrogates/fno.yaml:schedule.learning_rate" in shown
    assert "0.3" in shown
    changes = project.json_of("dvc", "params", "diff", "--json")
    assert [name for name in changes if name.startswith("config/")] == ["config/surrogates/fno.yaml"]
    assert changes["config/surrogates/fno.yaml"].keys() == {"schedule.learning_rate"}
    assert changes["config/surrogates/fno.yaml"]["schedule.learning_rate"]["new"] == 0.3
    project.execute("dvc", "plots", "diff", "--out", "plots")
    page = (project.folder / "plots" / "index.html").read_text()
    assert "kolmogorov training of fno-seed0" in page
    assert "kolmogorov spectrum_error" in page


def test_both_entrances_compute_the_same_files(tmp_path: Path) -> None:
    target = "kolmogorov/validate/fitted_viscosity-seed0"
    first = new_project(tmp_path / "snakemake")
    first.execute("snakemake", "--cores", "2", f"results/{target}/signature.json")
    second = new_project(tmp_path / "dvc")
    second.execute("eddymark", "dvc", "write")
    assert second.repro("validate_measured_trained-kolmogorov@fitted_viscosity-seed0") == {
        "kolmogorov/generate/0",
        "kolmogorov/train/fitted_viscosity/timestep",
        "kolmogorov/train/fitted_viscosity/seed0",
        target,
    }

    def digests(project: Project, folder: str) -> dict[str, Any]:
        record = json.loads((project.folder / "results" / folder / "signature.json").read_text())
        return {"signature": record["signature"]} | record["outputs"]

    model = "kolmogorov/train/fitted_viscosity"
    for folder in ("kolmogorov/generate/0", f"{model}/timestep", f"{model}/seed0", target):
        assert digests(first, folder) == digests(second, folder)
