"""Stokes modes: solenoidal velocities between walls which viscosity damps, each at a rate of its own.

For wavenumbers k = (k_x, k_z) ≠ 0 a solenoidal velocity without slip is a sum of two families, orthogonal in energy:

    (i k_x v' / k², v, i k_z v' / k²)    with v = v' = 0 at the walls     (wall-normal velocity)
    (−i k_z χ / k, 0, i k_x χ / k)       with χ = 0 at the walls          (k χ is the wall-normal vorticity)

In each, the modes are the eigenfunctions of the Galerkin form of ν ∇²: A c = λ M c, with the energy product M and the
dissipation product A. A state is its amplitudes a in them, orthonormal, so that ½ Σ |a|² is the kinetic energy,
viscosity is ȧ = −ν λ a, and divergence and slip vanish whatever the amplitudes are. The mean flow has no wall-normal
velocity; its two profiles U and W are one complex function U + i W of the second family.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from eddymark.solvers.channel.legendre import Array, Basis, clamped_basis, dirichlet_basis, gauss_points
from eddymark.solvers.channel.space import ChannelSpace


class StokesModes:
    """Transforms between amplitudes and profiles at the wall-normal points.

    A spectrum has shape `(batch, 2, x mode, y mode, z mode)`: wall-normal velocity, then wall-normal vorticity; y
    modes are even ones with growing λ, then odd ones.

    Arguments:
        space: Fourier modes along the walls.
        constant_flux: the mean flow's first mode carries all of its flux and is damped by nothing; the others, which
            carry none, are the modes of what is left.

    Source: spaces of solenoidal functions as in Moser, Moin & Leonard (1983), J. Comput. Phys. 52, 524.
    """

    def __init__(self, space: ChannelSpace, *, constant_flux: bool) -> None:
        self.space = space
        grid, h = space.grid, space.grid.half_height
        clamped, dirichlet = clamped_basis(grid.degree + 1), dirichlet_basis(grid.degree)
        points = gauss_points(grid.points[1])[0]
        half = dirichlet.coefficients.shape[1] // 2
        self.count = 2 * half
        self.modes = (len(space.indices[0]), self.count, len(space.indices[1]))

        own, rates = vorticity_modes(dirichlet, h)
        self._vorticity = [space.tensor(dirichlet.values(order, points) @ own / h**order) for order in range(2)]
        self._wall_slope = space.tensor(dirichlet.values(1, np.array([-1.0, 1.0])) @ own / h)
        self._velocity = [space.tensor(clamped.values(order, points) / h**order) for order in range(3)]
        weights = space.weights[:, None]
        self._vorticity_back = [(weights * matrix).T.contiguous() for matrix in self._vorticity]
        self._velocity_back = [(weights * matrix).T.contiguous() for matrix in self._velocity]
        self.flux = dirichlet.coefficients[0, :, 0] @ own
        """Average over the height of each mode of χ, `(y mode,)`; (Σ flux²)^½ is that of the mode which carries all."""

        squared, position = np.unique(space.wavenumber_squared, return_inverse=True)
        found = [velocity_modes(clamped, k2, h) for k2 in squared[1:]]
        shapes = np.stack([np.zeros((2, half, half)), *[shape for shape, _ in found]])
        damping = np.stack([np.zeros(self.count), *[rate for _, rate in found]])
        position = position.reshape(space.wavenumber_squared.shape)
        self._shapes = space.tensor(shapes[position])
        """Basis coefficients of the wall-normal velocity's modes, `(x mode, z mode, parity, function, mode)`."""

        every = rates + space.wavenumber_squared[..., None]
        self._rotation: Tensor | None = None
        self.coupling: Tensor | None = None
        """⟨∂_y f ∂_y φ⟩ of the mode f with all the flux with each one φ, `(y mode,)`; None unless it is constant."""
        self._carrier = space.tensor(self.flux / np.linalg.norm(self.flux))
        if constant_flux:
            self._carrier = space.tensor(np.eye(self.count)[0])
            rotation, every[0, 0], coupling = _without_flux(self.flux, rates)
            self._rotation, self.coupling = space.tensor(rotation), space.tensor(coupling)
        self.damping = space.tensor(np.moveaxis(np.stack([damping[position], every]), -1, -2))
        """λ per mode, `(2, x mode, y mode, z mode)`."""

    def wall_normal_profiles(self, spectrum: Tensor, orders: int) -> list[Tensor]:
        """Return v and its first derivatives, each as plane spectrum `(batch, x mode, y, z mode)`."""
        coefficients = _apply_each(self._shapes, spectrum[:, 0])
        return [_apply(matrix, coefficients) for matrix in self._velocity[:orders]]

    def vorticity_profiles(self, spectrum: Tensor, orders: int) -> list[Tensor]:
        """Return χ, in the mean U + i W, and its first derivatives, each `(batch, x mode, y, z mode)`."""
        amplitudes = self._rotated(spectrum[:, 1])
        return [_apply(matrix, amplitudes) for matrix in self._vorticity[:orders]]

    def project(self, normal: list[Tensor], vorticity: list[Tensor]) -> Tensor:
        """Return amplitudes `(batch, 2, *modes)` of what is given by its products with the modes.

        Arguments:
            normal: what multiplies v, v', … before the average over the height, each `(batch, x mode, y, z mode)`.
            vorticity: what multiplies χ, χ'.
        """
        pairs = zip(self._velocity_back, normal, strict=False)
        moments = _sum([_apply(matrix, values) for matrix, values in pairs])
        pairs = zip(self._vorticity_back, vorticity, strict=False)
        second = _sum([_apply(matrix, values) for matrix, values in pairs])
        first = _apply_each(self._shapes.mT, moments)
        return torch.stack([first, self._rotated(second, back=True)], dim=1)

    def with_flux(self, spectrum: Tensor, change: Tensor) -> Tensor:
        """Return the amplitudes closest to given ones whose averages of U and W differ by a change `(batch, 2)`."""
        result, norm = spectrum.clone(), float(np.linalg.norm(self.flux))
        amounts = torch.view_as_complex((change / norm).contiguous())[:, None] * self._carrier
        result[:, 1, 0, :, 0] = result[:, 1, 0, :, 0] + amounts
        return result

    def mean_slope_at_walls(self, spectrum: Tensor) -> Tensor:
        """Return ∂U/∂y at the lower and the upper wall, `(batch, 2)`."""
        mean = self._rotated(spectrum[:, 1, :1, :, :1])[:, 0, :, 0]
        return mean.real @ self._wall_slope.T

    def _rotated(self, amplitudes: Tensor, *, back: bool = False) -> Tensor:
        """Return amplitudes with those of the mean flow in the modes of the other wavenumbers, or back."""
        if self._rotation is None:
            return amplitudes
        rotation = self._rotation.T if back else self._rotation
        result = amplitudes.clone()
        result[..., 0, :, 0] = amplitudes[..., 0, :, 0] @ rotation.T.to(amplitudes.dtype)
        return result


