"""Compiled steps with a modelled stress; those with dynamic models are in `dynamic_steps`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import NDArray

from eddymark.solvers.compiled import direct, large_eddy, stresses
from eddymark.solvers.compiled.arrays import Arrays, Scheme, Subgrid
from eddymark.solvers.compiled.forces import forcing_rate
from eddymark.solvers.compiled.recipes import gradient_recipe, strain_recipe
from eddymark.solvers.compiled.runge_kutta import current_state, finish
from eddymark.solvers.compiled.stepping import CompiledSteps, Share
from eddymark.solvers.compiled.volume_steps import VolumeSteps

if TYPE_CHECKING:
    from eddymark.solvers.periodic import NavierStokes

_KINDS = {
    "smagorinsky": stresses.SMAGORINSKY,
    "wale": stresses.WALE,
    "vreman": stresses.VREMAN,
    "sigma": stresses.SIGMA,
    "gradient": stresses.GRADIENT,
    "clipped_gradient": stresses.CLIPPED_GRADIENT,
}
_TERMS = {"float32": 14, "float64": 26}
"""Terms of the polynomials which give the angles of the sigma model to rounding."""


def large_eddy_steps(
    solver: NavierStokes,
    *,
    kernel: str,
    constant: float,
    relative_widths: tuple[float, ...] = (1.0, 1.0, 1.0),
) -> CompiledSteps:
    """Return the steps of a solver with a subgrid-scale stress.

    Arguments:
        solver: the equations; on the CPU.
        kernel: name of the stress.
        constant: what its equation multiplies the fields with, such as (C_s Δ)².
        relative_widths: Δ_i / Δ along each axis (gradient models and Vreman's).
    """
    if solver.grid.dimension == 3:
        return LargeEddySteps(solver, kernel, constant, relative_widths)
    from eddymark.solvers.compiled.plane_steps import PlaneSteps

    return PlaneSteps(
        solver,
        {},
        kernel=kernel,
        constant=constant,
        relative_widths=(relative_widths[0], relative_widths[1]),
    )


class LargeEddySteps(VolumeSteps):
    """The Runge–Kutta steps of a 3-D solver with a subgrid-scale stress; arguments as of `large_eddy_steps`."""

    def __init__(self, solver: NavierStokes, kernel: str, constant: float, relative_widths: tuple[float, ...]) -> None:
        super().__init__(
            solver,
            {},
            recipe=strain_recipe(solver.space, 3) if kernel == "smagorinsky" else gradient_recipe(solver.space),
            work_rows=stresses.WORK if kernel == "sigma" else 6,
        )
        self._constant = constant
        real = self.layout.real.type
        weights = np.square(relative_widths)
        if kernel == "vreman":
            weights = weights[[0, 0, 1]] * weights[[1, 2, 2]]
        self._subgrid = Subgrid(
            kind=_KINDS[kernel],
            tiny=np.finfo(real).tiny,
            series=_angle_series(self.layout.real) if kernel == "sigma" else np.zeros((2, 0), real),
            weights=weights.astype(real),
        )

    def advance_one(self, thread: int, arrays: Arrays, scheme: Scheme, steps: int) -> float:
        """Advance a trajectory in place; return the energy that the held shells have received."""
        plans, b, recipe = self.layout.plans, self.buffers[thread], self.recipe
        return large_eddy.advance(plans, b, self.equations, recipe, scheme, self.held, arrays, self._subgrid, steps)

    def shared_stage(self, share: Share, arrays: Arrays, scheme: Scheme, stage: int, *, empty: bool = False) -> None:
        """Take a Runge–Kutta stage of one trajectory with several threads, or of no part of it."""
        plans, equations, recipe, subgrid = self.layout.plans, self.equations, self.recipe, self._subgrid
        rate = scheme.weights.dtype.type(forcing_rate(equations, scheme, arrays, stage))
        current = current_state(scheme, arrays, stage)

        def inverse(thread: int, start: int, stop: int) -> None:
            direct.inverse_first(plans, self.buffers[thread], equations, recipe, current, arrays.lines, start, stop)

        def planes(thread: int, start: int, stop: int) -> None:
            large_eddy.planes(plans, self.buffers[thread], equations, recipe, subgrid, arrays, start, stop)

        def finish_slabs(thread: int, start: int, stop: int) -> None:
            finish(plans, self.buffers[thread], equations, scheme, arrays, stage, rate, start, stop)

        share(inverse, 0 if empty else self.layout.slabs)
        share(planes, 0 if empty else self.layout.points[0])
        share(finish_slabs, 0 if empty else self.layout.slabs)

    def _add_thread(self) -> None:
        super()._add_thread()
        self._arrays[-1].coefficient[0] = self._constant


def _angle_series(real: np.dtype[Any]) -> NDArray[Any]:
    """Return polynomials in 2 h − 1 for cos φ/3 and sin(φ/3) / sin(φ/2), h = cos φ/2 in 0 … 1.

    Both functions are analytic for h > −1, so that their Chebyshev coefficients fall like (3 + √8)^−n.
    """

    def cosine(y: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.cos(2 / 3 * np.arccos((y + 1) / 2))

    def ratio(y: NDArray[np.float64]) -> NDArray[np.float64]:
        angle = np.arccos((y + 1) / 2)
        return np.sin(2 / 3 * angle) / np.sin(angle)

    degree = _TERMS[real.name] - 1
    series = [Chebyshev.interpolate(part, degree).convert(kind=Polynomial).coef[::-1] for part in (cosine, ratio)]
    return np.array(series).astype(real)
