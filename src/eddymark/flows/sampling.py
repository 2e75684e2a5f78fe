"""Runs the DNS of a flow and samples filtered fields from it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddymark.checkpoints import Checkpoints
from eddymark.errors import EddymarkError
from eddymark.filters import GridFilter
from eddymark.flows.base import Flow, Scales
from eddymark.flows.budget import BUDGET, closed_budget, energy_rates
from eddymark.flows.schedule import SPLITS, Batch, batches, stretches
from eddymark.flows.subgrid import subgrid_stress
from eddymark.flows.unfiltered import kept_space
from eddymark.grid import Grid
from eddymark.progress import Progress
from eddymark.randomness import generator
from eddymark.solvers.time_integration import INTEGRATORS, EnergyLedger, TimeIntegration

KEPT = ("fields", "stresses", "unfiltered", "scales", "budget")
"""What is kept of the outputs."""
COARSEST = 0.5
"""A DNS with a smaller k_max η is none, and refused unless its configuration allows it."""


@dataclass(frozen=True)
class SampledRuns:
    """What the DNS runs of a shard leave behind.

    Arguments:
        velocity: per split, filtered trajectories `(trajectory, time, component, *coarse grid)`.
        runs: per split, the run each trajectory was cut from.
        budget: energy budget per run and output.
        scales: averaged over the runs: of the statistically steady state, over all outputs after the spin-up; of a
            transient flow, those at the start of the trajectories, but for the resolution, which is the lowest of all.
        final_scales: of a transient flow, those at the end of the runs, averaged over them.
        stress: true subgrid-scale stress in some outputs of the test trajectories, reduced, `(trajectory, output,
            d(d+1)/2 − 1, *coarse grid)`.
        stress_outputs: which outputs of each test trajectory these are.
        unfiltered: DNS states, before they are filtered, in some outputs of the validation and test trajectories, by
            split `(trajectory, output, component, *unfiltered grid)`.
        unfiltered_outputs: by split, which outputs of each trajectory these are.
        unfiltered_grid: the smallest grid that holds their modes.
    """

    velocity: dict[str, NDArray[np.float32]]
    runs: dict[str, list[int]]
    budget: pd.DataFrame
    scales: Scales
    final_scales: Scales | None
    stress: NDArray[np.float32]
    stress_outputs: list[int]
    unfiltered: dict[str, NDArray[np.float32]]
    unfiltered_outputs: dict[str, list[int]]
    unfiltered_grid: Grid


def sample_runs(
    flow: Flow,
    flow_name: str,
    *,
    seed: int,
    runs: Sequence[int],
    device: torch.device,
    checkpoints: Checkpoints | None = None,
) -> SampledRuns:
    """Integrate independent runs, filter every output that belongs to a split, and keep the energy budget.

    What goes on from a checkpoint ends with the same bytes as an undisturbed computation: the methods are one-step
    ones and choose their step at each output from the state alone, so that the state is all there is to store.

    Arguments:
        flow: the flow.
        flow_name: its name, part of the key of the random streams.
        seed: the experiment's seed.
        runs: numbers of the runs; run r has the same initial state whatever the shard.
        device: where to compute.
        checkpoints: where to go on from, and to store the state and what has been sampled.

    Raises:
        EddymarkError: if the time step turns out unstable, a state is not finite, or the DNS is under-resolved by far.
    """
    sampler = _Sampler(flow, flow_name, seed=seed, device=device, checkpoints=checkpoints)
    work = batches(flow, runs)
    begins = np.cumsum([0, *(batch.outputs for batch in work)]).tolist()
    done, spectrum = sampler.resumed()
    with torch.inference_mode(), Progress(f"DNS of {flow_name}, runs {list(runs)}", begins[-1] - 1) as progress:
        for batch, begin in zip(work, begins, strict=False):
            if done < begin + batch.outputs:
                sampler.integrate(batch, spectrum, first=max(done - begin, 0), begin=begin, progress=progress)
                spectrum = None
    return sampler.collected(work)


class _Sampler:
    """Integrates batches of runs one after the other and keeps what is to be kept of them."""

    def __init__(
        self, flow: Flow, name: str, *, seed: int, device: torch.device, checkpoints: Checkpoints | None
    ) -> None:
        self.flow = flow
        self.name = name
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
        self.kept: dict[str, list[Tensor]] = {name: [] for name in KEPT}

    def resumed(self) -> tuple[int, Tensor | None]:
        """Return the number of finished outputs over all batches, and the state after them; (0, None) at the start."""
        found = None if self.checkpoints is None else self.checkpoints.load()
        if found is None:
            return 0, None
        self.kept = {name: found.parts.get(name, []) for name in self.kept}
        return found.done, torch.view_as_complex(found.state["spectrum"].to(self.device))

    def initial(self, batch: Batch) -> Tensor:
        """Return the initial states of a batch, `(run, d, *modes)`."""
        streams = [generator(self.seed, self.name, "run", run, "initial state") for run in batch.runs]
        spectrum = torch.stack([self.flow.initial_spectrum(self.solver.space, stream) for stream in streams])
        return self.solver.forcing.constrain(spectrum)

    def integrate(self, batch: Batch, spectrum: Tensor | None, *, first: int, begin: int, progress: Progress) -> None:
        """Integrate a batch from output `first` on, whose state is `spectrum` (None: the initial states).

        Arguments:
            begin: outputs of all batches before this one.
        """
        configuration, solver, interval = self.flow.configuration, self.solver, self.flow.configuration.interval
        if spectrum is None:
            spectrum = self.initial(batch)
        else:
            turnovers = first * interval / configuration.turnover_time
            which = f", run {batch.runs[0]}," if configuration.is_transient else ""
            print(f"DNS of {self.name}{which} goes on after {turnovers:.1f} {configuration.clock}s", file=sys.stderr)
        last = batch.outputs - 1
        for output in range(first, last + 1):
            rate = solver.courant_rate(solver.space.to_physical(spectrum))
            if not bool(torch.isfinite(rate).all()):
                raise EddymarkError(f"DNS of {self.name} is not finite at output {output}; lower courant_number")
            steps = self.integration.steps(rate, interval)
            now = self._keep(batch, output, spectrum, courant=float(rate.max()) * interval / steps)
            if output == last:
                break
            while True:
                ledger = EnergyLedger()
                ahead = self.integration.advance(solver, spectrum, interval, steps=steps, ledger=ledger)
                reached = float(solver.courant_rate(solver.space.to_physical(ahead)).max()) * interval / steps
                if reached <= self.limit:
                    break
                # The flow has become faster on the way: take the interval again with the step that its end allows.
                before = float(rate.max()) * interval / steps
                where = f"DNS of {self.name}, output {output + 1}"
                steps = _finer(steps, before, reached, self.limit, where=where)
            # In one piece of memory, as it comes out of a checkpoint: sums over another layout round differently.
            spectrum = ahead.contiguous()
            injected = torch.as_tensor(ledger.injected).double().cpu() / interval
            self.kept["budget"][-1][:, BUDGET.index("injection")] += injected
            turnovers = (output + 1) * interval / configuration.turnover_time
            progress.update(
                begin + output + 1,
                f"t = {turnovers:.1f} {configuration.clock}s, energy {now.energy:.3f}, Courant {reached:.2f}",
            )
            if self.checkpoints is not None and self.checkpoints.due():
                state = {"spectrum": torch.view_as_real(spectrum)}
                self.checkpoints.save(begin + output + 1, state=state, parts=self.kept)

    def _keep(self, batch: Batch, output: int, spectrum: Tensor, *, courant: float) -> Scales:
        """Keep what is wanted of an output, and return its scales."""
        configuration = self.flow.configuration
        if output in batch.kept:
            self.kept["fields"].append(self.restrict(spectrum).float().cpu())
        if output in batch.stressed:
            self.kept["stresses"].append(subgrid_stress(self.restrict, spectrum).float().cpu())
        if output in batch.unfiltered:
            self.kept["unfiltered"].append(
                self.compact.to_physical(self.solver.space.resample(spectrum, self.compact)).float().cpu()
            )
        now = self.flow.scales(self.solver.space, spectrum)
        if output >= batch.kept[0]:
            self._require_resolution(now, output)
            self.kept["scales"].append(torch.tensor(astuple(now), dtype=torch.float64))
        time = output * configuration.interval
        self.kept["budget"].append(energy_rates(self.solver, spectrum, batch.runs, time, courant))
        return now

    def _require_resolution(self, scales: Scales, output: int) -> None:
        if scales.resolution < COARSEST and not self.numerics.allow_underresolved:
            raise EddymarkError(
                f"DNS of {self.name} is under-resolved: k_max η = {scales.resolution:.2f} < {COARSEST} at output "
                f"{output}; choose more points or a higher viscosity, or set "
                "direct_numerical_simulation.allow_underresolved: true"
            )

    def collected(self, work: Sequence[Batch]) -> SampledRuns:
        """Cut what was kept of all batches into trajectories."""
        fields, stresses, states, scales = (
            iter(self.kept[name]) for name in ("fields", "stresses", "unfiltered", "scales")
        )
        velocity: dict[str, list[Tensor]] = {split: [] for split in SPLITS}
        runs: dict[str, list[int]] = {split: [] for split in SPLITS}
        unfiltered: dict[str, list[Tensor]] = {split: [] for split in work[0].state_outputs}
        stress, evolution = [], []
        for batch in work:
            evolution.append(torch.stack([next(scales) for _ in range(batch.kept[0], batch.outputs)]))
            # (run, output, component, *grid), outputs numbered as in `kept`
            filtered = torch.stack([next(fields) for _ in batch.kept], dim=1)
            for split, cuts in batch.stretches.items():
                own = [run[batch.kept.index(a) : batch.kept.index(b) + 1] for run in filtered for a, b in cuts]
                velocity[split] += own
                runs[split] += [run for run in batch.runs for _ in cuts]
            stress += _cut(
                [next(stresses) for _ in batch.stressed], batch.stressed, batch, "test", batch.stress_outputs
            )
            full = [next(states) for _ in batch.unfiltered]
            for split, chosen in batch.state_outputs.items():
                unfiltered[split] += _cut(full, batch.unfiltered, batch, split, chosen)
        rows = pd.DataFrame(torch.cat(self.kept["budget"]).numpy(), columns=list(BUDGET)).astype({"run": int})
        first, final = _scales(evolution, transient=self.flow.configuration.is_transient)
        coarse, dimension = self.flow.coarse_grid.points, self.flow.coarse_grid.dimension
        lengths = {split: last - first + 1 for split, ((first, last), *_) in stretches(self.flow).items()}
        outputs, entries = work[0].state_outputs, dimension * (dimension + 1) // 2 - 1
        return SampledRuns(
            velocity={split: _stacked(own, (lengths[split], dimension, *coarse)) for split, own in velocity.items()},
            runs=runs,
            budget=closed_budget(rows, self.flow.configuration.turnover_time),
            scales=first,
            final_scales=final,
            stress=_stacked(stress, (len(work[0].stress_outputs), entries, *coarse)),
            stress_outputs=work[0].stress_outputs,
            unfiltered={
                split: _stacked(own, (len(outputs[split]), dimension, *self.compact.grid.points))
                for split, own in unfiltered.items()
            },
            unfiltered_outputs=outputs,
            unfiltered_grid=self.compact.grid,
        )


def _cut(fields: list[Tensor], outputs: list[int], batch: Batch, split: str, chosen: list[int]) -> list[Tensor]:
    """Return what was kept of some outputs by trajectory of a split, each `(output, …)`.

    Without a gap, the end of one stretch is the beginning of the next.

    Arguments:
        fields: `(run, …)` of each output.
        outputs: the outputs, counted from the start of a run.
        batch: the runs.
        split: the split.
        chosen: outputs counted from the start of a trajectory.
    """
    numbers = [[outputs.index(begin + output) for output in chosen] for begin, _ in batch.stretches[split]]
    if not numbers:
        return []
    return list(torch.stack(fields, dim=1)[:, torch.tensor(numbers)].flatten(0, 1))


def _stacked(arrays: Sequence[Tensor], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return arrays of one shape, of which there may be none, as one array."""
    return torch.stack(list(arrays)).numpy() if arrays else np.zeros((0, *shape), np.float32)


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
            "lower courant_number"
        )
    return int(np.ceil(1.1 * steps * reached / limit))