def vorticity_modes(basis: Basis, half_height: float) -> tuple[Array, Array]:
    """Return the modes of χ as basis coefficients `(function, mode)` and λ − k² `(mode,)`; both for every k."""
    half = basis.coefficients.shape[1] // 2
    shapes, rates = np.zeros((2 * half, 2 * half)), np.zeros(2 * half)
    for part in (slice(0, half), slice(half, 2 * half)):
        energy = basis.products(0)[part, part]
        shapes[part, part], rates[part] = eigenmodes(basis.products(1)[part, part] / half_height**2, energy)
    return shapes, rates


def velocity_modes(basis: Basis, squared: float, half_height: float) -> tuple[Array, Array]:
    """Return the modes of v as basis coefficients `(parity, function, mode)` and λ `(mode,)`.

    Energy ⟨v² + v'²/k²⟩, dissipation ⟨k² v² + 2 v'² + v''²/k²⟩.

    Arguments:
        basis: functions with v = v' = 0 at the walls.
        squared: k² > 0.
        half_height: h.
    """
    value, slope, curvature = (basis.products(order) / half_height ** (2 * order) for order in range(3))
    energy = value + slope / squared
    dissipation = squared * value + 2 * slope + curvature / squared
    half = len(value) // 2
    shapes, rates = np.zeros((2, half, half)), np.zeros(2 * half)
    for parity in range(2):
        used = half - parity  # the last odd function is missing
        part = slice(parity * half, parity * half + used)
        found = eigenmodes(dissipation[part, part], energy[part, part])
        shapes[parity, :used, :used], rates[part] = found
    return shapes, rates


