"""Imports one shard of a source: reads, checks, filters and hands on, a few outputs at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from eddymark.external.catalogue import Catalogue, Reader, catalogue
from eddymark.external.restriction import Description, Restriction
from eddymark.external.selection import Stretch, check_independence, check_lengths, select
from eddymark.external.store import SourceError
from eddymark.flows.base import Flow
from eddymark.storage import CHUNK_OUTPUTS

BLOCK_BYTES = 2**26
"""Fields of the source that are in memory at a time; at least one output."""
LARGEST_DIVERGENCE = 0.3
"""Above, axes or components are in another order than stated: a solenoidal field with two of them exchanged has
about 0.5."""
DOUBTFUL_DIVERGENCE = 0.01
DOUBTFUL_SHELL_ENERGY = 0.05
DOUBTFUL_BUDGET = 0.1
_LARGE_SCALES = ("energy", "root_mean_square_velocity", "integral_length", "turnover_time")
"""Scales that the LES grid resolves; the others need the unfiltered flow."""


@dataclass
class Summary:
    """What was seen of a shard's states as they came.

    Arguments:
        rows: budget of every output.
        scales: scales of every block and how many outputs it has.
        shells: energy per shell of every block, likewise.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    scales: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    shells: list[tuple[int, NDArray[np.float64]]] = field(default_factory=list)

    def mean_scales(self) -> dict[str, float]:
        """Return the mean over all outputs of each scale."""
        weights = [count for count, _ in self.scales]
        return {
            name: float(np.average([values[name] for _, values in self.scales], weights=weights))
            for name in self.scales[0][1]
        }

    def mean_shells(self) -> NDArray[np.float64]:
        """Return the mean over all outputs of the energy per shell."""
        return np.average([values for _, values in self.shells], weights=[count for count, _ in self.shells], axis=0)

    def budget(self) -> pd.DataFrame:
        """Return the budget of every output as a table."""
        return pd.DataFrame(self.rows)


class Import:
    """One shard of a source.

    Arguments:
        flow: the flow, whose configuration has a source.
        shard: number of the shard.
        device: where to compute.

    Raises:
        SourceError: if the source does not fit the flow.
    """

    def __init__(self, flow: Flow, shard: int, *, device: torch.device) -> None:
        self.flow = flow
        self.catalogue: Catalogue = catalogue(flow.configuration)
        check_lengths(flow, self.catalogue)
        self.stretches: list[Stretch] = select(flow, shard)
        self.summary = Summary()
        self.device = device
        # On the LES grid double precision costs little, and tells rounding from what lies beyond the cut-off.
        double = self.catalogue.double or self.catalogue.points == flow.coarse_grid.points
        dtype = torch.float64 if double else torch.float32
        self.restriction = Restriction(flow, self.catalogue.points, dtype=dtype, device=device)

    def run_of(self, stretch: Stretch) -> int:
        """Return the run from which a stretch was cut."""
        return self.catalogue.trajectories[stretch.number].run

    def reader(self) -> Reader:
        """Return what reads the files, to be used as a context."""
        source = self.flow.configuration.source
        assert source is not None
        return Reader(source, self.flow.coarse_grid.dimension)

    def states(self, stretch: Stretch, reader: Reader) -> Iterator[NDArray[np.float32]]:
        """Yield the filtered states of a stretch in order, `(time, d, *LES grid)`, in flow units.

        Raises:
            SourceError: if a state is not finite, or no velocity of an incompressible flow.
        """
        grid = self.restriction.grid
        trajectory = self.catalogue.trajectories[stretch.number]
        size = BLOCK_BYTES // (4 * grid.dimension * int(np.prod(grid.points)))
        # Whole chunks of what is written, if several outputs fit into memory.
        size = size - size % CHUNK_OUTPUTS if size > CHUNK_OUTPUTS else max(1, size)
        output = stretch.first
        for block in reader.blocks(trajectory, stretch.first, stretch.last, size=size):
            where = f"{trajectory.segments[0].path}, trajectory {stretch.number}"
            finite = np.isfinite(block).reshape(len(block), -1).all(axis=1)
            if not finite.all():
                bad = (output + int(np.argmin(finite))) * trajectory.stride
                raise SourceError(f"{where}, output {bad}", "finite numbers", "NaN or infinity")
            moving = block.reshape(len(block), -1).any(axis=1)
            if not moving.all():
                still = (output + int(np.argmin(moving))) * trajectory.stride
                raise SourceError(f"{where}, output {still}", "a velocity", "zeros (is a chunk of the store missing?)")
            velocity = torch.as_tensor(block, dtype=self.restriction.everything.dtype, device=self.device)
            with torch.inference_mode():
                filtered, description = self.restriction(velocity * reader.source.units.velocity)
            self._record(stretch, output, description, where)
            yield filtered.to(torch.float32).cpu().numpy()
            output += len(block)

    def _record(self, stretch: Stretch, output: int, description: Description, where: str) -> None:
        divergence = float(description.divergence.max())
        if divergence > LARGEST_DIVERGENCE:
            raise SourceError(
                where,
                f"an incompressible velocity, rms ∇·u up to {LARGEST_DIVERGENCE} of rms ∇u (are axes and components in "
                "the order of source.dimensions and source.velocity?)",
                f"{divergence:.3g}",
            )
        columns = ("kinetic_energy", "dissipation", "injection", "drag", "divergence")
        values = {name: getattr(description, name).double().cpu().numpy() for name in columns}
        sampling = self.flow.configuration.sampling
        for index in range(len(values["divergence"])):
            time = (output + index) * sampling.interval
            row = {"run": self.run_of(stretch), "trajectory": stretch.number, "time": time}
            self.summary.rows.append(row | {name: float(values[name][index]) for name in columns})
        count = len(values["divergence"])
        known = vars(description.scales)
        if self.restriction.is_filtered:
            known = {name: known[name] for name in _LARGE_SCALES}
        self.summary.scales.append((count, known))
        self.summary.shells.append((count, description.shells.double().mean(dim=0).cpu().numpy()))

    def doubts(self) -> list[str]:
        """Return what a reader of the data must know beside their scales, after all states have been read."""
        configuration, budget = self.flow.configuration, self.summary.budget()
        doubts = check_independence(self.flow, self.catalogue)
        divergence = float(budget["divergence"].max())
        if divergence > DOUBTFUL_DIVERGENCE:
            doubts.append(f"rms ∇·u is {divergence:.1%} of rms ∇u; the part with divergence was removed")
        shells = self.summary.mean_shells()
        for shell, energy in (configuration.forcing.energies or {}).items():
            if abs(shells[shell] / energy - 1) > DOUBTFUL_SHELL_ENERGY:
                doubts.append(
                    f"energy of shell {shell} is {shells[shell]:.4g}, not {energy:g} as in forcing.energies; "
                    "are viscosity, forcing and units those of the data?"
                )
        injection = float(budget["injection"].mean())
        loss = float((budget["dissipation"] + budget["drag"]).mean())
        if configuration.forcing.type == "none":
            return doubts
        if injection <= 0 or (not self.restriction.is_filtered and abs(loss / injection - 1) > DOUBTFUL_BUDGET):
            doubts.append(
                f"the force does work at a rate of {injection:.4g}, dissipation and drag take {loss:.4g}; are "
                "viscosity, forcing, units and the order of the axes those of the data, and is the flow steady?"
            )
        return doubts
