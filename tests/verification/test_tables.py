"""The tables of finished runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from verification.tables import main, tables

CHANGES = """model,against,change,statistic,effect,value,low,high,outcome
noise,bare,input_noise: 0 → 0.02,surviving_fraction,difference,0.5,0.25,0.75,helps
noise,bare,input_noise: 0 → 0.02,decorrelation_time,ratio,0.9,0.85,0.97,harms
unroll,noise,unroll: 1 → 4,surviving_fraction,difference,0.0,-0.1,0.1,not separable
unroll,noise,unroll: 1 → 4,decorrelation_time,ratio,,,,not separable
unroll,noise,unroll: 1 → 4,spectrum_error,ratio,0.52,0.31,1.07,not separable
"""
COMPARISON = 'stepper,kind,"Survived [rollouts]","Cost, batch [s]","Cost, one by one [s]"\nbare,surrogate,2/8,0.1,0.2\n'
MODELS = COMPARISON + "noise,surrogate,6/8 (3.1),0.1,0.2\nunroll,surrogate,6/8 (4.2),0.1,0.2\n"


def test_each_change_is_a_row_with_what_it_did(tmp_path: Path) -> None:
    folder = tmp_path / "report" / "tables"
    folder.mkdir(parents=True)
    (folder / "forced_isotropic-changes.csv").write_text(CHANGES, encoding="utf-8")
    (folder / "forced_isotropic-comparison.csv").write_text(MODELS, encoding="utf-8")
    (table,) = tables(tmp_path)
    heading, _, _, _, first, second = table.splitlines()
    assert heading == "## Forced isotropic"
    assert first == (
        "| `noise` | input_noise: 0 → 0.02 | `bare` | 6/8 (3.1) against 2/8 | – | 0.90 [0.85, 0.97] "
        "| helps survival, harms decorrelation time |"
    )
    assert second == (
        "| `unroll` | unroll: 1 → 4 | `noise` | 6/8 (4.2) against 6/8 (3.1) | 0.52 [0.31, 1.07] | – | not separable |"
    )


def test_steppers_are_compared_where_no_model_is_a_change_of_another(tmp_path: Path) -> None:
    folder = tmp_path / "report" / "tables"
    folder.mkdir(parents=True)
    (folder / "kolmogorov-comparison.csv").write_text(MODELS, encoding="utf-8")
    above, below = "kinetic energy above 2 × DNS mean by the mean flow", "enstrophy below 0.5 × DNS mean"
    causes = [("unroll", below), ("bare", above), ("bare", below), ("unroll", above), ("bare", above)]
    failures = "".join(f"{stepper},1,{cause}\n" for stepper, cause in causes)
    (folder / "kolmogorov-failures.csv").write_text(f"stepper,time,cause\n{failures}", encoding="utf-8")
    (table,) = tables(tmp_path)
    flow, small = "kinetic energy above 2 by the mean flow", "enstrophy below 0.5"
    assert table.splitlines()[2:] == [
        "| stepper | Survived [rollouts] | Cost, batch [s] | Failed by |",
        "| --- | --- | --- | --- |",
        f"| bare | 2/8 | 0.1 | 2 {flow}, 1 {small} |",
        "| noise | 6/8 (3.1) | 0.1 |  |",
        f"| unroll | 6/8 (4.2) | 0.1 | 1 {small}, 1 {flow} |",
    ]


def test_results_of_no_run_are_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tables", str(tmp_path)])
    with pytest.raises(SystemExit, match="expected the results of a finished run"):
        main()