def eigenmodes(dissipation: Array, energy: Array) -> tuple[Array, Array]:
    """Return c and λ of A c = λ M c with cᵀ M c = 1, λ growing.

    M is ill-conditioned in a basis whose highest derivatives are orthonormal. The equation is therefore solved for
    1 / λ, which gives the slowly damped modes to rounding, and a step of Newton's method repairs the others.

    Source: Ogita & Aishima (2018), Japan J. Indust. Appl. Math. 35, 1007, Algorithm 1 (here with two matrices).
    """
    root = np.linalg.cholesky(dissipation)
    inner = np.linalg.solve(root, np.linalg.solve(root, energy).T)
    inverse, vectors = np.linalg.eigh(0.5 * (inner + inner.T))
    modes = np.linalg.solve(root.T, vectors)[:, ::-1] / np.sqrt(inverse[::-1])
    for _ in range(2):
        a, m = modes.T @ dissipation @ modes, modes.T @ energy @ modes
        rates = np.diag(a) / np.diag(m)
        gaps = rates[None, :] - rates[:, None]
        np.fill_diagonal(gaps, 1.0)
        change = (a - m * rates[None, :]) / gaps
        np.fill_diagonal(change, 0.5 * (1 - np.diag(m)))
        modes = modes + modes @ change
    return modes, rates


def _without_flux(flux: Array, rates: Array) -> tuple[Array, Array, Array]:
    """Return the mean flow's modes at constant flux in terms of its others, their rates, and the coupling.

    The first mode f is what is parallel to the flux functional: every mode that is orthogonal to it carries none. In
    that subspace Λ is diagonalised again; fᵀ Λ of it is how the carried flow forces the others.
    """
    size, half = len(rates), len(rates) // 2
    carrier = flux / np.linalg.norm(flux)
    rotation, found = np.zeros((size, size)), np.zeros(size)
    rotation[:, 0] = carrier
    # Odd modes carry no flux; the even ones are restricted to the complement of the carrier.
    complement = np.linalg.svd(carrier[None, :half])[2][1:].T
    inner, vectors = np.linalg.eigh(complement.T @ (rates[:half, None] * complement))
    found[1:half], rotation[:half, 1:half] = inner, complement @ vectors
    rotation[half:, half:], found[half:] = np.eye(half), rates[half:]
    return rotation, found, rotation.T @ (rates * carrier)


def _apply(matrix: Tensor, spectrum: Tensor) -> Tensor:
    """Return a real matrix `(m, n)` times complex columns `(batch, x mode, n, z mode)`."""
    columns = torch.view_as_real(spectrum.contiguous()).flatten(-2)
    # One matrix for all, which `matmul` would copy for each x mode.
    every = matrix.expand(columns.shape[0] * columns.shape[1], *matrix.shape)
    found = torch.bmm(every, columns.flatten(0, 1)).unflatten(0, columns.shape[:2])
    return torch.view_as_complex(found.unflatten(-1, (-1, 2)))


def _apply_each(matrices: Tensor, spectrum: Tensor) -> Tensor:
    """Return real matrices `(x mode, z mode, 2, m, n)`, two blocks each, times `(batch, x mode, 2n, z mode)`."""
    ordered = spectrum.permute(1, 3, 2, 0).contiguous().unflatten(2, (2, -1))
    found = torch.matmul(matrices, torch.view_as_real(ordered).flatten(-2))
    return torch.view_as_complex(found.unflatten(-1, (-1, 2))).flatten(2, 3).permute(3, 0, 2, 1)


def _sum(terms: list[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
