"""What generation says of a DNS that is no good one, and that it then leaves nothing behind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from eddymark.config.schema import Experiment
from eddymark.errors import EddymarkError
from eddymark.solvers.time_integration import TimeIntegration
from eddymark.stages import generate
from eddymark.storage import read_trajectories

RUNS = {"train": 1, "validation": 1, "test": 2}
FLOW: dict[str, Any] = {
    "type": "mcwilliams",
    "reference": {"length": "box side / 2π", "velocity": "initial rms"},
    "turnover_time": 0.3,
    "sides": ["2pi", "2pi"],
    "viscosity": 0.02,
    "initial_state": {"spectrum": "mcwilliams", "energy": 1.0, "peak_wavenumber": 3.0},
    "direct_numerical_simulation": {"points": [48, 48]},
    "large_eddy_grid": {"points": [16, 16]},
    "sampling": {
        "spin_up": 0.5,
        "interval": 0.5,
        "splits": {split: {"runs": runs, "length": 2} for split, runs in RUNS.items()},
    },
    "validation": {
        "rollout_length": 2,
        "statistics_start": 0.5,
        "windows": 2,
        "survival": {"energy": [0.4, 2.5], "enstrophy": [0.4, 2.5]},
    },
    "large_eddy_simulations": {"no_model": {}},
    "surrogates": {},
}
STEADY: dict[str, Any] = {
    "type": "kolmogorov",
    "linear_drag": 0.1,
    "forcing": {"type": "sinusoidal", "wavenumber": 4, "amplitude": 1.0},
    "initial_state": {"energy": 1.0, "peak_wavenumber": 3.0},
    "sampling": {
        "runs": 2,
        "spin_up": 0.5,
        "interval": 0.5,
        "gap": 0.5,
        "splits": {split: {"stretches": 1, "length": 1} for split in RUNS},
    },
    "validation": FLOW["validation"] | {"windows": 1},
}


def run(tmp_path: Path, **changes: Any) -> Path:
    flows = {"box": FLOW | changes}
    case = Experiment.model_validate({"name": "tiny", "seed": 1, "device": "cpu", "flows": flows})
    output = tmp_path / "output"
    output.mkdir()
    generate.run(case, "box", 0, results=tmp_path, output=output, work=tmp_path / "work")
    return output


def test_a_transient_flow_is_generated_without_a_word_about_steadiness(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = run(tmp_path)
    log = capsys.readouterr().err
    (line,) = [line for line in log.splitlines() if line.startswith("box:")]
    assert re.fullmatch(
        r"box: initial turnover time 0\.\d+, Taylor Reynolds number \d+\.\d, lowest k_max η \d\.\d\d", line
    )
    assert "not steady" not in log
    data = read_trajectories(output / "test.zarr.zip")
    assert data.attrs["final_energy"] < data.attrs["energy"]
    assert data["run"].to_numpy().tolist() == [0, 1]
    assert sorted(set(pd.read_csv(output / "budget.csv")["run"])) == [0, 1, 2, 3]


@pytest.mark.parametrize("changes", [{}, STEADY], ids=["transient", "steady"])
def test_an_under_resolved_dns_is_warned_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any]
) -> None:
    output = run(tmp_path, **changes, viscosity=6e-3)
    warning = re.search(r"WARNING: box is under-resolved: k_max η = (0\.\d\d) < 1\n", capsys.readouterr().err)
    assert warning is not None
    assert read_trajectories(output / "train.zarr.zip").attrs["resolution"] == pytest.approx(
        float(warning[1]), abs=5e-3
    )


@pytest.mark.parametrize("changes", [{}, STEADY], ids=["transient", "steady"])
def test_a_dns_that_is_none_is_refused_at_once_and_leaves_nothing(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(
        EddymarkError, match=r"^DNS of box is under-resolved: k_max η = 0\.[0-4]\d < 0\.5 at output 1; "
    ):
        run(tmp_path, **changes, viscosity=1e-4)
    assert list((tmp_path / "output").iterdir()) == []
    allowed = {"points": [48, 48], "allow_underresolved": True}
    (tmp_path / "again").mkdir()
    output = run(tmp_path / "again", **changes, viscosity=1e-4, direct_numerical_simulation=allowed)
    assert (output / "test.zarr.zip").exists()


def test_an_unstable_fixed_step_is_stopped_at_once_with_its_courant_number_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TimeIntegration, "steps", lambda *_: 1)
    sampling = FLOW["sampling"] | {"interval": 4.0, "splits": {split: {"runs": 1, "length": 8} for split in RUNS}}
    with pytest.raises(EddymarkError) as caught:
        run(tmp_path, sampling=sampling)
    words = (
        r"DNS of box, output 1: unstable time step, Courant number (\d+) before the interval and \S+ after it; lower "
        r"courant_number or sampling\.interval"
    )
    found = re.fullmatch(words, str(caught.value))
    assert found is not None
    # One step over four turnover times of 0.3, where 2.8 is the limit.
    assert 10 < int(found[1]) < 1000
    assert list((tmp_path / "output").iterdir()) == []
