"""The pipeline of DVC has the jobs of the configuration, no more and no less."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eddymark.cli import main
from eddymark.config import load_experiment
from eddymark.config.loading import source_files
from eddymark.errors import EddymarkError
from eddymark.pipeline import check_pipeline, pipeline, stage_names, write_pipeline
from eddymark.plan import Job, plan
from tests.small_experiment import write_experiment

REPOSITORY = Path(__file__).parents[1]


def described(config: Path, *more: Path) -> tuple[dict[str, Job], dict[str, Any]]:
    files = [config, *more]
    jobs = plan(load_experiment(files))
    return jobs, pipeline(jobs, source_files(files), more)


def resolved(folder: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Return the stages as DVC understands them."""
    parsing = pytest.importorskip("dvc.parsing")
    repository = pytest.importorskip("dvc.repo").Repo.init(str(folder), no_scm=True)
    return dict(parsing.DataResolver(repository, str(folder), content).resolve()["stages"])


def test_the_committed_pipeline_is_that_of_the_default_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    check_pipeline(described(Path("config", "config.yaml"))[1])


BOOSTED = ("flows/kolmogorov.yaml", "surrogates.boosted", {"base": "hybrid", "boosts": "hybrid"})


@pytest.mark.parametrize("config", ["default", "small", "boosted"])
def test_every_job_is_a_stage_that_reads_what_the_job_reads(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = REPOSITORY / "config" / "config.yaml"
    if config != "default":
        path = write_experiment(tmp_path / "config", *([BOOSTED] if config == "boosted" else []))
    monkeypatch.chdir(tmp_path)
    jobs, content = described(path)
    stages = resolved(tmp_path, content)
    names = stage_names(jobs)
    assert set(stages) == {"plan", "check", *names}
    assert sorted(names.values()) == sorted(jobs)
    for name, folder in names.items():
        stage, job = stages[name], jobs[folder]
        assert stage["params"] == [{"results/plan.yaml": [folder]}]
        assert stage["outs"] == [f"results/{folder}"]
        assert sorted(stage.get("deps", [])) == sorted(f"results/{upstream}" for upstream in job.upstream)
        assert stage["cmd"].endswith(f" --allowed-rules {job.driver} -- results/{folder}/signature.json")


def test_all_files_of_the_experiment_are_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_experiment(tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text("flows: {kolmogorov: {surrogates: {hybrid: {base: fno}}}}\n")
    _, content = described(Path("config/config.yaml"), Path("my.yaml"))
    names = ("flows/kolmogorov.yaml", "surrogates/fitted_viscosity.yaml", "surrogates/fno.yaml")
    assert content["params"] == ["config/config.yaml", *(f"config/{name}" for name in names), "my.yaml"]
    assert content["stages"]["plan"]["cmd"] == "eddymark dvc --configfile my.yaml plan"
    assert content["stages"]["report"]["cmd"].startswith("snakemake --configfile my.yaml --cores all ")


def test_a_new_seed_makes_an_old_pipeline_be_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write_experiment(tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    content = described(config)[1]
    with pytest.raises(EddymarkError, match=r"dvc\.yaml is not that of the configuration.*: eddymark dvc write"):
        check_pipeline(content)
    assert write_pipeline(content)
    assert not write_pipeline(content)
    check_pipeline(content)
    changed = write_experiment(tmp_path / "config", ("surrogates/fno.yaml", "seeds", [0, 1, 2]))
    with pytest.raises(EddymarkError):
        check_pipeline(described(changed)[1])


def test_recording_without_dvc_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_experiment(tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("eddymark.pipeline.mark_stale", lambda jobs, results: set())
    for arguments in (["dvc", "write"], ["dvc", "record"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
    assert stopped.value.code == 1
    expected = "eddymark: the command dvc is missing; install it with: pip install -c constraints.txt 'dvc>=3.67,<4'\n"
    assert capsys.readouterr().err == expected
