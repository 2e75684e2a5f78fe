"""Configuration: the only place where YAML is understood."""

from __future__ import annotations

from eddymark.config.findings import ConfigurationError, Finding
from eddymark.config.loading import complete_mapping, experiment_from_mapping, load_experiment
from eddymark.config.schema import Experiment, Flow, Surrogate

__all__ = [
    "ConfigurationError",
    "Experiment",
    "Finding",
    "Flow",
    "Surrogate",
    "complete_mapping",
    "experiment_from_mapping",
    "load_experiment",
]
