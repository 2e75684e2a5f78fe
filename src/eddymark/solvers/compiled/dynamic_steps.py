"""Compiled steps with dynamic models."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from eddymark.grid import SpectralSpace
from eddymark.solvers.compiled import direct, dynamic, germano
from eddymark.solvers.compiled.arrays import Arrays, Scheme
from eddymark.solvers.compiled.dynamic import Varying
from eddymark.solvers.compiled.forces import forcing_rate
from eddymark.solvers.compiled.germano import DynamicModel, TestLevel
from eddymark.solvers.compiled.layout import Layout, velocity_recipe
from eddymark.solvers.compiled.recipes import strain_recipe
from eddymark.solvers.compiled.runge_kutta import current_state
from eddymark.solvers.compiled.stepping import CompiledSteps, Share
from eddymark.solvers.compiled.transforms import aligned
from eddymark.solvers.compiled.volume_steps import VolumeSteps

if TYPE_CHECKING:
    from eddymark.solvers.periodic import NavierStokes


@dataclass(frozen=True)
class DynamicProcedure:
    """How the coefficient of a dynamic model is found (`eddymark.closures.dynamic_smagorinsky`).

    Arguments:
        test_space: modes which the test filter keeps, on the grid for Germano's identity.
        test_filter_ratio: α.
        averaged_axes: axes over which averages are taken; none: local ones.
        neighbourhood: transfer function of local averages, `(*modes)`.
        smallest_share: ⟨M_ij M_ij⟩ counts as at least this share of its average over the volume.
        relaxation_time: T.
        similarity: transfer function of the filter of the similarity stress, `(*modes)` (mixed model).
        tested_similarity: the same at the test level, in the modes of `test_space`.
    """

    test_space: SpectralSpace
    test_filter_ratio: float
    averaged_axes: tuple[int, ...]
    neighbourhood: Tensor
    smallest_share: float
    relaxation_time: float
    similarity: Tensor | None = None
    tested_similarity: Tensor | None = None


def dynamic_steps(solver: NavierStokes, procedure: DynamicProcedure) -> CompiledSteps:
    """Return the steps of a solver with a dynamic model.

    Arguments:
        solver: the equations; on the CPU.
        procedure: the model.
    """
    if solver.grid.dimension == 3:
        return DynamicSteps(solver, procedure)
    from eddymark.solvers.compiled.plane_dynamic_steps import PlaneDynamicSteps

    return PlaneDynamicSteps(solver, procedure)


class DynamicSteps(VolumeSteps):
    """The Runge–Kutta steps of a 3-D solver with a dynamic model; arguments as of `dynamic_steps`."""

    def __init__(self, solver: NavierStokes, procedure: DynamicProcedure) -> None:
        mixed = procedure.similarity is not None
        space, tested = solver.space, procedure.test_space
        velocities, fluxes = (6, 15) if mixed else (3, 10)
        super().__init__(solver, {}, recipe=strain_recipe(space, velocities), fluxes=fluxes, work_rows=2)
        axes = procedure.averaged_axes
        # Both levels have the same blocks of columns where they have the same grid.
        self._test_layout = Layout(tested, fields=self.layout.fields)
        self._test_recipe = strain_recipe(tested, velocities + 10)
        self._tested = self._test_layout.equations()
        self._model = DynamicModel(
            varies=len(axes) < 3,
            averaged=(0 in axes, 1 in axes, 2 in axes),
            neighbourhood=self._transfer(self.layout, None if axes else procedure.neighbourhood),
            relaxation_time=procedure.relaxation_time,
            share=procedure.smallest_share,
            ratio_squared=self.layout.real.type(procedure.test_filter_ratio**2),
            similarity=self._transfer(self.layout, procedure.similarity),
            tested_similarity=self._transfer(self._test_layout, procedure.tested_similarity),
        )
        self._cells = math.prod(self.layout.points[axis] for axis in range(3) if axis not in axes)
        self._levels: list[TestLevel] = []
        self._varying: list[Varying] = []
        self._smoothed: list[NDArray[Any]] = []

    def trajectory(self, thread: int) -> Arrays:
        """Return what a thread needs besides a state; nothing is left of another trajectory's coefficient."""
        arrays = super().trajectory(thread)
        arrays.coefficient[0] = -1
        return arrays

    def advance_one(self, thread: int, arrays: Arrays, scheme: Scheme, steps: int) -> float:
        """Advance a trajectory in place; return the energy that the held shells have received."""
        return dynamic.advance(
            self.layout.plans,
            self.buffers[thread],
            self.equations,
            self.recipe,
            scheme,
            self.held,
            arrays,
            self._smoothed[thread],
            self._model,
            self._levels[thread],
            self._varying[thread],
            self._cells,
            steps,
        )

    def shared_stage(self, share: Share, arrays: Arrays, scheme: Scheme, stage: int, *, empty: bool = False) -> None:
        """Take a Runge–Kutta stage of one trajectory with several threads, or of no part of it."""
        plans, equations, recipe, model = self.layout.plans, self.equations, self.recipe, self._model
        rate = scheme.weights.dtype.type(forcing_rate(equations, scheme, arrays, stage))
        real = self.layout.real.type
        current = current_state(scheme, arrays, stage)
        smoothed = self._smoothed[0]
        mixed, first = model.similarity.size > 0, stage == 0
        factor = real(1) if first else real(dynamic.eddy_factor(model, arrays))

        def smooth(thread: int, start: int, stop: int) -> None:
            dynamic.smooth_slabs(model, current, smoothed, start, stop)

        def inverse(thread: int, start: int, stop: int) -> None:
            fields = smoothed if mixed else current
            direct.inverse_first(plans, self.buffers[thread], equations, recipe, fields, arrays.lines, start, stop)

        def planes(thread: int, start: int, stop: int) -> None:
            b, varying = self.buffers[thread], self._varying[0]
            dynamic.dynamic_planes(plans, b, equations, recipe, model, arrays, varying, factor, first, start, stop)

        def finish_slabs(thread: int, start: int, stop: int) -> None:
            dynamic.finish(plans, self.buffers[thread], equations, scheme, model, arrays, stage, rate, start, stop)

        slabs, points = (0, 0) if empty else (self.layout.slabs, self.layout.points[0])
        if mixed or empty:
            share(smooth, slabs if mixed else 0)
        share(inverse, slabs)
        share(planes, points)
        if first:
            self._share_identity(share, arrays, empty=empty)
            self._share_coefficient(share, arrays, scheme, empty=empty)
        share(finish_slabs, slabs)

    def _share_identity(self, share: Share, arrays: Arrays, *, empty: bool) -> None:
        """Evaluate Germano's identity with several threads."""
        plans, equations, model = self.layout.plans, self.equations, self._model
        own, means = self._levels[0], self._varying[0].means
        slabs, points = (0, 0) if empty else (self._test_layout.slabs, self._test_layout.points[0])

        def level(thread: int) -> TestLevel:
            there = self._levels[thread]
            return own._replace(b=there.b, velocity_b=there.velocity_b)

        def restrict(thread: int, start: int, stop: int) -> None:
            b = self.buffers[thread]
            germano.filter_slabs(plans, b, equations, model, arrays, level(thread), start, stop)

        def inverse_velocity(thread: int, start: int, stop: int) -> None:
            b, recipe = self._levels[thread].velocity_b, own.velocity_recipe
            direct.inverse_first(own.plans, b, own.equations, recipe, own.state, own.lines, start, stop)

        def velocity_planes(thread: int, start: int, stop: int) -> None:
            b, recipe = self._levels[thread].velocity_b, own.velocity_recipe
            direct.planes(own.plans, b, own.equations, recipe, own.lines, own.fluxes, start, stop)

        def subtract(thread: int, start: int, stop: int) -> None:
            germano.subtract_products(model, level(thread), start, stop)

        def inverse(thread: int, start: int, stop: int) -> None:
            b = self._levels[thread].b
            direct.inverse_first(own.plans, b, own.equations, own.recipe, own.state, own.lines, start, stop)

        def compare(thread: int, start: int, stop: int) -> None:
            b = self.buffers[thread]
            germano.compare_planes(plans, b, equations, model, arrays, level(thread), start, stop)

        def average(thread: int, start: int, stop: int) -> None:
            b = self.buffers[thread]
            germano.average_slabs(plans, b, equations, model, arrays, means, start, stop)

        share(restrict, slabs)
        if model.similarity.size or empty:
            share(inverse_velocity, slabs)
            share(velocity_planes, points)
            share(subtract, slabs)
        share(inverse, slabs)
        share(compare, points)
        if model.neighbourhood.size or empty:
            share(average, 0 if empty else self.layout.slabs)

    def _share_coefficient(self, share: Share, arrays: Arrays, scheme: Scheme, *, empty: bool) -> None:
        """Find the coefficient of a step, and with several threads the stress if it varies."""
        plans, equations, model = self.layout.plans, self.equations, self._model
        level, varying, real = self._levels[0], self._varying[0], self.layout.real.type
        found = arrays.coefficient.copy() if empty else arrays.coefficient
        weight = real(dynamic.find_coefficient(equations, scheme, model, level, self._cells, found))
        factor = real(dynamic.eddy_factor(model, arrays))

        def planes(thread: int, start: int, stop: int) -> None:
            b = self.buffers[thread]
            own = varying._replace(b=self._varying[thread].b)
            dynamic.stress_planes(plans, b, equations, model, arrays, level, own, weight, factor, start, stop)

        if model.varies or empty:
            share(planes, 0 if empty else self.layout.points[0])

    def _transfer(self, layout: Layout, factor: Tensor | None) -> NDArray[Any]:
        return np.zeros((0, 0), layout.real) if factor is None else layout.stored(factor.numpy())

    def _add_thread(self) -> None:
        super()._add_thread()
        model, layout, tested = self._model, self.layout, self._test_layout
        mixed, recipe = model.similarity.size > 0, self._test_recipe
        b = tested.buffers(recipe, fluxes=5 if mixed else 0, work=5 if mixed else 3)
        blocks = math.ceil(tested.points[1] // 2 / tested.width)
        sums = (
            1 if model.averaged[1] else blocks,
            1 if model.averaged[2] else tested.points[2],
            1 if model.averaged[1] else 2 * tested.width,
        )
        local = model.neighbourhood.size > 0
        self._levels.append(
            TestLevel(
                plans=tested.plans,
                b=b,
                velocity_b=b._replace(plane=b.plane[:3], fields=b.fields[:3]),
                equations=self._tested,
                recipe=recipe,
                velocity_recipe=velocity_recipe(tested.space),
                state=tested.zeros(recipe.stored, tested.slabs, tested.rows * tested.row),
                lines=tested.lines(recipe.stored + len(recipe.along_first)),
                fluxes=tested.lines(5 if mixed else 0),
                sums=np.zeros((2, 0 if local else tested.points[0], *sums)),
            )
        )
        blocks = math.ceil(layout.points[1] // 2 / layout.width)
        values = (layout.points[0], blocks, 2 * layout.points[2] * layout.width)
        real = layout.real.name
        b = self.buffers[-1]
        self._varying.append(
            Varying(
                b=b._replace(plane=b.plane[:2], fields=b.fields[:2]),
                recipe=velocity_recipe(layout.space)._replace(stored=2),
                means=np.zeros(2),
                stress=aligned((5, *values) if model.varies else (0, 0, 0, 0), real),
                coefficient=aligned(values if model.varies else (0, 0, 0), real),
            )
        )
        self._smoothed.append(layout.zeros(6 if mixed else 0, layout.slabs, layout.rows * layout.row))
