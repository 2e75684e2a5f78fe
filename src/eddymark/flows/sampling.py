"""Runs the DNS of a flow and samples filtered fields from it."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from eddymark.checkpoints import Checkpoints
from eddymark.errors import EddymarkError
from eddymark.filters import GridFilter
from eddymark.flows.base import Flow, Scales
from eddymark.flows.budget import BUDGET, closed_budget, energy_rates
from eddymark.flows.recording import FILTERED, STRESS, UNFILTERED, Recording
from eddymark.flows.schedule import Batch, batches
from eddymark.flows.subgrid import subgrid_stress
from eddymark.flows.unfiltered import kept_space
from eddymark.memory import give_back_unused_memory
from eddymark.progress import Progress
from eddymark.randomness import generator
from eddymark.solvers.time_integration import INTEGRATORS, EnergyLedger, TimeIntegration

COARSEST = 0.5
"""A DNS with a smaller k_max η is none, and refused unless its configuration allows it."""
OUTPUTS_BETWEEN_TRIMS = 16
"""Outputs after which the heap is trimmed, of which each leaves some megabytes in pieces."""
POINTS_AT_ONCE = 2**24
"""Grid points × steps between two moments at which a checkpoint can be made: some seconds."""


@dataclass(frozen=True)
class SampledRuns:
    """What the DNS runs of a shard leave behind.

    Arguments:
        recording: the fields.
        budget: energy budget per run and output.
        scales: averaged over the runs: of the statistically steady state, over all outputs after the spin-up; of a
            transient flow, those at the start of the trajectories, but for the resolution, which is the lowest of all.
        final_scales: of a transient flow, those at the end of the runs, averaged over them.
    """

    recording: Recording
    budget: pd.DataFrame
    scales: Scales
    final_scales: Scales | None


def sample_runs(
    flow: Flow,
    flow_name: str,
    *,
    seed: int,
    runs: Sequence[int],
    device: torch.device,
    folder: Path,
    checkpoints: Checkpoints | None = None,
) -> SampledRuns:
    """Integrate independent runs, filter every output that belongs to a split, and keep the energy budget.

    Fields are written as they come: what is in memory does not grow with the length of the runs, apart from some
    twenty numbers of each output. What goes on from a checkpoint ends with the same bytes as an undisturbed
    computation: the methods are one-step ones and choose their step at each output from the state alone.

    Arguments:
        flow: the flow.
        flow_name: its name, part of the key of the random streams.
        seed: the experiment's seed.
        runs: numbers of the runs; run r has the same initial state whatever the shard.
        device: where to compute.
        folder: where fields are written; in that of the checkpoints, if there are some.
        checkpoints: where to go on from.

    Raises:
        EddymarkError: if the time step turns out unstable, a state is not finite, or the DNS is under-resolved.
    """
    work = batches(flow, runs)
    sampler = _Sampler(flow, flow_name, work, seed=seed, device=device, folder=folder, checkpoints=checkpoints)
    begins = np.cumsum([0, *(batch.outputs for batch in work)]).tolist()
    done, interval = sampler.resumed()
    with torch.inference_mode(), Progress(f"DNS of {flow_name}, runs {list(runs)}", begins[-1] - 1) as progress:
        for batch, begin in zip(work, begins, strict=False):
            if done < begin + batch.outputs:
                sampler.integrate(batch, interval, first=max(done - begin, 0), begin=begin, progress=progress)
                interval = None
    return sampler.collected()


@dataclass
class _Interval:
    """An output interval of a batch under way.

    Arguments:
        begin: state at its start, `(run, d, *modes)`.
        state: state after the steps taken.
        budget: energy and rates at its start, `(run, len(BUDGET))`.
        injected: what a constraint has added to the energy since, `(run,)`.
        courant_rate: Courant number per unit of time step at its start.
        steps: number of steps that it takes.
        taken: how many have been taken.
    """

    begin: Tensor
    state: Tensor
    budget: Tensor
    injected: Tensor
    courant_rate: float
    steps: int
    taken: int = 0

    def restart(self, steps: int) -> None:
        """Begin again with another number of steps."""
        self.state, self.injected = self.begin, torch.zeros_like(self.injected)
        self.steps, self.taken = steps, 0


class _Sampler:
    """Integrates batches of runs one after the other and keeps what is to be kept of them."""

    def __init__(
        self,
        flow: Flow,
        name: str,
        work: Sequence[Batch],
        *,
        seed: int,
        device: torch.device,
        folder: Path,
        checkpoints: Checkpoints | None,
    ) -> None:
        self.flow = flow
        self.name = name
        self.work = work
        self.seed = seed
        self.device = device
        self.checkpoints = checkpoints
        numerics = flow.configuration.direct_numerical_simulation
        assert numerics is not None
        self.numerics = numerics
        dtype = {"float32": torch.float32, "float64": torch.float64}[numerics.precision]
        self.solver = flow.solver(flow.fine_grid, dtype=dtype, device=device)
        self.restrict = GridFilter(self.solver.space, flow.coarse_grid, flow.configuration.large_eddy_grid.filter)
        self.compact = kept_space(self.solver.space, flow.coarse_grid)
        self.integration = TimeIntegration(numerics.integrator, numerics.courant_number)
        self.limit = INTEGRATORS[numerics.integrator].stability_limit
        self.recording = Recording(folder, flow, work, self.compact.grid)
        self.rows: dict[str, list[Tensor]] = {"scales": [], "budget": []}

    def resumed(self) -> tuple[int, _Interval | None]:
        """Return the number of outputs, over all batches, before the interval under way, and that; else (0, None)."""
        found = None if self.checkpoints is None else self.checkpoints.load()
        if found is None:
            self.recording.start()
            return 0, None
        self.recording.resume(found.state)
        self.rows = {name: list(found.parts.get(name, ())) for name in self.rows}
        begin, state = (torch.view_as_complex(found.state[name].to(self.device)) for name in ("begin", "state"))
        facts: dict[str, Any] = found.facts
        return found.done, _Interval(begin, state, found.state["budget"], found.state["injected"], **facts)

    def _save(self, done: int, interval: _Interval) -> None:
        assert self.checkpoints is not None
        self.checkpoints.save(
            done,
            state={
                "begin": torch.view_as_real(interval.begin),
                "state": torch.view_as_real(interval.state),
                "budget": interval.budget,
                "injected": interval.injected,
                **self.recording.pending,
            },
            parts=self.rows,
            facts={name: getattr(interval, name) for name in ("courant_rate", "steps", "taken")},
            written=self.recording.files,
        )

    def initial(self, batch: Batch) -> Tensor:
        """Return the initial states of a batch, `(run, d, *modes)`."""
        streams = [generator(self.seed, self.name, "run", run, "initial state") for run in batch.runs]
        spectrum = torch.stack([self.flow.initial_spectrum(self.solver.space, stream) for stream in streams])
        return self.solver.forcing.constrain(spectrum).contiguous()

    def integrate(
        self, batch: Batch, interval: _Interval | None, *, first: int, begin: int, progress: Progress
    ) -> None:
        """Integrate a batch from output `first` on, in the interval after which a killed process was (None: begin).

        Arguments:
            begin: outputs of all batches before this one.
        """
        configuration = self.flow.configuration
        if interval is None:
            spectrum = self.initial(batch)
        else:
            turnovers = (first + interval.taken / interval.steps) * configuration.sampling.interval
            which = f", run {batch.runs[0]}," if configuration.is_transient else ""
            print(f"DNS of {self.name}{which} goes on after {turnovers:.1f} {configuration.clock}s", file=sys.stderr)
        for output in range(first, batch.outputs):
            if interval is None:
                interval = self._begin(batch, output, spectrum)
                if (output + 1) % OUTPUTS_BETWEEN_TRIMS == 0:
                    give_back_unused_memory()
            if output < batch.outputs - 1:
                reached = self._advance(interval, begin + output, where=f"DNS of {self.name}, output {output + 1}")
                energy = float(interval.budget[:, BUDGET.index("kinetic_energy")].mean())
                spectrum = interval.state
                interval.budget[:, BUDGET.index("injection")] += interval.injected / configuration.interval
                turnovers = (output + 1) * configuration.sampling.interval
                progress.update(
                    begin + output + 1,
                    f"t = {turnovers:.1f} {configuration.clock}s, energy {energy:.3f}, Courant {reached:.2f}",
                )
            self.rows["budget"].append(interval.budget)
            interval = None

    def _begin(self, batch: Batch, output: int, spectrum: Tensor) -> _Interval:
        """Keep what is wanted of an output, and return the interval that begins with it."""
        rate = self._courant_rate(spectrum)
        if not math.isfinite(rate):
            raise EddymarkError(
                f"DNS of {self.name} is not finite at output {output}; lower courant_number or sampling.interval"
            )
        length = self.flow.configuration.interval
        steps = self.integration.steps(torch.tensor([rate], dtype=torch.float64), length)
        self._keep(batch, output, spectrum)
        budget = energy_rates(self.solver, spectrum, batch.runs, output * length, rate * length / steps)
        return _Interval(spectrum, spectrum, budget, torch.zeros(len(batch.runs), dtype=torch.float64), rate, steps)

    def _courant_rate(self, spectrum: Tensor) -> float:
        """Return the largest Courant number per unit of time step, run by run: a field at the grid points is large."""
        rates = [self.solver.courant_rate(self.solver.space.to_physical(one)) for one in spectrum.split(1)]
        return float(torch.cat(rates).max())

    def _advance(self, interval: _Interval, done: int, *, where: str) -> float:
        """Advance to the end of an interval, and return the Courant number reached there.

        Steps are taken some at a time, always as many, so that it makes no difference where a checkpoint is.

        Arguments:
            interval: the interval.
            done: outputs before it.
            where: what to say of a failure.
        """
        length = self.flow.configuration.interval
        at_once = max(1, POINTS_AT_ONCE // (len(interval.begin) * math.prod(self.flow.fine_grid.points)))
        while True:
            while interval.taken < interval.steps:
                steps = min(at_once, interval.steps - interval.taken)
                ledger, duration = EnergyLedger(), length * (steps / interval.steps)
                ahead = self.integration.advance(self.solver, interval.state, duration, steps=steps, ledger=ledger)
                # In one piece of memory, as it comes out of a checkpoint: sums over another layout round differently.
                interval.state = ahead.contiguous()
                interval.injected = interval.injected + torch.as_tensor(ledger.injected).double().cpu()
                interval.taken += steps
                if self.checkpoints is not None and self.checkpoints.due():
                    self._save(done, interval)
            reached = self._courant_rate(interval.state) * length / interval.steps
            if reached <= self.limit:
                return reached
            # The flow has become faster on the way: take the interval again with the step that its end allows.
            before = interval.courant_rate * length / interval.steps
            interval.restart(_finer(interval.steps, before, reached, self.limit, where=where))

    def _keep(self, batch: Batch, output: int, spectrum: Tensor) -> None:
        """Keep what is wanted of an output, run by run: fields at the points of the DNS are large."""
        for run, state in zip(batch.runs, spectrum.split(1), strict=True):
            if output in batch.kept:
                self.recording.keep(FILTERED, batch, run, output, self.restrict(state))
            if output in batch.stressed:
                self.recording.keep(STRESS, batch, run, output, subgrid_stress(self.restrict, state))
            if output in batch.unfiltered:
                compact = self.compact.to_physical(self.solver.space.resample(state, self.compact))
                self.recording.keep(UNFILTERED, batch, run, output, compact)
        if output >= batch.kept[0]:
            now = self.flow.scales(self.solver.space, spectrum)
            self._require_resolution(now, output)
            self.rows["scales"].append(torch.tensor(astuple(now), dtype=torch.float64))

    def _require_resolution(self, scales: Scales, output: int) -> None:
        if scales.resolution < COARSEST and not self.numerics.allow_underresolved:
            raise EddymarkError(
                f"DNS of {self.name} is under-resolved: k_max η = {scales.resolution:.2f} < {COARSEST} at output "
                f"{output}; choose more points or a higher viscosity, or set "
                "direct_numerical_simulation.allow_underresolved: true"
            )

    def collected(self) -> SampledRuns:
        """Return what all batches leave behind."""
        scales = iter(self.rows["scales"])
        evolution = [torch.stack([next(scales) for _ in range(batch.kept[0], batch.outputs)]) for batch in self.work]
        rows = pd.DataFrame(torch.cat(self.rows["budget"]).numpy(), columns=list(BUDGET)).astype({"run": int})
        first, final = _scales(evolution, transient=self.flow.configuration.is_transient)
        budget = closed_budget(rows, self.flow.configuration.turnover_time)
        return SampledRuns(recording=self.recording, budget=budget, scales=first, final_scales=final)


def _scales(evolution: list[Tensor], *, transient: bool) -> tuple[Scales, Scales | None]:
    """Return the scales of a steady state, or those at the start (with the lowest resolution of all) and at the end.

    Arguments:
        evolution: scales of each batch, `(output, scale)`.
        transient: which of the two.
    """
    if not transient:
        return Scales(*torch.cat(evolution).mean(dim=0).tolist()), None
    first, final = (Scales(*torch.stack([one[index] for one in evolution]).mean(dim=0).tolist()) for index in (0, -1))
    lowest = min(Scales(*row.tolist()).resolution for one in evolution for row in one)
    return replace(first, resolution=lowest), final


def _finer(steps: int, before: float, reached: float, limit: float, *, where: str) -> int:
    """Return a number of steps which would have kept the Courant number within its limit."""
    if not np.isfinite(reached) or reached > 10 * limit:
        raise EddymarkError(
            f"{where}: unstable time step, Courant number {before:.3g} before the interval and {reached:.3g} after it; "
            "lower courant_number or sampling.interval"
        )
    return int(np.ceil(1.1 * steps * reached / limit))
