"""Compiled steps with a modelled stress, and which fields of a 3-D state it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import NDArray

from eddymark.grid import Grid, SpectralSpace
from eddymark.solvers.compiled import direct, germano, large_eddy, stresses
from eddymark.solvers.compiled.arrays import Arrays, Buffers, Recipe, Scheme, Subgrid, TestLevel
from eddymark.solvers.compiled.forces import forcing_rate
from eddymark.solvers.compiled.layout import Layout
from eddymark.solvers.compiled.runge_kutta import current_state, finish
from eddymark.solvers.compiled.stepping import CompiledSteps, Share
from eddymark.solvers.compiled.volume_steps import VolumeSteps

if TYPE_CHECKING:
    from eddymark.solvers.periodic import NavierStokes

_KINDS = {
    "smagorinsky": stresses.SMAGORINSKY,
    "dynamic_smagorinsky": stresses.DYNAMIC_SMAGORINSKY,
    "wale": stresses.WALE,
    "vreman": stresses.VREMAN,
    "sigma": stresses.SIGMA,
    "gradient": stresses.GRADIENT,
    "clipped_gradient": stresses.CLIPPED_GRADIENT,
}
_OF_STRAIN = ("smagorinsky", "dynamic_smagorinsky")
_TERMS = {"float32": 14, "float64": 26}
"""Terms of the polynomials which give the angles of the sigma model to rounding."""


def large_eddy_steps(
    solver: NavierStokes,
    *,
    kernel: str,
    constant: float = 0.0,
    relative_widths: tuple[float, ...] = (1.0, 1.0, 1.0),
    test_space: SpectralSpace | None = None,
    test_filter_ratio: float = 1.0,
) -> CompiledSteps:
    """Return the steps of a solver with a subgrid-scale stress.

    Arguments:
        solver: the equations; on the CPU.
        kernel: name of the stress.
        constant: what its equation multiplies the fields with, such as (C_s Δ)²; the dynamic model finds it.
        relative_widths: Δ_i / Δ along each axis (gradient models and Vreman's).
        test_space: modes which the test filter keeps, on the grid for Germano's identity (dynamic model).
        test_filter_ratio: α (dynamic model).
    """
    if solver.grid.dimension == 3:
        return LargeEddySteps(solver, kernel, constant, relative_widths, test_space, test_filter_ratio)
    from eddymark.solvers.compiled.plane_steps import PlaneSteps

    return PlaneSteps(
        solver,
        {},
        kernel=kernel,
        constant=constant,
        relative_widths=(relative_widths[0], relative_widths[1]),
        test_space=test_space,
        test_filter_ratio=test_filter_ratio,
    )


class LargeEddySteps(VolumeSteps):
    """The Runge–Kutta steps of a 3-D solver with a subgrid-scale stress; arguments as of `large_eddy_steps`."""

    def __init__(
        self,
        solver: NavierStokes,
        kernel: str,
        constant: float,
        relative_widths: tuple[float, ...],
        test_space: SpectralSpace | None,
        test_filter_ratio: float,
    ) -> None:
        super().__init__(
            solver,
            {},
            recipe=_strain_recipe(solver.space, 3) if kernel in _OF_STRAIN else _gradient_recipe(solver.space),
            fluxes=5 if test_space is None else 10,
            work_rows=stresses.WORK if kernel == "sigma" else 6,
        )
        self._constant = constant
        real = self.layout.real.type
        weights = np.square(relative_widths)
        if kernel == "vreman":
            weights = weights[[0, 0, 1]] * weights[[1, 2, 2]]
        self._subgrid = Subgrid(
            kind=_KINDS[kernel],
            ratio_squared=real(test_filter_ratio**2),
            tiny=np.finfo(real).tiny,
            series=_angle_series(self.layout.real) if kernel == "sigma" else np.zeros((2, 0), real),
            weights=weights.astype(real),
        )
        tested = test_space or SpectralSpace(Grid((4, 4, 4), solver.grid.sides), dtype=solver.space.dtype)
        self._test_recipe = _strain_recipe(tested, 13)
        self._test_layout = Layout(tested, fields=22)
        self._tested = self._test_layout.equations()
        self._test_buffers: list[Buffers] = []
        self._levels: list[TestLevel] = []

    def advance_one(self, thread: int, arrays: Arrays, scheme: Scheme, steps: int) -> float:
        """Advance a trajectory in place; return the energy that the held shells have received."""
        return large_eddy.advance(
            self.layout.plans,
            self.buffers[thread],
            self.equations,
            self.recipe,
            scheme,
            self.held,
            arrays,
            self._subgrid,
            self._test_layout.plans,
            self._test_buffers[thread],
            self._tested,
            self._test_recipe,
            self._levels[thread],
            steps,
        )

    def shared_stage(self, share: Share, arrays: Arrays, scheme: Scheme, stage: int, *, empty: bool = False) -> None:
        """Take a Runge–Kutta stage of one trajectory with several threads, or of no part of it."""
        plans, equations, recipe, subgrid = self.layout.plans, self.equations, self.recipe, self._subgrid
        rate = scheme.weights.dtype.type(forcing_rate(equations, scheme, arrays, stage))
        current = current_state(scheme, arrays, stage)
        separate = bool(large_eddy.is_separate(subgrid, stage))

        def inverse(thread: int, start: int, stop: int) -> None:
            direct.inverse_first(plans, self.buffers[thread], equations, recipe, current, arrays.lines, start, stop)

        def planes(thread: int, start: int, stop: int) -> None:
            factor = (
                arrays.coefficient.dtype.type(large_eddy.first_factor(arrays)) if separate else arrays.coefficient[0]
            )
            b = self.buffers[thread]
            large_eddy.planes(plans, b, equations, recipe, subgrid, arrays, factor, separate, start, stop)

        def finish_slabs(thread: int, start: int, stop: int) -> None:
            finish(plans, self.buffers[thread], equations, scheme, arrays, stage, rate, separate, start, stop)

        share(inverse, 0 if empty else self.layout.slabs)
        share(planes, 0 if empty else self.layout.points[0])
        if separate or empty:
            self._share_coefficient(share, arrays, empty=empty)
        share(finish_slabs, 0 if empty else self.layout.slabs)

    def _share_coefficient(self, share: Share, arrays: Arrays, *, empty: bool) -> None:
        """Find the coefficient of a step with several threads."""
        plans, tested, recipe, level = self._test_layout.plans, self._tested, self._test_recipe, self._levels[0]

        def restrict(thread: int, start: int, stop: int) -> None:
            b = self.buffers[thread]
            germano.filter_slabs(self.layout.plans, b, self.equations, tested, arrays, level, start, stop)

        def inverse(thread: int, start: int, stop: int) -> None:
            b = self._test_buffers[thread]
            direct.inverse_first(plans, b, tested, recipe, level.state, level.lines, start, stop)

        def planes(thread: int, start: int, stop: int) -> None:
            b = self._test_buffers[thread]
            germano.test_planes(plans, b, tested, recipe, self._subgrid, level, start, stop)

        share(restrict, 0 if empty else self._test_layout.slabs)
        share(inverse, 0 if empty else self._test_layout.slabs)
        share(planes, 0 if empty else self._test_layout.points[0])
        found = np.zeros_like(arrays.coefficient) if empty else arrays.coefficient
        germano.find_coefficient(level, self.equations.smallest, found)

    def _add_thread(self) -> None:
        super()._add_thread()
        self._arrays[-1].coefficient[0] = self._constant
        layout, recipe = self._test_layout, self._test_recipe
        self._test_buffers.append(layout.buffers(recipe, fluxes=0, work=3))
        level = TestLevel(
            state=layout.zeros(recipe.stored, layout.slabs, layout.rows * layout.row),
            lines=layout.lines(recipe.stored + len(recipe.along_first)),
            sums=np.zeros((layout.points[0], 2)),
        )
        self._levels.append(level)


def _recipe(
    space: SpectralSpace,
    stored: int,
    combinations: list[tuple[tuple[int, float], tuple[int, float], tuple[int, float]]],
    along_last: list[tuple[int, float]],
) -> Recipe:
    """Return a recipe from (field, weight) of the derivatives along each axis."""
    real = str(space.dtype).removeprefix("torch.")
    lines = np.array(combinations).reshape(-1, 3, 2)
    last = np.array(along_last).reshape(-1, 2)
    return Recipe(
        stored=stored,
        along_first=np.array([1, 2]),
        lines=lines[..., 0].astype(np.int64),
        weights=lines[..., 1].astype(real),
        along_last=last[:, 0].astype(np.int64),
        last_weights=last[:, 1].astype(real),
    )


def _strain_recipe(space: SpectralSpace, stored: int) -> Recipe:
    """Return the recipe for some fields, the velocity first, and the reduced strain rate (`rates`)."""
    u, v, w = 0, 1, 2
    none = (0, 0.0)
    vx, wx = stored, stored + 1
    return _recipe(
        space,
        stored,
        [
            ((v, -1.0), (w, -2.0), none),
            ((u, 0.5), none, (vx, 0.5)),
            (none, (u, 0.5), (wx, 0.5)),
            ((v, 1.0), (w, -1.0), none),
            ((w, 0.5), (v, 0.5), none),
        ],
        [],
    )


def _gradient_recipe(space: SpectralSpace) -> Recipe:
    """Return the recipe for velocity and velocity gradient (`rates`)."""
    u, v, w = 0, 1, 2
    none = (0, 0.0)
    vx, wx = 3, 4
    return _recipe(
        space,
        3,
        [
            (none, none, (vx, 1.0)),
            (none, none, (wx, 1.0)),
            ((u, 1.0), none, none),
            ((v, 1.0), none, none),
            ((w, 1.0), none, none),
        ],
        [(u, 1.0), (v, 1.0), (w, 1.0)],
    )


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
