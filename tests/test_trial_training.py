"""`eddymark check --trial`: what trainings need, and one step of each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from eddymark import trial_training
from eddymark.cli import main
from eddymark.config import Experiment, load_experiment
from eddymark.flows.build import build_flow
from eddymark.plan import plan
from eddymark.stepping.network import untrained_network
from eddymark.training.module import Training
from eddymark.training_needs import predict
from eddymark.trial import try_out
from tests.small_experiment import write_experiment

CONFIG = Path(__file__).parents[1] / "config"
FNO = "surrogates/fno.yaml"


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str], list[str]]:
    with pytest.raises(SystemExit) as stopped:
        main(["check", *arguments])
    output = capsys.readouterr()
    return int(stopped.value.code or 0), output.out.splitlines(), output.err.splitlines()


def test_the_smoke_experiment_takes_a_step_of_every_training(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CONFIG.parent)
    code, lines, errors = checked(capsys, "--configfile", "config/experiments/smoke.yaml", "--trial")
    assert (code, errors) == (0, [])
    assert lines[-1].startswith("ok: experiment smoke")
    start = lines.index(next(line for line in lines if line.startswith("flow ")))
    rows = [re.split(r"\s{2,}", line) for line in lines[start + 1 : -1]]
    flows = load_experiment([Path("config/config.yaml"), Path("config/experiments/smoke.yaml")]).flows
    assert [row[:2] for row in rows] == [
        [name, job] for name, flow in flows.items() for job in ("DNS", *flow.surrogates)
    ]
    trained = [row for row in rows if row[1] != "DNS"]
    # The experiment's curricula unroll one and then four outputs.
    network = next(row for row in trained if row[1] == "fno")
    assert re.fullmatch(r"[\d.e-]+ \(1\), [\d.e-]+ \(4\)", network[6])
    for row in trained:
        parameters, _, predicted, measured, _, training = row[2:]
        assert int(parameters.replace(" ", "")) > 0
        assert 0 < float(predicted) < 1
        assert float(measured) < 1
        assert re.fullmatch(r"[\d.]+ (s|min)", training)


def test_what_needs_more_than_the_stated_memory_is_one_line_and_is_not_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = {"type": "fno", "arguments": {"width": 4096, "modes": 15, "layers": 16}}
    write_experiment(
        tmp_path / "config", (FNO, "operator", operator), ("flows/kolmogorov.yaml", "surrogates", {"fno": {}})
    )
    monkeypatch.chdir(tmp_path)
    code, lines, errors = checked(capsys, "--trial", "--memory", "80")
    assert code == 1
    assert "not tried: " in lines[-1]
    (line,) = errors
    assert re.fullmatch(
        r"config/surrogates/fno\.yaml: schedule\.batch_size: expected a job that fits into the 80 GB which are "
        r"allowed, found one that needs about [\d.e+]+ GB",
        line,
    )


def test_a_step_that_fails_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_experiment(tmp_path / "config", ("flows/kolmogorov.yaml", "surrogates", {"fno": {}}))
    monkeypatch.chdir(tmp_path)

    def poisoned(self: Training, window: torch.Tensor, batch_index: int) -> torch.Tensor:
        loss = next(self.stepper.parameters()).sum() * torch.nan
        self._losses.append(loss.detach())
        return loss

    monkeypatch.setattr(Training, "training_step", poisoned)
    code, lines, errors = checked(capsys, "--trial")
    assert code == 1
    assert lines[-1].split()[-1] == "fails"
    (line,) = errors
    assert line.startswith(
        "config/flows/kolmogorov.yaml: surrogates.fno: expected a training that can take a step, found "
    )
    assert "training diverged in step 1: loss nan" in line


def test_the_predicted_memory_is_what_a_step_needs(tmp_path: Path) -> None:
    operator = {"type": "fno", "arguments": {"width": 64, "modes": 12, "layers": 4}}
    changes = {"schedule.batch_size": 32, "objective": {"curriculum": [{"start": 0, "unroll": 4}]}}
    path = write_experiment(
        tmp_path, (FNO, "operator", operator), *((FNO, key, value) for key, value in changes.items())
    )
    experiment = load_experiment([path])
    needs = predict(experiment, "kolmogorov", "fno")
    trial = trial_training.take_steps(experiment, trial_training.Trial("kolmogorov", "fno", needs))
    assert trial.measured is not None
    assert needs.memory == pytest.approx(trial.measured, rel=0.25)
    assert list(trial.step_seconds) == ["4"]
    assert trial.training_seconds is not None
    assert trial.training_seconds > 100 * trial.step_seconds["4"]


def test_each_stage_of_a_curriculum_is_timed_as_it_trains(tmp_path: Path) -> None:
    operator = {"type": "scot", "arguments": {"width": 12, "levels": 1, "layers": 1, "patch_size": 2, "window_size": 4}}
    stages = [{"start": 0, "all_to_all": 3}, {"start": 0.5, "unroll": 2}]
    path = write_experiment(tmp_path, (FNO, "operator", operator), (FNO, "objective", {"curriculum": stages}))
    experiment = load_experiment([path])
    needs = predict(experiment, "kolmogorov", "fno")
    trial = trial_training.take_steps(experiment, trial_training.Trial("kolmogorov", "fno", needs))
    # Six pairs of a window against two outputs.
    assert list(trial.step_seconds) == ["2", "all to all within 3"]
    assert needs.memory > 0


def paper(name: str) -> Experiment:
    """Return an experiment of the size of the papers, checked as before a run."""
    return load_experiment([CONFIG / "config.yaml", CONFIG / "experiments" / f"{name}.yaml"], try_out)


@pytest.mark.parametrize(
    ("name", "flow", "expected"),
    [
        (
            "forced_isotropic_256",
            "forced_isotropic",
            # In the papers the FNO has 331.8 million (20 modes, of which this grid has 15) and IFactFormer 1.4.
            {
                "fno_published": 159.4,
                "ifno": 131.6,
                "iufno": 133.6,
                "fifno": 0.71,
                "ifactformer_o": 1.4,
                "ifactformer_m": 1.17,
            },
        ),
        ("lesnets_mixing_layer", "mixing_layer", {}),
    ],
)
def test_experiments_of_the_size_of_the_papers_build_and_plan(name: str, flow: str, expected: dict[str, float]) -> None:
    experiment = paper(name)
    jobs = plan(experiment)
    models = experiment.flows[flow].surrogates
    assert {f"{flow}/train/{model}/seed{seed}" for model, one in models.items() for seed in one.seeds} <= jobs.keys()
    built = build_flow(experiment.flows[flow])
    with torch.device("meta"):
        for model, millions in expected.items():
            operator = untrained_network(built, model, static_fields=0)
            count = sum(parameter.numel() for parameter in operator.parameters())
            assert count / 1e6 == pytest.approx(millions, rel=0.02), model
