"""Implicit factorized transformers: attention along one axis at a time, one block for all layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.operators.axes import Axis
from eddymark.operators.axial_attention import (
    AxialKernel,
    apply_along,
    average,
    instance_normalised,
    quadrature_weights,
)
from eddymark.operators.pointwise import GELU_MEAN_SQUARE, START, map_channels, pointwise
from eddymark.operators.spectral_convolution import modes_per_axis


class _ImplicitFactorizedTransformer(nn.Module):
    """What both variants are made of; for the arguments see these."""

    parallel: ClassVar[bool]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimension: int,
        axes: Sequence[Axis],
        width: int,
        heads: int = 5,
        head_width: int | None = None,
        key_width: int | None = None,
        modes: int | Sequence[int],
        layers: int = 10,
        projection_width: int | None = None,
        quadrature: bool = True,
    ) -> None:
        super().__init__()
        self.rotary_modes = modes_per_axis(modes, dimension)
        if len(axes) != dimension:
            raise ValueError(f"axes must be {dimension}; got {len(axes)}")
        if min(width, heads, layers) < 1:
            raise ValueError(f"width, heads and layers must be at least 1; got {width}, {heads} and {layers}")
        value = width if head_width is None else head_width
        key = 3 * value + value % 2 if key_width is None else key_width
        hidden = max(1, width // 2) if projection_width is None else projection_width
        if min(value, hidden) < 1:
            raise ValueError(f"head_width and projection_width must be at least 1; got {value} and {hidden}")
        if key < 2 or key % 2:
            raise ValueError(f"key_width must be even and positive; got {key_width}")
        self.axes = tuple(axes)
        self.heads = heads
        self.layers = layers
        self.quadrature = quadrature
        walls = sum(not axis.periodic for axis in axes)
        self.lift_in = pointwise(in_channels + walls, hidden, variance=1 / (in_channels + walls))
        self.lift_out = pointwise(hidden, width, variance=1 / (hidden * GELU_MEAN_SQUARE))
        self.norm = nn.LayerNorm(width)
        self.value = pointwise(width, heads * value, variance=1 / width, bias=False)
        self.kernels = nn.ModuleList(
            AxialKernel(axis, width=width, heads=heads, key_width=key, modes=m)
            for axis, m in zip(self.axes, self.rotary_modes, strict=True)
        )
        merged = heads * value * (dimension if self.parallel else 1)
        self.merge = pointwise(merged, width, variance=1 / merged, bias=False)
        self.leave = pointwise(width, width, variance=1 / (width * GELU_MEAN_SQUARE), bias=False)
        # What all layers add has about the variance of the lifted field.
        self.project_in = pointwise(width, hidden, variance=0.5 / width)
        self.project_out = pointwise(hidden, out_channels, variance=START**2 / (hidden * GELU_MEAN_SQUARE))

    def forward(self, field: Tensor) -> Tensor:
        """Map `(batch, in_channels, *grid)` to `(batch, out_channels, *grid)`."""
        self._check(field)
        values = map_channels(self.lift_in, torch.cat([field, *self._wall_coordinates(field)], dim=1))
        values = map_channels(self.lift_out, F.gelu(values))
        weights = self._weights(field)
        for _ in range(self.layers):
            values = torch.add(values, self._block(values, weights), alpha=1 / self.layers)
        return map_channels(self.project_out, F.gelu(map_channels(self.project_in, values)))

    def _block(self, field: Tensor, weights: Sequence[Tensor | None]) -> Tensor:
        normalised = self.norm(field.movedim(1, -1))
        values = map_channels(self.value, normalised.movedim(-1, 1)).unflatten(1, (self.heads, -1))
        parts = []
        for number, kernel in enumerate(self.kernels):
            matrices = kernel(average(normalised, weights, first=1, but=number))
            if self.quadrature:
                weight = weights[number]
                matrices = matrices / matrices.shape[-1] if weight is None else matrices * weight
            product = apply_along(number, matrices, values)
            parts.append(product.flatten(1, 2))
            if not self.parallel:
                values = product
        merged = torch.cat(parts, dim=1) if self.parallel else parts[-1]
        return map_channels(self.leave, F.gelu(map_channels(self.merge, instance_normalised(merged, weights))))

    def _check(self, field: Tensor) -> None:
        points = field.shape[2:]
        if len(points) != len(self.axes):
            raise ValueError(f"the grid must have {len(self.axes)} axes; got {len(points)}")
        for axis, m, n in zip(self.axes, self.rotary_modes, points, strict=True):
            if axis.periodic and n <= 2 * m:
                raise ValueError(f"modes {self.rotary_modes} need at least {2 * m + 1} points where it has {n}")

    def _weights(self, field: Tensor) -> list[Tensor | None]:
        """Return the weights of an average along each axis, None where all points count alike."""
        return [
            None
            if not self.quadrature or (axis.periodic and axis.coordinates is None)
            else quadrature_weights(axis, n, field.dtype, field.device)
            for axis, n in zip(self.axes, field.shape[2:], strict=True)
        ]

    def _wall_coordinates(self, field: Tensor) -> list[Tensor]:
        """Return the coordinate across each pair of walls, −1 … 1, as a channel."""
        channels = []
        for number, (axis, points) in enumerate(zip(self.axes, field.shape[2:], strict=True)):
            if not axis.periodic:
                places = (2 / axis.side * axis.places(points) - 1).to(field)
                shape = [1] * (2 + number) + [points] + [1] * (len(self.axes) - 1 - number)
                channels.append(places.view(shape).expand(len(field), 1, *field.shape[2:]))
        return channels


class ChainedFactorizedTransformer(_ImplicitFactorizedTransformer):
    """Implicit factorized transformer IFactFormer-o: axial kernels in a chain, one block for all L layers.

        v₀ = lift(u),  v ← v + B(v) / L (L times),  output = projection(v)
        B(v) = W₂ GELU(W₁ IN(K_z K_y K_x V n)),  n = LN(v)

    K_x multiplies, along x and for each head, by a matrix K(x, x') = √((2 m + 1) / d) q(x)ᵀ R(x' − x) k(x') without
    softmax; queries q and keys k are made of the average of n over the other axes, R turns their pairs of entries by
    angles proportional to x' − x (rotary embedding). V, W₁, W₂ act at each point, LN is a layer norm over the channels,
    IN an instance norm of each channel of each sample over the whole field, as published. Lift and projection act at
    each point, with one hidden layer.

    The sum over x' is an average: each point counts with its share of the side (trapezoidal rule), so that the kernel
    does not depend on the number of points nor on stretching. On periodic axes the angles are whole multiples of
    2π (x' − x)/side, and nothing depends on the absolute position: the map commutes with translations by whole grid
    spacings. At walls the frequencies are the published ones and the coordinate is a further input of the lift.

    Arguments:
        in_channels, out_channels: numbers of channels.
        dimension: number of grid axes, 2 or 3.
        axes: the box.
        width: channels inside the network (published: 96).
        heads: kernels per axis (published: 5).
        head_width: channels on which one kernel acts; default the width.
        key_width: d, entries of a query, even; default three times the head's width, as published.
        modes: highest rotary mode m per sign of periodic axes, one for all or one per axis; pairs of entries take
            the modes 0 … m in turn.
        layers: number of layers L.
        projection_width: hidden channels of lift and projection; default half the width, as published.
        quadrature: whether points count with their share of the side; otherwise with 1, in averages with 1/points, as
            in the published code.

    Raises:
        ValueError: if an argument is out of range, or the input's grid does not resolve the modes (points > 2 m).

    Source: Yang, Li, Wang, Wang, An implicit factorized transformer with applications to fast prediction of
    three-dimensional turbulence, Theor. Appl. Mech. Lett. (2024); the code of Yang, Wang, Wang, arXiv 2412.18840. In
    that code all axes have the frequencies 64 · 10⁻⁴⁽ʲᐟᵖᵃⁱʳˢ⁾, coordinates hold the end point of periodic axes, random
    Fourier features of them are added to the lifted field, the points of a stretched axis count alike, the kernel has
    no factor, and queries and keys start near 0, which in the chain drowns the signal in the ε of the instance norm.
    """

    parallel = False


class ParallelFactorizedTransformer(_ImplicitFactorizedTransformer):
    """Implicit factorized transformer IFactFormer-m: axial kernels side by side, one block for all L layers.

        v₀ = lift(u),  v ← v + B(v) / L (L times),  output = projection(v)
        B(v) = W₂ GELU(W₁ IN([K_x V n, K_y V n, K_z V n])),  n = LN(v)

    The kernels of all axes act on the same values and their results are joined along the channels; all else, the
    differences from the published code too, is as in `ChainedFactorizedTransformer`.

    Arguments:
        in_channels, out_channels, dimension, axes, width, heads, head_width, key_width, modes, layers,
            projection_width, quadrature: as in `ChainedFactorizedTransformer`.

    Raises:
        ValueError: as there.

    Source: Yang, Wang, Wang, Implicit factorized transformer approach to fast prediction of turbulent channel flows,
    arXiv 2412.18840, and its code.
    """

    parallel = True
