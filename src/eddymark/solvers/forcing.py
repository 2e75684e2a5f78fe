"""External forces: what drives a flow at its large scales."""

from __future__ import annotations

import torch
from torch import Tensor

from eddymark.config.schema import Forcing as ForcingConfiguration
from eddymark.grid import SpectralSpace


class Forcing:
    """No force; base of the others.

    A force may be steady (`steady`), depend on the state (`tendency`), or be a constraint which is restored after
    every step (`constrain`).

    Arguments:
        space: dealiased spectral space of the solver.
    """

    constrains = False
    """Whether `constrain` changes states."""

    def __init__(self, space: SpectralSpace) -> None:
        self.space = space

    @property
    def steady(self) -> Tensor | None:
        """Spectrum of a steady force, `(d, *modes)`, or None."""
        return None

    def tendency(self, spectrum: Tensor) -> Tensor | None:
        """Return the spectrum of a force that depends on the state, `(batch, d, *modes)`, or None."""
        return None

    def constrain(self, spectrum: Tensor) -> Tensor:
        """Return the state with the constraint restored."""
        return spectrum


class HeldShells(Forcing):
    """Kinetic energy of the lowest shells held: after every step û_κ ← û_κ (E_κ / ½Σ|û_κ|²)^½.

    Before rescaling, the state is projected and its mirror planes are symmetrised: the factors exceed one, and whatever
    the real transform does not see there would be multiplied every step until it has taken over the shell.

    Arguments:
        space: dealiased spectral space of the solver.
        energies: energy per shell number round(|k|).

    Source: Chen, Doolen, Kraichnan & She (1993), Phys. Fluids A 5, 458 (constant shell energies).
    """

    constrains = True

    def __init__(self, space: SpectralSpace, *, energies: dict[int, float]) -> None:
        super().__init__(space)
        self.energies = dict(sorted(energies.items()))
        shells, weights = space.shells.flatten(), 0.5 * space.multiplicity.flatten()
        found = [torch.nonzero(shells == shell).flatten() for shell in self.energies]
        self.modes = [(index, weights[index]) for index in found]

    def constrain(self, spectrum: Tensor) -> Tensor:
        """Return the state with the shells' energies restored, `(batch, d, *modes)`."""
        space = self.space
        flat = space.symmetrise(space.project(spectrum)).flatten(-space.grid.dimension)
        for (index, weight), energy in zip(self.modes, self.energies.values(), strict=True):
            shell = flat[..., index]
            present = (weight * (shell.real**2 + shell.imag**2)).sum(dim=(-2, -1), keepdim=True)
            factor = torch.sqrt(energy / present.clamp_min(torch.finfo(present.dtype).tiny))
            flat = flat.index_copy(-1, index, shell * factor)
        return flat.unflatten(-1, space.modes)


class ConstantPower(Forcing):
    """Energy input at a constant rate: f̂_k = P û_k / (2 E_f) in the forced shells, so that ⟨u·f⟩ = P.

    Arguments:
        space: dealiased spectral space of the solver.
        power: P, energy per unit mass and time.
        shells: forced shells round(|k|); E_f is their energy.

    Source: Ghosal, Lund, Moin & Akselvoll (1995), J. Fluid Mech. 286, 229.
    """

    def __init__(self, space: SpectralSpace, *, power: float, shells: tuple[int, ...]) -> None:
        super().__init__(space)
        self.power = power
        self.mask = torch.isin(space.shells, torch.tensor(shells, device=space.device)).to(space.dtype)

    def tendency(self, spectrum: Tensor) -> Tensor:
        """Return f̂, `(batch, d, *modes)`."""
        forced = self.mask * spectrum
        dimension = self.space.grid.dimension
        energy = self.space.mode_energy(forced).sum(dim=tuple(range(-dimension, 0)))
        rate = self.power / (2 * energy.clamp_min(torch.finfo(energy.dtype).tiny))
        return forced * rate.reshape(*rate.shape, *(1,) * (dimension + 1))


class Sinusoidal(Forcing):
    """Kolmogorov's force f_x = A sin(n κ₀ y), κ₀ = 2π / side of the y axis.

    Arguments:
        space: dealiased spectral space of the solver.
        wavenumber: n.
        amplitude: A.
    """

    def __init__(self, space: SpectralSpace, *, wavenumber: int, amplitude: float) -> None:
        super().__init__(space)
        grid = space.grid
        y = torch.as_tensor(grid.coordinates()[1], dtype=space.dtype, device=space.device)
        profile = amplitude * torch.sin(2 * torch.pi * wavenumber * y / grid.sides[1])
        force = torch.zeros((grid.dimension, *grid.points), dtype=space.dtype, device=space.device)
        force[0] = profile.reshape(1, -1, *(1,) * (grid.dimension - 2))
        self._spectrum = space.to_spectral(force)

    @property
    def steady(self) -> Tensor:
        """The force's spectrum, `(d, *modes)`."""
        return self._spectrum


def build_forcing(configuration: ForcingConfiguration, space: SpectralSpace) -> Forcing:
    """Return the force that a configuration describes (its consistency is checked when it is loaded)."""
    match configuration:
        case ForcingConfiguration(type="held_shells", energies=dict(energies)):
            return HeldShells(space, energies=energies)
        case ForcingConfiguration(type="constant_power", power=float(power), shells=tuple(shells)):
            return ConstantPower(space, power=power, shells=shells)
        case ForcingConfiguration(type="sinusoidal", wavenumber=int(wavenumber), amplitude=float(amplitude)):
            return Sinusoidal(space, wavenumber=wavenumber, amplitude=amplitude)
        case _:
            return Forcing(space)
