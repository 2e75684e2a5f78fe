"""Compiled steps in two dimensions with dynamic models."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from eddymark.solvers.compiled import plane, plane_dynamic
from eddymark.solvers.compiled.arrays import Arrays, Scheme
from eddymark.solvers.compiled.plane_germano import PlaneDynamic, PlaneLevel
from eddymark.solvers.compiled.plane_steps import PlaneSteps
from eddymark.solvers.compiled.transforms import aligned

if TYPE_CHECKING:
    from eddymark.solvers.compiled.dynamic_steps import DynamicProcedure
    from eddymark.solvers.periodic import NavierStokes


class PlaneDynamicSteps(PlaneSteps):
    """The Runge–Kutta steps of a 2-D solver with a dynamic model; arguments as of `dynamic_steps.dynamic_steps`."""

    def __init__(self, solver: NavierStokes, procedure: DynamicProcedure) -> None:
        super().__init__(solver, {})
        axes, tested = procedure.averaged_axes, procedure.test_space
        test_transfer = procedure.tested_similarity
        if test_transfer is not None:
            test_transfer = tested.resample(test_transfer, solver.space)
        self._axes = axes
        self._mixed = procedure.similarity is not None
        self._dynamic = PlaneDynamic(
            varies=len(axes) < 2,
            neighbourhood=self._transfer(None if axes else procedure.neighbourhood),
            relaxation_time=procedure.relaxation_time,
            share=procedure.smallest_share,
            ratio_squared=self.storage.real.type(procedure.test_filter_ratio**2),
            similarity=self._transfer(procedure.similarity),
            tested_similarity=self._transfer(test_transfer),
            rows=tested.modes[0],
            kept=tested.modes[1],
            velocity=np.array([plane.VELOCITY]),
            fields=np.array([plane.VELOCITY, plane.STRAIN]),
        )
        self._cells = math.prod(self.sizes[axis] for axis in range(2) if axis not in axes)
        self._levels: list[PlaneLevel] = []

    @property
    def work_fields(self) -> tuple[int, int]:
        """Fields and fluxes of which a thread has whole ones between their transforms."""
        return (5, 4) if self._mixed else (4, 3)

    def trajectory(self, thread: int) -> Arrays:
        """Return what a thread needs besides a state; nothing is left of another trajectory's coefficient."""
        arrays = super().trajectory(thread)
        arrays.coefficient[0] = -1
        return arrays

    def advance_one(self, thread: int, arrays: Arrays, scheme: Scheme, steps: int) -> float:
        """Advance a trajectory in place; return the energy that the held shells have received."""
        return plane_dynamic.advance(
            self.plans,
            self.buffers[thread],
            self.equations,
            scheme,
            self.held,
            arrays,
            self._dynamic,
            self._levels[thread],
            self._cells,
            self.sizes,
            steps,
        )

    def _transfer(self, factor: Tensor | None) -> NDArray[Any]:
        return np.zeros(0, self.storage.real) if factor is None else self.storage.stored(factor.numpy())[0]

    def _add_thread(self) -> None:
        super()._add_thread()
        b, model, (first, last) = self.buffers[-1], self._dynamic, self.sizes
        fluxes, real = 2 if self._mixed else 1, self.storage.real.name
        count, column = b.points.shape[1:]
        fields = len(model.fields) + (1 if self._mixed else 0)
        whole = (self.work_lines, column) if model.varies else (0, 0)
        self._levels.append(
            PlaneLevel(
                smooth_b=b._replace(columns=b.columns[2:]),
                stress_b=b._replace(modes=b.modes[fluxes:]),
                spare_b=b._replace(columns=b.columns[fields:], modes=b.modes[fluxes + 1 :]),
                smooth=self.equations._replace(convecting=model.similarity.reshape(1, -1)),
                tested_smooth=self.equations._replace(convecting=model.tested_similarity.reshape(1, -1)),
                sums=np.zeros((2, 1 if 1 in self._axes else last, 1 if 0 in self._axes else first)),
                means=np.zeros(2),
                line=self.storage.zeros(last),
                found=aligned((count, column), real),
                stress=self.storage.zeros(*whole),
                coefficient=aligned(whole, real),
            )
        )
