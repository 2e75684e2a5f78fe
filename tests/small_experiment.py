"""A small experiment as YAML files, to be changed by tests."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

FILES: dict[str, dict[str, Any]] = {
    "config.yaml": {"name": "small", "seed": 1, "flows": {"kolmogorov": {}}},
    "flows/kolmogorov.yaml": {
        "type": "kolmogorov",
        "reference": {"length": "box side / 2π", "velocity": "(amplitude × length)^½"},
        "turnover_time": 0.8,
        "sides": ["2pi", "2pi"],
        "viscosity": 1.0e-3,
        "linear_drag": 0.1,
        "forcing": {"type": "sinusoidal", "wavenumber": 4, "amplitude": 1.0},
        "initial_state": {"energy": 1.0, "peak_wavenumber": 4.0},
        "direct_numerical_simulation": {"points": [64, 64]},
        "large_eddy_grid": {"points": [32, 32]},
        "sampling": {
            "runs": 2,
            "shards": 2,
            "spin_up": 2,
            "interval": 0.2,
            "gap": 1,
            "splits": {
                "train": {"stretches": 2, "length": 4},
                "validation": {"stretches": 1, "length": 3},
                "test": {"stretches": 2, "length": 4},
            },
        },
        "validation": {
            "rollout_length": 10,
            "statistics_start": 2,
            "survival": {"energy": [0.4, 2.5], "enstrophy": [0.4, 2.5]},
        },
        "large_eddy_simulations": {
            "no_model": {"closure": {"type": "none"}},
            "smagorinsky": {"closure": {"type": "smagorinsky", "arguments": {"smagorinsky_constant": 0.17}}},
        },
        "surrogates": {"fno": {}, "hybrid": {}, "fitted_viscosity": {}},
    },
    "surrogates/fno.yaml": {
        "kind": "surrogate",
        "operator": {"type": "fno", "arguments": {"width": 8, "modes": 4}},
        "objective": {"curriculum": [{"start": 0, "unroll": 1}, {"start": 0.5, "unroll": 4}]},
        "schedule": {"steps": 100, "learning_rate": 1.0e-3},
        "seeds": [0, 1],
    },
    "surrogates/hybrid.yaml": {
        "kind": "hybrid",
        "operator": {"type": "fno", "arguments": {"width": 8, "modes": 4}},
        "solver": {"closure": {"type": "none"}},
        "schedule": {"steps": 100},
    },
    "surrogates/fitted_viscosity.yaml": {
        "kind": "les",
        "solver": {"closure": {"type": "fitted_spectral_viscosity"}},
        "schedule": {"steps": 100},
    },
}

ABSENT = object()
"""Value of a change which takes a key away."""


def write_experiment(folder: Path, *changes: tuple[str, str, Any]) -> Path:
    """Write the files below a folder and return the path of `config.yaml`.

    Arguments:
        folder: the configuration folder.
        changes: file, dotted key and new value of each change.
    """
    for name, content in FILES.items():
        document: Any = copy.deepcopy(content)
        for file, key, value in changes:
            if file == name:
                _change(document, key, value)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
    return folder / "config.yaml"


def _change(document: Any, key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        document = document[int(parent)] if isinstance(document, list) else document.setdefault(parent, {})
    if value is ABSENT:
        del document[last]
    else:
        document[last] = value
