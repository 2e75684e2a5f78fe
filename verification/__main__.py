"""Runs all cases and writes the page: `python -m verification [--results FOLDER]`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from eddymark.checkpoints import MANIFEST
from verification import comte_bellot_corrsin, fitted_viscosity, forced_isotropic, taylor_green
from verification.figures import write_figures
from verification.page import PAGE, Found, write_page

VORTICES = (
    *(
        taylor_green.Case(64, closure)
        for closure in ("none", "smagorinsky", "dynamic_smagorinsky", "sigma", "dynamic_mixed")
    ),
    taylor_green.Case(64, "spectral_eddy_viscosity"),
    taylor_green.Case(64, precision="float64"),
    taylor_green.Case(128),
    taylor_green.Case(192, end=10.0),
)


def is_finished(folder: Path, name: str, end: float) -> bool:
    """Return whether a simulation has been computed to its end."""
    manifest = folder / name / MANIFEST
    if not manifest.exists():
        return False
    rows = json.loads(manifest.read_text(encoding="utf-8"))["content"]["facts"]["rows"]
    return bool(rows[-1]["time"] >= end - 1e-9)


def main() -> None:
    """Run what has not been run yet, shortest first, then draw and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results/verification"), help="folder of checkpoints")
    parser.add_argument("--finished", action="store_true", help="leave large simulations out that are not finished")
    arguments = parser.parse_args()
    folder = arguments.results
    vortices = [case for case in VORTICES if not arguments.finished or is_finished(folder, case.name, case.end)]
    missing = [case.name for case in VORTICES if case not in vortices]
    fine = forced_isotropic.FINE
    if arguments.finished and not is_finished(folder, fine.name, fine.end):
        missing.append(fine.name)
    preparation, _ = comte_bellot_corrsin.prepared_state(folder)
    fit = fitted_viscosity.fit(folder)
    models = (*comte_bellot_corrsin.MODELS, fit.model)
    stations = {model.name: comte_bellot_corrsin.simulate(model, folder) for model in models}
    dynamic = next(model for model in models if model.name == "dynamic_smagorinsky")
    unprepared = comte_bellot_corrsin.simulate(dynamic, folder, preparation=0.0)
    rows = forced_isotropic.simulate_all(folder, with_fine=fine.name not in missing)
    forced = {resolution.points: forced_isotropic.statistics(resolution, part) for resolution, part in rows.items()}
    vortex = {case: taylor_green.simulate(case, folder) for case in vortices}
    write_figures(vortex, stations, forced)
    write_page(Found(vortex, preparation, stations, unprepared, fit, forced, missing))
    print(PAGE)


if __name__ == "__main__":
    main()
