"""Advances states with compiled code: trajectories, threads, batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddymark.solvers.compiled.arrays import Arrays, Equations, Held, Scheme
from eddymark.solvers.compiled.compilation import compiling
from eddymark.solvers.compiled.forces import hold_shells
from eddymark.solvers.compiled.layout import Storage
from eddymark.solvers.forcing import ConstantPower, HeldShells

if TYPE_CHECKING:
    from eddymark.solvers.periodic import NavierStokes
    from eddymark.solvers.time_integration import RungeKutta3, RungeKutta4

Work = Callable[[int, int, int], None]
"""What a thread does: its number, and from which to which slab."""
Share = Callable[[Work, int], None]
"""Lets all threads work on their parts of some slabs."""

_LOADED: set[tuple[type, str, bool]] = set()
"""Which steps of which precision this process has compiled or loaded, for one thread per trajectory or several."""


class CompiledSteps(ABC):
    """The Runge–Kutta steps of a solver without gradients on the CPU.

    Trajectories are advanced one after the other, or at the same time by as many threads as torch may use; a single
    3-D trajectory is shared by them. What comes out does not depend on the batch or on the number of threads.

    Arguments:
        solver: the equations; on the CPU.
        storage: how its states are stored.
        operators: `convecting`, `damping`, `damping_weights` of `Equations`, each `(*modes)`.
    """

    shares = False
    """Whether several threads can advance one trajectory."""

    def __init__(self, solver: NavierStokes, storage: Storage, operators: dict[str, Tensor]) -> None:
        self.storage = storage
        self._forcing = solver.forcing
        self.equations = self._make_equations(operators)
        self.held = self._make_held()

    def advance(self, spectrum: Tensor, method: RungeKutta4 | RungeKutta3, steps: int) -> tuple[Tensor, Tensor]:
        """Return û after some steps, and the energy that a held-shell constraint has added to each trajectory.

        Arguments:
            spectrum: û, `(batch, d, *modes)`.
            method: Runge–Kutta method with its time step and integrating factors.
            steps: number of steps.
        """
        factors = self.storage.stored(method.factors.detach().numpy())
        scheme = Scheme(np.array(method.weights, dtype=factors.dtype), factors)
        states = self.storage.stored(spectrum.resolve_conj().numpy())
        threads = torch.get_num_threads()
        shared = self.shares and len(states) < threads
        working = threads if shared else min(threads, len(states))
        for thread in range(working):
            self.trajectory(thread)
        self._load(states[0], scheme, shared)
        if shared:
            with ThreadPoolExecutor(threads) as pool:
                added = [self._advance_shared(_sharing(pool, threads), state, scheme, steps) for state in states]
        elif working == 1:
            added = [self._advance_one(0, state, scheme, steps) for state in states]
        else:
            added = self._advance_side_by_side(working, states, scheme, steps)
        return self.storage.returned(states), torch.tensor(added, dtype=self.storage.space.dtype)

    @abstractmethod
    def trajectory(self, thread: int) -> Arrays:
        """Return what a thread needs besides a state; it is made, with the thread's work space, when first needed."""

    @abstractmethod
    def advance_one(self, thread: int, arrays: Arrays, scheme: Scheme, steps: int) -> float:
        """Advance a trajectory in place; return the energy that the held shells have received."""

    def shared_stage(self, share: Share, arrays: Arrays, scheme: Scheme, stage: int, *, empty: bool = False) -> None:
        """Take a Runge–Kutta stage of one trajectory with several threads, or of no part of it."""
        raise NotImplementedError

    def _load(self, state: NDArray[Any], scheme: Scheme, shared: bool) -> None:
        """Compile what is needed, or load it, before any thread needs it."""
        key = (type(self), self.storage.dtype, shared)
        if key in _LOADED:
            return
        with compiling():
            arrays = self.trajectory(0)._replace(state=state)
            if shared:

                def alone(work: Work, slabs: int) -> None:
                    work(0, 0, 0)

                self.shared_stage(alone, arrays, scheme, 0, empty=True)
                hold_shells(self.equations, self.held._replace(energies=np.zeros(0)), state.copy())
            else:
                self.advance_one(0, arrays, scheme, 0)
        _LOADED.add(key)

    def _advance_one(self, thread: int, state: NDArray[Any], scheme: Scheme, steps: int) -> float:
        return float(self.advance_one(thread, self.trajectory(thread)._replace(state=state), scheme, steps))

    def _advance_side_by_side(self, threads: int, states: NDArray[Any], scheme: Scheme, steps: int) -> list[float]:
        def share(thread: int) -> list[float]:
            return [self._advance_one(thread, state, scheme, steps) for state in states[thread::threads]]

        with ThreadPoolExecutor(threads) as pool:
            shares = list(pool.map(share, range(threads)))
        return [shares[index % threads][index // threads] for index in range(len(states))]

    def _advance_shared(self, share: Share, state: NDArray[Any], scheme: Scheme, steps: int) -> float:
        arrays = self.trajectory(0)._replace(state=state)
        added = 0.0
        for _ in range(steps):
            for stage in range(len(scheme.weights)):
                self.shared_stage(share, arrays, scheme, stage)
            if self.held.energies.size:
                added += hold_shells(self.equations, self.held, state)
        return added

    def _make_equations(self, operators: dict[str, Tensor]) -> Equations:
        forcing = self._forcing
        given: dict[str, Any] = {name: self.storage.stored(value.numpy()) for name, value in operators.items()}
        if forcing.steady is not None:
            given["steady"] = self.storage.stored(forcing.steady.numpy())
        if isinstance(forcing, ConstantPower):
            given |= {"forced": self.storage.stored(forcing.mask.numpy()), "power": forcing.power}
        return self.storage.equations(**given)

    def _make_held(self) -> Held:
        shells: list[tuple[Tensor, Tensor]] = []
        energies: list[float] = []
        if isinstance(self._forcing, HeldShells):
            shells, energies = self._forcing.modes, list(self._forcing.energies.values())
        positions = self.storage.positions()
        return Held(
            energies=np.array(energies, dtype=np.float64),
            starts=np.cumsum([0, *(len(index) for index, _ in shells)]),
            modes=np.concatenate([np.zeros(0, np.int64), *(positions[index.numpy()] for index, _ in shells)]),
            weights=np.concatenate([np.zeros(0), *(weight.double().numpy() for _, weight in shells)]),
        )


def _sharing(pool: ThreadPoolExecutor, threads: int) -> Share:
    def share(work: Work, slabs: int) -> None:
        bounds = [slabs * thread // threads for thread in range(threads + 1)]
        list(pool.map(work, range(threads), bounds[:-1], bounds[1:]))

    return share


def direct_steps(solver: NavierStokes, **operators: Tensor) -> CompiledSteps:
    """Return the steps of a solver without a modelled stress.

    Arguments:
        solver: the equations; on the CPU.
        operators: `convecting`, `damping`, `damping_weights` of `Equations`, each `(*modes)`; default: none.
    """
    if solver.grid.dimension == 2:
        from eddymark.solvers.compiled.plane_steps import PlaneSteps

        return PlaneSteps(solver, operators)
    from eddymark.solvers.compiled.volume_steps import VolumeSteps

    return VolumeSteps(solver, operators)
