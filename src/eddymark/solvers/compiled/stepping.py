"""Advances states with the compiled kernels: work space, threads, batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddymark.solvers.compiled import kernels
from eddymark.solvers.compiled.transforms import aligned, aligned_count, plan
from eddymark.solvers.forcing import ConstantPower, HeldShells

if TYPE_CHECKING:
    from eddymark.solvers.periodic import NavierStokes
    from eddymark.solvers.time_integration import RungeKutta3, RungeKutta4

_BLOCK_BYTES = 1 << 17
"""What the columns of one block of a plane may take together: half of a small second-level cache."""

_LONGEST_SINGLE_PASS = 128
"""FFTW makes longer transforms in several passes, which are fastest over columns that fill one cache line."""


class CompiledSteps:
    """The Runge–Kutta steps of a solver without gradients on the CPU.

    Trajectories are advanced one after the other, or at the same time by as many threads as torch may use; a single
    3-D trajectory is shared by them. What comes out does not depend on the batch or on the number of threads.

    Arguments:
        solver: the equations; on the CPU.
    """

    def __init__(self, solver: NavierStokes) -> None:
        space = solver.space
        grid = space.grid
        self._space = space
        self._dtype = {torch.float32: "complex64", torch.float64: "complex128"}[space.dtype]
        self._real = str(space.dtype).removeprefix("torch.")
        self._modes = (*(1,) * (3 - grid.dimension), *space.modes)
        self._slabs, self._rows = (space.modes[1], space.modes[0]) if grid.dimension == 3 else (1, space.modes[0])
        self._flux_count = grid.dimension * (grid.dimension + 1) // 2 - 1
        self._row = aligned_count(space.modes[-1], self._dtype)
        # One cache line more than a power of two keeps the rows of a plane from falling into the same cache sets.
        self._column = aligned_count(grid.points[-2] + 1, self._dtype)
        self._width = self._block_width()
        self._plans = self._make_plans()
        self._forcing = solver.forcing
        self._equations = self._make_equations()
        self._held = self._make_held()
        self._buffers: list[kernels.Buffers] = []
        self._arrays: list[kernels.Arrays] = []

    def advance(self, spectrum: Tensor, method: RungeKutta4 | RungeKutta3, steps: int) -> tuple[Tensor, Tensor]:
        """Return û after some steps, and the energy that a held-shell constraint has added to each trajectory.

        Arguments:
            spectrum: û, `(batch, d, *modes)`.
            method: Runge–Kutta method with its time step and integrating factors.
            steps: number of steps.
        """
        factors = self._stored(method.factors.detach().numpy())
        scheme = kernels.Scheme(np.array(method.weights, dtype=factors.dtype), factors)
        states = self._stored(spectrum.resolve_conj().numpy())
        threads = torch.get_num_threads()
        if threads == 1 or (len(states) == 1 and self._space.grid.dimension == 2):
            added = [self._advance_one(0, state, scheme, steps) for state in states]
        elif len(states) < threads and self._space.grid.dimension == 3:
            with ThreadPoolExecutor(threads) as pool:
                added = [self._advance_shared(pool, threads, state, scheme, steps) for state in states]
        else:
            added = self._advance_side_by_side(threads, states, scheme, steps)
        return self._returned(states), torch.tensor(added, dtype=self._space.dtype)

    def pieces(self) -> tuple[kernels.Plans, kernels.Buffers, kernels.Equations, kernels.Arrays]:
        """Return what the kernels work with on one thread, for timing parts of a step."""
        return self._plans, self._work_space(0), self._equations, self._trajectory(0)

    def _advance_one(self, thread: int, state: NDArray[Any], scheme: kernels.Scheme, steps: int) -> float:
        buffers, arrays = self._work_space(thread), self._trajectory(thread)._replace(state=state)
        added = kernels.advance(self._plans, buffers, self._equations, scheme, self._held, arrays, steps)
        return float(added)

    def _advance_side_by_side(
        self, threads: int, states: NDArray[Any], scheme: kernels.Scheme, steps: int
    ) -> list[float]:
        for thread in range(threads):
            self._work_space(thread), self._trajectory(thread)

        def share(thread: int) -> list[float]:
            return [self._advance_one(thread, state, scheme, steps) for state in states[thread::threads]]

        with ThreadPoolExecutor(threads) as pool:
            shares = list(pool.map(share, range(threads)))
        return [shares[index % threads][index // threads] for index in range(len(states))]

    def _advance_shared(
        self, pool: ThreadPoolExecutor, threads: int, state: NDArray[Any], scheme: kernels.Scheme, steps: int
    ) -> float:
        """Advance a 3-D trajectory with several threads, each of which has its own slabs."""
        plans, equations = self._plans, self._equations
        arrays = self._trajectory(0)._replace(state=state)
        buffers = [self._work_space(thread) for thread in range(threads)]
        points = self._space.grid.points[0]
        stages = len(scheme.weights)

        def share(work: Callable[[kernels.Buffers, int, int], None], slabs: int) -> None:
            bounds = [slabs * thread // threads for thread in range(threads + 1)]
            list(pool.map(work, buffers, bounds[:-1], bounds[1:]))

        added = 0.0
        for _ in range(steps):
            for stage in range(stages):
                rate = kernels.forcing_rate(equations, scheme, arrays, stage)
                current = kernels.current_state(scheme, arrays, stage)
                share(partial(_inverse, plans, equations, current, arrays.lines), self._slabs)
                share(partial(_planes, plans, equations, arrays.lines, arrays.fluxes), points)
                share(partial(_finish, plans, equations, scheme, arrays, stage, rate), self._slabs)
            if self._held.energies.size:
                added += kernels.hold_shells(equations, self._held, state)
        return added

    def _stored(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return `(..., *modes)` as the kernels store modes, `(..., slabs, rows · row)`, padded with zeros."""
        leading = array.shape[: array.ndim - self._space.grid.dimension]
        array = array.reshape(*leading, *self._modes)
        stored = aligned((*leading, self._slabs, self._rows, self._row), str(array.dtype))
        stored[..., : self._modes[-1]] = array.swapaxes(-3, -2) if self._slabs > 1 else array
        return stored.reshape(*leading, self._slabs, self._rows * self._row)

    def _returned(self, states: NDArray[Any]) -> Tensor:
        """Return spectra `(batch, d, *modes)` from the kernels' states."""
        stored = states.reshape(*states.shape[:2], self._slabs, self._rows, self._row)[..., : self._modes[-1]]
        modes = stored.swapaxes(-3, -2) if self._slabs > 1 else stored
        return torch.from_numpy(np.ascontiguousarray(modes)).reshape(*states.shape[:2], *self._space.modes)

    def _block_width(self) -> int:
        """Return how many columns of a plane are transformed at a time along the last axis."""
        half, last = self._space.grid.points[-2] // 2, self._space.grid.points[-1]
        if last > _LONGEST_SINGLE_PASS:
            return aligned_count(1, self._dtype)
        column = np.dtype(self._dtype).itemsize * last * (self._space.grid.dimension + 3)
        most = max(1, _BLOCK_BYTES // column)
        return aligned_count(math.ceil(half / math.ceil(half / most)), self._dtype)

    def _make_plans(self) -> kernels.Plans:
        points, row, column = self._space.grid.points, self._row, self._column
        first = (0, 0)
        if len(points) == 3:
            apart = self._modes[1] * row
            first = (
                plan(self._dtype, points[0], (row, apart), row, (1, 1), inverse=True),
                plan(self._dtype, points[0], (apart, row), row, (1, 1), inverse=False),
            )
        last = [
            plan(self._dtype, points[-1], (self._width,) * 2, self._width, (1, 1), inverse=inverse)
            for inverse in (True, False)
        ]
        return kernels.Plans(
            *first,
            plan(self._dtype, points[-2], (row, 1), row, (1, column), inverse=True),
            plan(self._dtype, points[-2], (1, row), row, (column, 1), inverse=False),
            *last,
        )

    def _make_equations(self) -> kernels.Equations:
        space, forcing = self._space, self._forcing
        stored = [self._stored(k.numpy()) for k in space.wavenumbers]
        real = stored[0].dtype.type
        steady, forced, power = np.zeros((0,) * 3, self._dtype), np.zeros((0,) * 2, real), 0.0
        if forcing.steady is not None:
            steady = self._stored(forcing.steady.numpy())
        if isinstance(forcing, ConstantPower):
            forced, power = self._stored(forcing.mask.numpy()), forcing.power
        return kernels.Equations(
            rows=self._rows,
            kept=self._modes[-1],
            k_slab=stored[1][:, 0].copy() if space.grid.dimension == 3 else np.zeros(1, real),
            k_row=stored[0][0],
            k_last=stored[-1][0],
            inverse_square=self._stored(space.inverse_wavenumber_squared.numpy()),
            scale=real(0.5 / math.prod(space.grid.points)),
            smallest=float(np.finfo(real).tiny),
            steady=steady,
            forced=forced,
            power=power,
        )

    def _make_held(self) -> kernels.Held:
        shells: list[tuple[Tensor, Tensor]] = []
        energies: list[float] = []
        if isinstance(self._forcing, HeldShells):
            shells, energies = self._forcing.modes, list(self._forcing.energies.values())
        first, middle, last = np.unravel_index(np.arange(math.prod(self._modes)), self._modes)
        slab, row = (middle, first) if self._space.grid.dimension == 3 else (first, middle)
        positions = (slab * self._rows + row) * self._row + last
        return kernels.Held(
            energies=np.array(energies, dtype=np.float64),
            starts=np.cumsum([0, *(len(index) for index, _ in shells)]),
            modes=np.concatenate([np.zeros(0, np.int64), *(positions[index.numpy()] for index, _ in shells)]),
            weights=np.concatenate([np.zeros(0), *(weight.double().numpy() for _, weight in shells)]),
        )

    def _work_space(self, thread: int) -> kernels.Buffers:
        """Return the buffers of a thread; made when they are first needed."""
        while len(self._buffers) <= thread:
            points, row, column = self._space.grid.points, self._row, self._column
            dimension, fluxes = self._space.grid.dimension, self._flux_count

            def zeros(*shape: int) -> NDArray[Any]:
                return aligned(shape, self._dtype)

            buffers = kernels.Buffers(
                first=zeros(points[0] * row if dimension == 3 else 1),
                slab=zeros(fluxes, points[0] * row),
                padded=zeros(points[-2] * row),
                returned=zeros(points[-2] * row if dimension == 3 else 1),
                plane=zeros(dimension, row, column),
                fluxes=zeros(fluxes, row, column),
                block=zeros(points[-1], self._width),
                velocity=aligned((dimension, 2 * points[-1] * self._width), self._real),
                product=aligned((2 * points[-1] * self._width,), self._real),
                transformed=zeros(points[-1], self._width),
                rate=zeros(dimension + 1, kernels.CHUNK),
            )
            self._buffers.append(buffers)
        return self._buffers[thread]

    def _trajectory(self, thread: int) -> kernels.Arrays:
        """Return the arrays of a trajectory that a thread advances; made when they are first needed."""
        while len(self._arrays) <= thread:
            dimension = self._space.grid.dimension
            modes = (dimension, self._slabs, self._rows * self._row)
            lines = (self._space.grid.points[0], self._slabs * self._row) if dimension == 3 else (1, 1)
            shapes = [modes, modes, (dimension, *lines), (self._flux_count, *lines)]
            ahead, register, velocity, fluxes = (aligned(shape, self._dtype) for shape in shapes)
            state = ahead  # replaced by the trajectory's own
            self._arrays.append(kernels.Arrays(state, ahead, register, velocity, fluxes))
        return self._arrays[thread]


def _inverse(
    plans: kernels.Plans,
    equations: kernels.Equations,
    state: NDArray[Any],
    lines: NDArray[Any],
    buffers: kernels.Buffers,
    start: int,
    stop: int,
) -> None:
    kernels.inverse_first(plans, buffers, equations, state, lines, start, stop)


def _planes(
    plans: kernels.Plans,
    equations: kernels.Equations,
    lines: NDArray[Any],
    fluxes: NDArray[Any],
    buffers: kernels.Buffers,
    start: int,
    stop: int,
) -> None:
    kernels.planes_3d(plans, buffers, equations, lines, fluxes, start, stop)


def _finish(
    plans: kernels.Plans,
    equations: kernels.Equations,
    scheme: kernels.Scheme,
    arrays: kernels.Arrays,
    stage: int,
    rate: Any,
    buffers: kernels.Buffers,
    start: int,
    stop: int,
) -> None:
    kernels.finish_3d(plans, buffers, equations, scheme, arrays, stage, rate, start, stop)


_STEPS: WeakKeyDictionary[NavierStokes, CompiledSteps] = WeakKeyDictionary()


def compiled_steps(solver: NavierStokes) -> CompiledSteps:
    """Return the compiled steps of a solver, made once; kept outside of it, so that copies of it share no buffers."""
    steps = _STEPS.get(solver)
    if steps is None:
        steps = _STEPS[solver] = CompiledSteps(solver)
    return steps
