"""Compiled steps in three dimensions without a modelled stress."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from eddymark.solvers.compiled import direct
from eddymark.solvers.compiled.arrays import Arrays, Buffers, Recipe, Scheme
from eddymark.solvers.compiled.forces import forcing_rate, measure_energy
from eddymark.solvers.compiled.layout import Layout, velocity_recipe
from eddymark.solvers.compiled.stepping import CompiledSteps, Share

if TYPE_CHECKING:
    from eddymark.solvers.periodic import NavierStokes


class VolumeSteps(CompiledSteps):
    """The Runge–Kutta steps of a 3-D solver.

    Arguments:
        solver: the equations; on the CPU.
        operators: `convecting`, `damping`, `damping_weights` of `Equations`, each `(*modes)`.
        recipe: which fields go to the grid points; default: the velocity.
        fluxes: number of fields which come back.
        work_rows: rows of work space at the grid points.
    """

    shares = True

    def __init__(
        self,
        solver: NavierStokes,
        operators: dict[str, Tensor],
        *,
        recipe: Recipe | None = None,
        fluxes: int = 5,
        work_rows: int = 0,
    ) -> None:
        self.recipe = recipe or velocity_recipe(solver.space)
        self._fluxes = fluxes
        self._work_rows = work_rows
        fields = self.recipe.stored + len(self.recipe.lines) + len(self.recipe.along_last)
        self.layout = Layout(solver.space, fields=fields + 3 + work_rows)
        super().__init__(solver, self.layout, operators)
        self.buffers: list[Buffers] = []
        self._arrays: list[Arrays] = []

    def trajectory(self, thread: int) -> Arrays:
        """Return what a thread needs besides a state; it is made, with the thread's work space, when first needed."""
        while len(self._arrays) <= thread:
            self._add_thread()
        return self._arrays[thread]

    def advance_one(self, thread: int, arrays: Arrays, scheme: Scheme, steps: int) -> float:
        """Advance a trajectory in place; return the energy that the held shells have received."""
        plans, b, recipe = self.layout.plans, self.buffers[thread], self.recipe
        return direct.advance(plans, b, self.equations, recipe, scheme, self.held, arrays, steps)

    def shared_stage(self, share: Share, arrays: Arrays, scheme: Scheme, stage: int, *, empty: bool = False) -> None:
        """Take a Runge–Kutta stage of one trajectory with several threads, or of no part of it."""
        plans, equations, recipe = self.layout.plans, self.equations, self.recipe
        if stage == 0 and equations.damping.size:
            measure_energy(equations, arrays)
        rate = scheme.weights.dtype.type(forcing_rate(equations, scheme, arrays, stage))

        def inverse(thread: int, start: int, stop: int) -> None:
            state, lines = arrays.state, arrays.lines
            direct.inverse_first(plans, self.buffers[thread], equations, recipe, state, lines, start, stop)

        def planes(thread: int, start: int, stop: int) -> None:
            lines, fluxes = arrays.lines, arrays.fluxes
            direct.planes(plans, self.buffers[thread], equations, recipe, lines, fluxes, start, stop)

        def finish_slabs(thread: int, start: int, stop: int) -> None:
            b, own = self.buffers[thread], arrays
            if arrays.ahead.shape[1] < len(equations.k_slab):
                own = arrays._replace(ahead=self.trajectory(thread).ahead)
            direct.finish_and_begin(plans, b, equations, recipe, scheme, own, stage, rate, start, stop)

        if stage == 0:
            share(inverse, 0 if empty else self.layout.slabs)
        share(planes, 0 if empty else self.layout.points[0])
        share(finish_slabs, 0 if empty else self.layout.slabs)

    def _add_thread(self) -> None:
        layout = self.layout
        self.buffers.append(layout.buffers(self.recipe, fluxes=self._fluxes, work=max(5, self._work_rows)))
        modes = layout.rows * layout.row
        needed = self._work_rows or self.equations.forced.size or self.equations.damping.size
        ahead = layout.zeros(3, layout.slabs if needed else 1, modes)
        lines = self.recipe.stored + len(self.recipe.along_first)
        # Without a stress, the fluxes of a plane replace its lines, and the lines of a slab its fluxes: less memory to
        # go through. A stress may need both.
        work = layout.lines(lines if self._work_rows else max(lines, self._fluxes))
        fluxes = layout.lines(self._fluxes) if self._work_rows else work[: self._fluxes]
        arrays = Arrays(
            state=ahead,  # replaced by the trajectory's own
            ahead=ahead,
            register=layout.zeros(3, layout.slabs, modes),
            lines=work[:lines],
            fluxes=fluxes,
            coefficient=np.zeros(1, layout.real),
        )
        self._arrays.append(arrays)
