"""Isotropic turbulence which decays freely in a periodic cube."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from eddymark import initial_spectra
from eddymark.flows.base import Flow, isotropic_transformation
from eddymark.grid import SpectralSpace

MESH = 5.08
"""Mesh of the grid M of Comte-Bellot & Corrsin, cm."""
STREAM = 1000.0
"""Their mean velocity U₀, cm/s."""
AIR_VISCOSITY = MESH * STREAM / 34_000
"""ν in cm²/s, from their Reynolds number U₀ M / ν = 34000."""


def comte_bellot_corrsin_spectrum(
    space: SpectralSpace, *, station: int, length_unit: float, velocity_unit: float
) -> Tensor:
    """Return the measured energy of each shell at a station of Comte-Bellot & Corrsin, `(shell,)`, in flow units.

        E_κ = E(κ k₁ / ℓ) k₁ / (ℓ v²),    k₁ the lowest wavenumber of the box in flow units

    Shells beyond the last complete one of the grid, and wavenumbers at which nothing was measured, have no energy.

    Arguments:
        space: spectral space, shell 0 first.
        station: 1, 2 or 3, at the times t U₀ / M = 42, 98 and 171 (`eddymark.initial_spectra.STATIONS`).
        length_unit: ℓ, centimetres in a unit of length of the flow: side of the box in cm / side in flow units.
        velocity_unit: v, cm/s in a unit of velocity of the flow.

    Source: `eddymark.initial_spectra.COMTE_BELLOT_CORRSIN`.
    """
    lowest = space.grid.lowest_wavenumber / length_unit
    energies = [
        initial_spectra.comte_bellot_corrsin(shell * lowest, station=station) * lowest / velocity_unit**2
        for shell in range(space.grid.resolved_shells + 1)
    ]
    incomplete = int(space.shells.max()) + 1 - len(energies)
    return torch.tensor(energies + [0.0] * incomplete, dtype=space.dtype, device=space.device)


class DecayingIsotropic(Flow):
    """Homogeneous isotropic turbulence without a force, from a random state with a given spectrum.

    The spectrum is of Gaussian type or the one measured at station 1 by Comte-Bellot & Corrsin. The equations are
    unchanged under every translation and under the 48 symmetries of the cube.

    Source: set-up as in Zhao et al. (2025), J. Comput. Phys. 537, 114125 (LESnets): box 2π, viscosity 1/64.
    """

    def initial_energies(self, space: SpectralSpace) -> Tensor:
        """Return the energy of each shell of the initial state, `(shell,)`."""
        state = self.configuration.initial_state
        assert state is not None
        if state.spectrum == "gaussian":
            return super().initial_energies(space)
        assert state.length_unit is not None
        assert state.velocity_unit is not None
        return comte_bellot_corrsin_spectrum(
            space, station=1, length_unit=state.length_unit, velocity_unit=state.velocity_unit
        )

    def transform(self, window: Tensor, random: np.random.Generator, *, shifts: bool, symmetries: bool) -> Tensor:
        """Return a window `(..., 3, x, y, z)` under a random translation and a random symmetry of the cube."""
        return isotropic_transformation(window, random, dimension=3, shifts=shifts, symmetries=symmetries)
