"""Options that several commands have, and how their experiment is found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eddymark.errors import EddymarkError

if TYPE_CHECKING:
    from eddymark.config import Experiment

Configuration = Annotated[
    list[Path] | None,
    typer.Option("--configfile", help="YAML file merged over config/config.yaml; may be repeated."),
]
Resolved = Annotated[
    Path | None, typer.Option("--experiment", help="Resolved experiment (JSON) instead of YAML files.")
]
Results = Annotated[Path, typer.Option(help="Root of the results.")]
FlowName = Annotated[str, typer.Argument(help="Name of the flow in the experiment.")]


def configuration_files(given: Sequence[Path]) -> list[Path]:
    """Return the YAML files of an experiment in the order of merging, the default experiment first."""
    default = Path("config", "config.yaml")
    if given and (not default.exists() or given[0].resolve() == default.resolve()):
        return list(given)
    return [default, *given]


def load(resolved: Path | None, configfile: list[Path] | None) -> Experiment:
    """Return a resolved experiment, or the one that the YAML files describe."""
    from eddymark.config import Experiment, load_experiment

    if resolved is None:
        return load_experiment(configuration_files(configfile or []))
    try:
        return Experiment.model_validate_json(resolved.read_bytes())
    except (OSError, ValueError) as error:
        raise EddymarkError(f"{resolved}: not a resolved experiment ({type(error).__name__})") from None


def same_options(configfile: list[Path] | None, resolved: Path | None, results: Path) -> list[str]:
    """Return the options with which another command finds the same experiment and results."""
    options = [word for file in configfile or [] for word in ("--configfile", str(file))]
    options += [] if resolved is None else ["--experiment", str(resolved)]
    return options + ([] if results == Path("results") else ["--results", str(results)])
