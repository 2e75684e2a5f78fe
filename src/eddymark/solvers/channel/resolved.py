"""A velocity field between walls with its derived quantities, computed at most once each."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from eddymark.solvers.channel.stokes_modes import StokesModes
from eddymark.solvers.resolved import symmetric_pairs


class ResolvedChannelVelocity:
    """Velocity in a channel, given by the amplitudes of its Stokes modes.

    Symmetric tensors are stored reduced (`eddymark.solvers.resolved`).

    Arguments:
        modes: Stokes modes of the channel.
        spectrum: amplitudes, `(batch, 2, *modes)`.
    """

    def __init__(self, modes: StokesModes, spectrum: Tensor) -> None:
        self.modes = modes
        self.space = modes.space
        self.spectrum = spectrum

    @cached_property
    def _slopes(self) -> tuple[list[Tensor], list[Tensor]]:
        """v, v', v'' and χ, χ' as plane spectra."""
        return self.modes.wall_normal_profiles(self.spectrum, 3), self.modes.vorticity_profiles(self.spectrum, 2)

    @cached_property
    def velocity_spectrum(self) -> Tensor:
        """Plane spectrum of u_i, `(batch, 3, x mode, y, z mode)`."""
        if "_slopes" in self.__dict__:
            (v, slope, _), (vorticity, _) = self._slopes
        else:
            v, slope = self.modes.wall_normal_profiles(self.spectrum, 2)
            (vorticity,) = self.modes.vorticity_profiles(self.spectrum, 1)
        u, w = self._along_walls(slope, vorticity)
        return torch.stack([u, v, w], dim=1)

    def _along_walls(self, slope: Tensor, vorticity: Tensor) -> tuple[Tensor, Tensor]:
        """Return (i k_x s − i k_z k χ) / k² and (i k_z s + i k_x k χ) / k²; of the mean, Re χ and Im χ."""
        pairs = zip(self.space.along, self.space.across, strict=True)
        u, w = (combined(factors, slope, vorticity) for factors in pairs)
        mean = vorticity[..., 0, :, 0]
        u[..., 0, :, 0] = mean.real.to(u.dtype)
        w[..., 0, :, 0] = mean.imag.to(w.dtype)
        return u, w

    @cached_property
    def velocity(self) -> Tensor:
        """u_i at the grid points, `(batch, 3, x, y, z)`."""
        return self.space.to_physical(self.velocity_spectrum)

    @cached_property
    def gradient_spectrum(self) -> list[list[Tensor]]:
        """Plane spectra of ∂_j u_i: row i, column j, each `(batch, x mode, y, z mode)`."""
        (_, slope, curvature), (_, vorticity_slope) = self._slopes
        u, v, w = self.velocity_spectrum.unbind(1)
        u_y, w_y = self._along_walls(curvature, vorticity_slope)
        i_x, i_z = self.space.i_x, self.space.i_z
        return [[i_x * u, u_y, i_z * u], [i_x * v, slope, i_z * v], [i_x * w, w_y, i_z * w]]

    @cached_property
    def gradient(self) -> list[list[Tensor]]:
        """∂_j u_i at the grid points: row i, column j, each `(batch, x, y, z)`; its trace is zero."""
        rows = self.gradient_spectrum
        entries = [entry for row in rows for entry in row][:-1]
        found = list(self.space.to_physical(torch.stack(entries, dim=1)).unbind(1))
        found.append(-(found[0] + found[4]))
        return [found[3 * i : 3 * i + 3] for i in range(3)]

    @cached_property
    def strain_rate(self) -> Tensor:
        """S_ij = ½ (∂_j u_i + ∂_i u_j) at the grid points, reduced, `(batch, 5, x, y, z)`."""
        known = "gradient" in self.__dict__
        g = self.gradient if known else self.gradient_spectrum
        last = g[2][2]
        entries = [g[i][i] - last if i == j else 0.5 * (g[i][j] + g[j][i]) for i, j in symmetric_pairs(3)[:-1]]
        reduced = torch.stack(entries, dim=1)
        return reduced if known else self.space.to_physical(reduced)


def combined(factors: tuple[Tensor, Tensor], first: Tensor, second: Tensor) -> Tensor:
    """Return a x + b y of plane spectra x and y."""
    return torch.addcmul(factors[0] * first, factors[1], second)
