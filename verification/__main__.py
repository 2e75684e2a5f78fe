"""Runs all cases and writes the page: `python -m verification [--results FOLDER]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from verification import comte_bellot_corrsin, forced_isotropic, taylor_green
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


def main() -> None:
    """Run what has not been run yet, shortest first, then draw and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results/verification"), help="folder of checkpoints")
    folder = parser.parse_args().results
    preparation, _ = comte_bellot_corrsin.prepared_state(folder)
    stations = {model.name: comte_bellot_corrsin.simulate(model, folder) for model in comte_bellot_corrsin.MODELS}
    dynamic = next(model for model in comte_bellot_corrsin.MODELS if model.name == "dynamic_smagorinsky")
    unprepared = comte_bellot_corrsin.simulate(dynamic, folder, preparation=0.0)
    forced = {
        resolution.points: forced_isotropic.statistics(resolution, rows)
        for resolution, rows in forced_isotropic.simulate_all(folder).items()
    }
    vortex = {case: taylor_green.simulate(case, folder) for case in VORTICES}
    write_figures(vortex, stations, forced)
    write_page(Found(vortex, preparation, stations, unprepared, forced))
    print(PAGE)


if __name__ == "__main__":
    main()
