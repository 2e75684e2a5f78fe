"""Fourier modes along the walls, at each wall-normal point."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddymark.solvers.channel.grid import ChannelGrid


class ChannelSpace:
    """Fourier coefficients of real fields in planes parallel to the walls.

    A plane spectrum has shape `(..., x mode, y, z mode)`: modes 0 … m, −m … −1 along x and 0 … m along z with
    m = (points − 1) // 3. Transforms are normalised with `norm="forward"`, as on periodic grids.

    Arguments:
        grid: the channel.
        dtype: real precision, `torch.float32` or `torch.float64`.
        device: where the arrays live.
    """

    def __init__(
        self, grid: ChannelGrid, *, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> None:
        self.grid = grid
        self.dtype = dtype
        self.device = torch.device(device)
        self.cutoff = grid.cutoff
        m_x, m_z = grid.cutoff
        self.indices = np.concatenate([np.arange(m_x + 1), np.arange(-m_x, 0)]), np.arange(m_z + 1)
        k_x, k_z = (2 * math.pi / side * index for index, side in zip(self.indices, grid.sides[::2], strict=True))
        self.wavenumber_squared = k_x[:, None] ** 2 + k_z[None, :] ** 2
        """k² = k_x² + k_z² per mode, `(x mode, z mode)`, on the host in double precision."""
        zero = np.zeros_like(self.wavenumber_squared)
        inverse = np.divide(1.0, self.wavenumber_squared, out=zero, where=self.wavenumber_squared > 0)
        self.k_x = self.tensor(k_x).reshape(-1, 1, 1)
        self.k_z = self.tensor(k_z).reshape(1, 1, -1)
        self.i_x, self.i_z = 1j * self.k_x, 1j * self.k_z
        """Factors i k_x, `(x mode, 1, 1)`, and i k_z, `(1, 1, z mode)`, of derivatives along the walls."""
        self.inverse_squared = self.tensor(inverse)[:, None, :]
        """1 / k² per mode, zero for the mean, `(x mode, 1, z mode)`."""
        self.along = self.i_x * self.inverse_squared, self.i_z * self.inverse_squared
        """Factors i k_x / k² and i k_z / k² of v' in u and w, each `(x mode, 1, z mode)`."""
        magnitude = self.inverse_squared.sqrt()
        self.across = -self.i_z * magnitude, self.i_x * magnitude
        """Factors −i k_z / k and i k_x / k of χ in u and w."""
        self.normal_stress = 1j * self.k_x * self.along[0], 2j * self.k_z * self.along[0]
        """Factors −k_x² / k² and −2 k_x k_z / k² of τ_xx and τ_xz, what of them acts on v."""
        self.twist = 1j * self.k_x * self.across[0], 1j * (self.k_z * self.across[0] + self.k_x * self.across[1])
        """Factors k_x k_z / k and (k_z² − k_x²) / k of τ_xx and τ_xz, what of them acts on χ."""
        self.multiplicity = self.tensor(np.where(self.indices[1] == 0, 1.0, 2.0))
        """How many modes each stored one stands for, `(z mode,)`."""
        self.weights = self.tensor(grid.weights())

    def tensor(self, array: NDArray[np.float64]) -> Tensor:
        """Return an array in the precision and on the device of the space."""
        return torch.as_tensor(np.ascontiguousarray(array), dtype=self.dtype, device=self.device)

    def to_spectral(self, field: Tensor) -> Tensor:
        """Return the plane spectra `(..., x mode, y, z mode)` of real fields `(..., x, y, z)`."""
        m_x, m_z = self.cutoff
        spectrum = torch.fft.rfft(field, dim=-1, norm="forward")[..., : m_z + 1]
        full = torch.fft.fft(spectrum, dim=-3, norm="forward")
        return torch.cat([full.narrow(-3, 0, m_x + 1), full.narrow(-3, self.grid.points[0] - m_x, m_x)], dim=-3)

    def to_physical(self, spectrum: Tensor) -> Tensor:
        """Return the real fields `(..., x, y, z)` of plane spectra `(..., x mode, y, z mode)`."""
        m_x = self.cutoff[0]
        gap = list(spectrum.shape)
        gap[-3] = self.grid.points[0] - 2 * m_x - 1
        parts = [spectrum.narrow(-3, 0, m_x + 1), spectrum.new_zeros(gap), spectrum.narrow(-3, m_x + 1, m_x)]
        padded = torch.fft.ifft(torch.cat(parts, dim=-3), dim=-3, norm="forward")
        return torch.fft.irfft(padded, n=self.grid.points[2], dim=-1, norm="forward")

    def height_average(self, profile: Tensor) -> Tensor:
        """Return the average over the height of profiles `(..., y)`; exact for the polynomials of the grid."""
        return profile @ self.weights

    def volume_average(self, field: Tensor) -> Tensor:
        """Return the average over the channel of fields `(..., x, y, z)`."""
        return self.height_average(field.mean(dim=(-3, -1)))
