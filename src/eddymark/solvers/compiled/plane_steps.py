"""Compiled steps in two dimensions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from eddymark.solvers.compiled import plane, plane_stresses
from eddymark.solvers.compiled.arrays import Arrays, Scheme
from eddymark.solvers.compiled.layout import Storage
from eddymark.solvers.compiled.stepping import CompiledSteps
from eddymark.solvers.compiled.transforms import aligned_count, plan

if TYPE_CHECKING:
    from eddymark.solvers.periodic import NavierStokes

_KINDS = {
    "none": (plane.NO_STRESS, [plane.VELOCITY]),
    "smagorinsky": (plane.SMAGORINSKY, [plane.VELOCITY, plane.STRAIN]),
    "leith": (plane.LEITH, [plane.VELOCITY, plane.STRAIN, plane.LAPLACIAN]),
    "gradient": (plane.GRADIENT, [plane.VELOCITY, plane.STRAIN, plane.ROTATION]),
}
_LINE_BYTES = 1 << 15
"""What the lines of one field that are transformed together take at the grid points."""


class PlaneSteps(CompiledSteps):
    """The Runge–Kutta steps of a 2-D solver.

    Arguments:
        solver: the equations; on the CPU.
        operators: `convecting`, `damping`, `damping_weights` of `Equations`, each `(*modes)`.
        kernel: name of the subgrid-scale stress.
        constant: what its equation multiplies the fields with, such as (C_s Δ)².
        relative_widths: Δ_i / Δ along each axis (gradient model).
    """

    def __init__(
        self,
        solver: NavierStokes,
        operators: dict[str, Tensor],
        *,
        kernel: str = "none",
        constant: float = 0.0,
        relative_widths: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        super().__init__(solver, Storage(solver.space), operators)
        storage = self.storage
        kind, fields = _KINDS[kernel]
        real, (first, last) = storage.real.type, (width**2 for width in relative_widths)
        self.model = plane.PlaneModel(
            kind=kind,
            fields=np.array(fields),
            mean_weight=real((first + last) / 2),
            difference_weight=real((first - last) / 4),
        )
        self._constant = constant
        self.sizes = (storage.points[0], storage.points[1])
        # Some lines along the last axis become whole cache lines of columns.
        self._lines = aligned_count(1, storage.dtype)
        # One cache line more than a power of two keeps columns from falling into the same cache sets.
        self._pitch = tuple(aligned_count(n + self._lines, storage.dtype) for n in self.sizes)
        most = max(1, _LINE_BYTES // (np.dtype(storage.dtype).itemsize * self._pitch[0]))
        self._count = math.ceil(self.sizes[1] / math.ceil(self.sizes[1] / most))
        self.plans = self._make_plans()
        self.buffers: list[plane.PlaneBuffers] = []
        self._arrays: list[Arrays] = []

    @property
    def work_fields(self) -> tuple[int, int]:
        """Fields and fluxes of which a thread has whole ones between their transforms."""
        return len(self.model.fields), 1

    @property
    def work_lines(self) -> int:
        """Lines along the first axis for which a thread has room."""
        return -(-self.sizes[1] // self._count) * self._count

    def trajectory(self, thread: int) -> Arrays:
        """Return what a thread needs besides a state; it is made, with the thread's work space, when first needed."""
        while len(self._arrays) <= thread:
            self._add_thread()
        return self._arrays[thread]

    def advance_one(self, thread: int, arrays: Arrays, scheme: Scheme, steps: int) -> float:
        """Advance a trajectory in place; return the energy that the held shells have received."""
        return plane_stresses.advance(
            self.plans,
            self.buffers[thread],
            self.equations,
            self.model,
            scheme,
            self.held,
            arrays,
            self.sizes,
            steps,
        )

    def _make_plans(self) -> plane.PlanePlans:
        dtype, (first, last), (column, line) = self.storage.dtype, self.sizes, self._pitch
        along_first = [
            plan(dtype, first, (1, 1), self._count, (column, column), inverse=inverse) for inverse in (True, False)
        ]
        return plane.PlanePlans(
            plan(dtype, last, (1, column), self._lines, (line, 1), inverse=True),
            plan(dtype, last, (column, 1), self._lines, (1, line), inverse=False),
            *along_first,
        )

    def _add_thread(self) -> None:
        zeros, first, (column, line) = self.storage.zeros, self.sizes[0], self._pitch
        fields, fluxes = self.work_fields
        lines = self.work_lines
        modes = self.storage.rows * self.storage.row
        buffers = plane.PlaneBuffers(
            lines=zeros(self._lines, line),
            columns=zeros(fields, lines, column),
            points=zeros(fields, self._count, column),
            returned=zeros(self._count, column),
            modes=zeros(fluxes, aligned_count(first, self.storage.dtype), line),
            slab=self.storage.rates(2),
            rate=self.storage.rates(2),
        )
        self.buffers.append(buffers)
        ahead = zeros(2, 1, modes)
        none = zeros(0, 0, 0)
        coefficient = np.full(1, self._constant, self.storage.real)
        self._arrays.append(Arrays(ahead, ahead, zeros(2, 1, modes), none, none, coefficient))
