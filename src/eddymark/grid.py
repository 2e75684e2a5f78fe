"""Periodic grids and their spectral space: transforms, wavenumbers, derivatives, projection, shells.

Transforms are normalised with `norm="forward"`: a Fourier coefficient is the amplitude of its mode, independent of
the number of points, and the mean square of a field is the weighted sum of its squared coefficients (Parseval).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Grid:
    """Uniform grid on a periodic box which includes the left end point of each axis and excludes the right one.

    Arguments:
        points: number of points per axis, all even.
        sides: length of the box per axis.

    Raises:
        ValueError: if the numbers of axes differ, a count is odd or below 4, or a side is not positive.
    """

    points: tuple[int, ...]
    sides: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.points) != len(self.sides) or len(self.points) not in (2, 3):
            raise ValueError(f"a grid needs 2 or 3 axes; got points {self.points} and sides {self.sides}")
        if any(n < 4 or n % 2 for n in self.points):
            raise ValueError(f"numbers of points must be even and at least 4; got {self.points}")
        if any(side <= 0 for side in self.sides):
            raise ValueError(f"sides must be positive; got {self.sides}")

    @property
    def dimension(self) -> int:
        """Number of axes."""
        return len(self.points)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Distance between neighbouring points per axis."""
        return tuple(side / n for side, n in zip(self.sides, self.points, strict=True))

    @property
    def lowest_wavenumber(self) -> float:
        """The unit of shells: 2π / longest side."""
        return 2 * math.pi / max(self.sides)

    @property
    def dealiased_cutoff(self) -> tuple[int, ...]:
        """Highest mode index per axis whose quadratic products do not alias: the largest m with 3 m < points."""
        return tuple((n - 1) // 3 for n in self.points)

    @property
    def resolved_shells(self) -> int:
        """Highest shell which lies wholly inside the dealiased modes (k_c)."""
        scaled = (
            cutoff * (2 * math.pi / side) / self.lowest_wavenumber
            for cutoff, side in zip(self.dealiased_cutoff, self.sides, strict=True)
        )
        return int(min(scaled) + 1e-9)

    def coordinates(self) -> list[NDArray[np.float64]]:
        """Return the points of each axis, from 0 (included) to the side (excluded)."""
        return [np.arange(n, dtype=np.float64) * h for n, h in zip(self.points, self.spacing, strict=True)]

    def coarsened(self, points: Sequence[int]) -> Grid:
        """Return the grid of the same box with other numbers of points."""
        return Grid(points=tuple(points), sides=self.sides)


class SpectralSpace:
    """Fourier coefficients of real fields on a grid.

    A spectrum has shape `(..., modes_1, …, modes_d)`; all axes but the last hold modes 0 … m, -m … -1, the last one
    0 … m. With `dealiased=True`, m = (points − 1) // 3 and everything beyond is dropped by `to_spectral` (the strict
    2/3 rule): quadratic products of fields in the space are then free of aliasing inside it. With `dealiased=False`
    all modes are kept and the transforms are exact inverses of each other. A lower `cutoff` keeps fewer modes still;
    transforms are then cheaper.

    Arguments:
        grid: the grid.
        dealiased: keep only modes free of quadratic aliasing.
        cutoff: highest mode kept per axis; default: `grid.dealiased_cutoff`.
        dtype: real precision, `torch.float32` or `torch.float64`.
        device: where the arrays live.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        dealiased: bool = True,
        cutoff: tuple[int, ...] | None = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        self.grid = grid
        self.dealiased = dealiased
        self.cutoff = cutoff or grid.dealiased_cutoff
        self.dtype = dtype
        self.device = torch.device(device)
        self.axes = tuple(range(-grid.dimension, 0))
        indices = [self._mode_indices(axis) for axis in range(grid.dimension)]
        self.modes = tuple(len(index) for index in indices)
        factors = [2 * math.pi / side for side in grid.sides]
        mesh = np.meshgrid(*[i * f for i, f in zip(indices, factors, strict=True)], indexing="ij")
        odd = [
            np.where(2 * np.abs(i) == n, 0, i).astype(np.float64) * f
            for i, n, f in zip(indices, grid.points, factors, strict=True)
        ]
        self._wavenumbers = np.stack(mesh)
        self._odd_wavenumbers = np.stack(np.meshgrid(*odd, indexing="ij"))
        self._last_index = indices[-1]

    def _mode_indices(self, axis: int) -> NDArray[np.int64]:
        n = self.grid.points[axis]
        last = axis == self.grid.dimension - 1
        if not self.dealiased:
            return np.arange(n // 2 + 1) if last else np.fft.fftfreq(n, 1 / n).round().astype(np.int64)
        m = self.cutoff[axis]
        return np.arange(m + 1) if last else np.concatenate([np.arange(m + 1), np.arange(-m, 0)])

    def _tensor(self, array: NDArray[np.float64]) -> Tensor:
        return torch.as_tensor(array, dtype=self.dtype, device=self.device)

    @cached_property
    def wavenumbers(self) -> Tensor:
        """Wave vector per mode for odd derivatives, `(d, *modes)`; zero at the Nyquist mode."""
        return self._tensor(self._odd_wavenumbers)

    @cached_property
    def derivatives(self) -> Tensor:
        """Factor i k_j per mode of each odd derivative ∂_j, `(d, *modes)`, complex."""
        return 1j * self.wavenumbers

    @cached_property
    def wavenumber_squared(self) -> Tensor:
        """|k|² per mode, `(*modes)`: minus the Laplacian."""
        return self._tensor((self._wavenumbers**2).sum(axis=0))

    @cached_property
    def inverse_wavenumber_squared(self) -> Tensor:
        """1/|k|² of the odd-derivative wave vector per mode, zero where that vanishes; for the projection only."""
        squared = (self._odd_wavenumbers**2).sum(axis=0)
        return self._tensor(np.divide(1.0, squared, out=np.zeros_like(squared), where=squared > 0))

    @cached_property
    def shells(self) -> Tensor:
        """Shell number round(|k| / lowest wavenumber) per mode, `(*modes)`, integers."""
        magnitude = np.sqrt((self._wavenumbers**2).sum(axis=0)) / self.grid.lowest_wavenumber
        return torch.as_tensor(np.floor(magnitude + 0.5), dtype=torch.int64, device=self.device)

    @cached_property
    def multiplicity(self) -> Tensor:
        """How many modes of the full spectrum each stored one stands for, `(*modes)`: 2, or 1 in the mirror planes."""
        n = self.grid.points[-1]
        single = (self._last_index == 0) | (2 * self._last_index == n)
        return self._tensor(np.broadcast_to(np.where(single, 1.0, 2.0), self.modes).copy())

    def to_spectral(self, field: Tensor) -> Tensor:
        """Transform real fields `(..., *grid)` to `(..., *modes)`, dropping the modes outside the space."""
        points = self.grid.points
        if not self.dealiased:
            return torch.fft.rfftn(field, dim=self.axes, norm="forward")
        # Axis by axis, so that later axes are transformed only where modes are kept.
        spectrum = torch.fft.rfft(field, dim=-1, norm="forward")[..., : self.modes[-1]]
        for axis in range(-2, -self.grid.dimension - 1, -1):
            m = self.modes[axis] // 2
            full = torch.fft.fft(spectrum, dim=axis, norm="forward")
            low = full.narrow(axis, 0, m + 1)
            high = full.narrow(axis, points[axis] - m, m)
            spectrum = torch.cat([low, high], dim=axis)
        return spectrum

    def to_physical(self, spectrum: Tensor) -> Tensor:
        """Transform spectra `(..., *modes)` to real fields `(..., *grid)`."""
        points = self.grid.points
        if not self.dealiased:
            return torch.fft.irfftn(spectrum, s=points, dim=self.axes, norm="forward")
        for axis in range(-self.grid.dimension, -1):
            m = self.modes[axis] // 2
            gap = list(spectrum.shape)
            gap[axis] = points[axis] - 2 * m - 1
            padded = torch.cat(
                [
                    spectrum.narrow(axis, 0, m + 1),
                    spectrum.new_zeros(gap),
                    spectrum.narrow(axis, m + 1, m),
                ],
                dim=axis,
            )
            spectrum = torch.fft.ifft(padded, dim=axis, norm="forward")
        return torch.fft.irfft(spectrum, n=points[-1], dim=-1, norm="forward")

    def resample(self, spectrum: Tensor, target: SpectralSpace) -> Tensor:
        """Return a spectrum `(..., *modes)` in another dealiased space of the same box.

        Modes which the target lacks are dropped, those which it has in addition are zero.
        """
        for axis in range(-self.grid.dimension, 0):
            # The last axis has no negative wavenumbers.
            negative = 0 if axis == -1 else min(self.modes[axis], target.modes[axis]) // 2
            low = min(self.modes[axis], target.modes[axis]) - negative
            if self.modes[axis] == target.modes[axis]:
                continue
            parts = [spectrum.narrow(axis, 0, low)]
            if target.modes[axis] > self.modes[axis]:
                missing = list(spectrum.shape)
                missing[axis] = target.modes[axis] - self.modes[axis]
                parts.append(spectrum.new_zeros(missing))
            if negative:
                parts.append(spectrum.narrow(axis, self.modes[axis] - negative, negative))
            spectrum = torch.cat(parts, dim=axis) if len(parts) > 1 else parts[0]
        return spectrum

    def derivative(self, spectrum: Tensor, axis: int) -> Tensor:
        """Return the spectrum of ∂/∂x_axis (axis counted from 0)."""
        return 1j * self.wavenumbers[axis] * spectrum

    def project(self, spectrum: Tensor) -> Tensor:
        """Remove the gradient part of vector spectra `(..., d, *modes)`: û − k (k·û) / k².

        The mean flow (k = 0) is left as it is.
        """
        k = self.wavenumbers
        component = -self.grid.dimension - 1
        pressure: Tensor = (k * spectrum).sum(dim=component, keepdim=True) * self.inverse_wavenumber_squared
        return spectrum - k * pressure

    def symmetrise(self, spectrum: Tensor) -> Tensor:
        """Restore û(−k) = û(k)* in the mirror planes of the last axis, where both are stored.

        The real inverse transform never sees a violation, so that nothing but this keeps rounding errors there from
        growing under operations which multiply the spectrum.
        """
        planes = [0] if self.dealiased else [0, self.modes[-1] - 1]
        result = spectrum.clone()
        axes = tuple(range(-self.grid.dimension + 1, 0))
        for plane in planes:
            values = spectrum[..., plane]
            mirrored = values.flip(axes).roll([1] * len(axes), axes).conj()
            result[..., plane] = 0.5 * (values + mirrored)
        return result

    def divergence(self, spectrum: Tensor) -> Tensor:
        """Return the spectrum `(..., *modes)` of the divergence of a vector field `(..., d, *modes)`."""
        return 1j * (self.wavenumbers * spectrum).sum(dim=-self.grid.dimension - 1)

    def vorticity(self, spectrum: Tensor) -> Tensor:
        """Return the spectrum of the curl of a velocity `(..., d, *modes)`.

        In 2-D one component ω = ∂v/∂x − ∂u/∂y, shape `(..., 1, *modes)`; in 3-D three, shape `(..., 3, *modes)`.
        """
        component = -self.grid.dimension - 1
        u = spectrum.unbind(component)
        if self.grid.dimension == 2:
            return torch.stack([self.derivative(u[1], 0) - self.derivative(u[0], 1)], dim=component)
        return torch.stack(
            [
                self.derivative(u[2], 1) - self.derivative(u[1], 2),
                self.derivative(u[0], 2) - self.derivative(u[2], 0),
                self.derivative(u[1], 0) - self.derivative(u[0], 1),
            ],
            dim=component,
        )

    def mode_energy(self, spectrum: Tensor) -> Tensor:
        """Return ½ |û|² per mode over all components, mirrored modes counted, `(..., *modes)`."""
        power = (spectrum.real**2 + spectrum.imag**2).sum(dim=-self.grid.dimension - 1)
        return 0.5 * self.multiplicity * power

    def shell_sum(self, density: Tensor) -> Tensor:
        """Sum a quantity per mode `(..., *modes)` over shells: `(..., shell)`, shell 0 first."""
        flat = density.flatten(-self.grid.dimension)
        index = self.shells.flatten()
        count = int(index.max()) + 1
        return flat.new_zeros((*flat.shape[:-1], count)).index_add(-1, index, flat)

    def energy_spectrum(self, spectrum: Tensor) -> Tensor:
        """Return the kinetic energy per shell, E(κ) = ½ Σ_{round|k| = κ} |û_k|², shape `(..., shell)`.

        The sum over shells is the kinetic energy per unit mass exactly (Parseval).
        """
        return self.shell_sum(self.mode_energy(spectrum))
