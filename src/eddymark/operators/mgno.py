"""Multigrid neural operator on periodic grids of any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.operators.periodic_convolution import (
    PeriodicConvolution,
    PeriodicTransposedConvolution,
    channels_last,
    channels_second,
)
from eddymark.operators.pointwise import GELU_MEAN_SQUARE, START, pointwise
from eddymark.operators.unet_body import check_sizes


def coarsening(points: Sequence[int]) -> tuple[int, ...]:
    """Return by what each axis of a grid is divided: 2 where the number of points is even, otherwise 1."""
    return tuple(2 if count % 2 == 0 else 1 for count in points)


class VCycle(nn.Module):
    """A learned V-cycle of multigrid, a linear map of f to an approximate solution u of A u = f.

    On each grid, from u = 0: u ← u + S (f − A u) some times; then u ← u + P V(R (f − A u)), where V is the same on the
    next coarser grid; then u ← u + S' (f − A u) some times. A, S and S' are convolutions of 3^d points, R is one at
    every second point, and P the transpose of such a one. An axis with an odd number of points is not coarsened, which
    is the same with stride 1. The matrices A, R, P and S of classical multigrid are of this form.

    Arguments:
        in_channels: channels of f.
        out_channels: channels of u.
        dimension: number of grid axes, 2 or 3.
        levels: number of grids.
        smoothing_steps: how often S is applied before the next grid; on the coarsest one S alone.
        post_smoothing_steps: how often S' is applied after it.
        gain: mean square of the output at the start where the input is white with mean square one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimension: int,
        levels: int,
        smoothing_steps: int,
        post_smoothing_steps: int,
        gain: float,
    ) -> None:
        super().__init__()
        self.equation, self.smooth, self.post_smooth = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        self.restrict, self.prolong = nn.ModuleList(), nn.ModuleList()

        def convolution(inputs: int, outputs: int, gain: float) -> nn.Module:
            return PeriodicConvolution(inputs, outputs, dimension=dimension, gain=gain, bias=False)

        # All grids together give the mean square; A is small, so that residuals start as f; half for the prolongation,
        # for what it is given is smooth and adds up.
        share = gain / levels
        for level in range(levels):
            coarsest = level == levels - 1
            self.smooth.append(
                nn.ModuleList(convolution(in_channels, out_channels, share) for _ in range(smoothing_steps))
            )
            if not coarsest or smoothing_steps > 1:
                self.equation.append(convolution(out_channels, in_channels, 0.1))
            if not coarsest:
                post = (convolution(in_channels, out_channels, share) for _ in range(post_smoothing_steps))
                self.post_smooth.append(nn.ModuleList(post))
                self.restrict.append(convolution(in_channels, in_channels, 1.0))
                self.prolong.append(
                    PeriodicTransposedConvolution(out_channels, out_channels, dimension=dimension, gain=0.85)
                )

    def forward(self, right_side: Tensor, level: int = 0) -> Tensor:
        """Map f, `(batch, *grid, in)`, to u, `(batch, *grid, out)`."""
        first, *others = cast(nn.ModuleList, self.smooth[level])
        solution: Tensor = first(right_side)
        for smooth in others:
            solution = solution + smooth(right_side - self.equation[level](solution))
        if level < len(self.restrict):
            stride = coarsening(right_side.shape[1:-1])
            residual = self.restrict[level](right_side - self.equation[level](solution), stride=stride)
            solution = solution + self.prolong[level](self(residual, level + 1), stride=stride)
            for smooth in cast(nn.ModuleList, self.post_smooth[level]):
                solution = solution + smooth(right_side - self.equation[level](solution))
        return solution


class MultigridNeuralOperator(nn.Module):
    """Multigrid neural operator: layers v ← GELU(W v + b) in which every W is a learned V-cycle, then a pointwise map.

    There is no lifting: the first V-cycle maps the input to `width` channels. b is one number per channel.

    Arguments:
        in_channels, out_channels: numbers of channels.
        dimension: number of grid axes, 2 or 3.
        width: channels inside the network.
        layers: number of layers.
        levels: number of grids of a V-cycle; an axis with an odd number of points is not made coarser.
        smoothing_steps: learned smoothing steps on each grid on the way down.
        post_smoothing_steps: the same on the way up; default none.

    Raises:
        ValueError: if an argument is out of range.

    Source: He, Liu, Xu, MgNO: Efficient Parameterization of Linear Operators via Multigrid, ICLR 2024, and its code,
    which restricts f and not the residual, starts on coarser grids from the restricted u and not from 0, pads with
    zeros between grids, needs multiples of a power of two, and has norms tied to one grid inside of W, which make it
    nonlinear; this one has none of that.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimension: int,
        width: int,
        layers: int = 5,
        levels: int = 4,
        smoothing_steps: int = 1,
        post_smoothing_steps: int | None = None,
    ) -> None:
        super().__init__()
        check_sizes(dimension, width, levels)
        if min(layers, smoothing_steps) < 1:
            raise ValueError(f"layers and smoothing_steps must be at least 1; got {layers} and {smoothing_steps}")
        if post_smoothing_steps is not None and post_smoothing_steps < 1:
            raise ValueError(f"post_smoothing_steps must be at least 1; got {post_smoothing_steps}")
        self.cycles = nn.ModuleList(
            VCycle(
                width if layer else in_channels,
                width,
                dimension=dimension,
                levels=levels,
                smoothing_steps=smoothing_steps,
                post_smoothing_steps=post_smoothing_steps or 0,
                gain=1 / GELU_MEAN_SQUARE if layer else 1.0,
            )
            for layer in range(layers)
        )
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(width)) for _ in range(layers))
        self.project = pointwise(width, out_channels, variance=START**2 / (width * GELU_MEAN_SQUARE))

    def forward(self, field: Tensor) -> Tensor:
        """Map `(batch, in_channels, *grid)` to `(batch, out_channels, *grid)`."""
        values = channels_last(field)
        for cycle, bias in zip(self.cycles, self.biases, strict=True):
            values = F.gelu(cycle(values) + bias)
        return channels_second(self.project(values))
