"""What is measured on the rollouts and on the DNS of a flow, alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from eddymark.config.schema import Flow
from eddymark.flows.build import build_flow
from eddymark.grid import Grid
from eddymark.statistics.correlations import LONGEST_LAG, measure_autocovariance, measure_correlations
from eddymark.statistics.gradients import measure_gradients
from eddymark.statistics.increments import measure_increments
from eddymark.statistics.measure import Scales, Window, measure, measure_errors, measure_scales
from eddymark.statistics.profiles import measure_layers
from eddymark.statistics.transfer import EnergyBalance, measure_balance
from eddymark.stepping.large_eddy_simulation import LargeEddySimulation


@dataclass(frozen=True)
class Measuring:
    """All statistics of a flow on one grid.

    Of a steady flow, which is spun up, every test state of the DNS counts; of a transient one those at the same times
    as in the rollouts.

    Arguments:
        flow: the flow.
        grid: on which states are given.
        test: the DNS test trajectories from the start of the rollouts on, `(trajectory, time, component, *grid)`.
    """

    flow: Flow
    grid: Grid
    test: Tensor

    @property
    def window(self) -> Window:
        """Where rollouts are averaged over time."""
        return Window(start=self.flow.validation.statistics_start, parts=self.flow.validation.windows)

    @property
    def dns_window(self) -> Window:
        """Where the DNS is averaged over time."""
        return self.window if self.flow.is_transient else Window(start=-np.inf)

    @property
    def averaged_axes(self) -> tuple[int, ...]:
        """The axes along which a flow with layers is homogeneous: planes y = const hold its mean; else none."""
        state = self.flow.initial_state
        return (0, 2) if state is not None and state.mean_flow is not None else ()

    @property
    def mean_axes(self) -> tuple[int, ...]:
        """The axes along which the mean of a steady flow is constant: a sinusoidal force changes along y."""
        axes = range(self.grid.dimension)
        return tuple(axis for axis in axes if self.flow.forcing.type != "sinusoidal" or axis != 1)

    @property
    def lags(self) -> int:
        """The longest time lag of correlations, outputs: half of what both the DNS and the rollouts have."""
        validation, interval = self.flow.validation, self.flow.sampling.interval
        kept = round((validation.rollout_length - validation.statistics_start) / interval)
        return min(LONGEST_LAG, self.test.shape[1] // 2, kept // 2)

    @cached_property
    def _scales(self) -> Scales:
        interval = self.flow.sampling.interval
        return measure_scales(self.test, grid=self.grid, interval=interval, window=self.dns_window)

    @cached_property
    def dns(self) -> xr.Dataset:
        """The statistics of the DNS."""
        return self._measure(self.test, self.dns_window, None)

    def rollouts(self, velocity: Tensor, simulation: LargeEddySimulation | None = None) -> xr.Dataset:
        """Return the statistics of rollouts with their errors.

        Arguments:
            velocity: `(trajectory, time, component, *grid)`.
            simulation: the LES that made them, if they are one on this grid: what its model does is measured, too.
        """
        truth = self.test[:, 1 : velocity.shape[1]]
        return self._measure(velocity, self.window, self.dns, truth=truth, simulation=simulation)

    def errors(self, prediction: Tensor, truth: Tensor) -> xr.Dataset:
        """Return how states differ from others at equal times (see `measure.measure_errors`)."""
        return measure_errors(
            prediction,
            truth,
            grid=self.grid,
            interval=self.flow.sampling.interval,
            correlation_threshold=self.flow.validation.correlation_threshold,
            averaged_axes=self.averaged_axes,
        )

    def _measure(
        self,
        velocity: Tensor,
        window: Window,
        dns: xr.Dataset | None,
        truth: Tensor | None = None,
        simulation: LargeEddySimulation | None = None,
    ) -> xr.Dataset:
        grid, interval = self.grid, self.flow.sampling.interval
        statistics = measure(
            velocity,
            grid=grid,
            interval=interval,
            window=window,
            scales=self._scales,
            truth=truth,
            correlation_threshold=self.flow.validation.correlation_threshold,
            averaged_axes=self.averaged_axes,
        )
        increments = measure_increments(
            velocity,
            grid=grid,
            interval=interval,
            window=window,
            reference=dns,
            homogeneous_axes=self.averaged_axes,
        )
        solver = build_flow(self.flow).solver(grid, dtype=torch.float64, device=velocity.device)
        balance = EnergyBalance(solver, simulation)
        terms = measure_balance(velocity, balance=balance, interval=interval, window=window)
        gradients = measure_gradients(velocity, grid=grid, interval=interval, window=window, reference=dns)
        correlations = measure_correlations(
            velocity, grid=grid, interval=interval, window=window, homogeneous_axes=self.averaged_axes
        )
        for one in (increments, terms, gradients, correlations):
            statistics = statistics.merge(one)
        if not self.flow.is_transient and self.lags:
            memory = measure_autocovariance(
                velocity, interval=interval, window=window, lags=self.lags, mean_axes=self.mean_axes
            )
            statistics = statistics.merge(memory)
        state = self.flow.initial_state
        if state is None or state.mean_flow is None:
            return statistics
        layers = measure_layers(
            velocity,
            grid=grid,
            interval=interval,
            window=window,
            velocity_difference=state.mean_flow.velocity_difference,
        )
        return statistics.merge(layers)
