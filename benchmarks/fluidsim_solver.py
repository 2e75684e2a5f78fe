"""Sets up fluidsim for comparisons: the 2/3 rule and steps of a fixed length by the classical Runge–Kutta method."""

from __future__ import annotations

import math
import os
import tempfile
from typing import Any

# It makes folders where this points to, at its import.
os.environ.setdefault("FLUIDSIM_PATH", tempfile.mkdtemp())


def fluidsim_solver(shape: tuple[int, ...], *, viscosity: float, step: float, initial_state: str) -> Any:
    """Return a simulation of the Navier–Stokes equations in a periodic box of side 2π.

    Arguments:
        shape: points per axis, as many along each.
        viscosity, step: ν and the length of a step.
        initial_state: fluidsim's name for it; `in_script` leaves it to the caller.
    """
    if len(shape) == 3:
        from fluidsim.solvers.ns3d.solver import Simul
    else:
        from fluidsim.solvers.ns2d.solver import Simul
    parameters = Simul.create_default_params()
    for axis in "xyz"[: len(shape)]:
        setattr(parameters.oper, f"n{axis}", shape[0])
        setattr(parameters.oper, f"L{axis}", 2 * math.pi)
    parameters.oper.coef_dealiasing = 2 / 3
    parameters.nu_2 = viscosity
    parameters.time_stepping.USE_CFL = False
    parameters.time_stepping.deltat0 = step
    parameters.time_stepping.type_time_scheme = "RK4"
    parameters.init_fields.type = initial_state
    parameters.output.HAS_TO_SAVE = False
    return Simul(parameters)
