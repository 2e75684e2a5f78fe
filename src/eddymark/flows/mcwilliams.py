"""Two-dimensional isotropic turbulence which decays freely: vortices emerge from a random field."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from eddymark import initial_spectra
from eddymark.flows.base import Flow, isotropic_transformation
from eddymark.grid import SpectralSpace


class McWilliams(Flow):
    """Freely decaying two-dimensional turbulence from a random state with McWilliams' spectrum.

    The equations are unchanged under every translation and under the 8 symmetries of the square.

    Source: McWilliams (1984), J. Fluid Mech. 146, 21; viscosity 10⁻³ and unit energy as in Cao et al. (2025),
    Spectral-Refiner, ICLR (arXiv 2405.17211).
    """

    def initial_energies(self, space: SpectralSpace) -> Tensor:
        """Return the energy of each shell of the initial state, `(shell,)`; none beyond the last complete shell."""
        state = self.configuration.initial_state
        assert state is not None
        assert state.energy is not None
        assert state.peak_wavenumber is not None
        peak, complete = state.peak_wavenumber, space.grid.resolved_shells
        shape = [initial_spectra.mcwilliams(shell, peak=peak) for shell in range(complete + 1)]
        energies = torch.zeros(int(space.shells.max()) + 1, dtype=space.dtype, device=space.device)
        energies[: complete + 1] = torch.tensor(shape, dtype=space.dtype) * (state.energy / sum(shape))
        return energies

    def transform(self, window: Tensor, random: np.random.Generator, *, shifts: bool, symmetries: bool) -> Tensor:
        """Return a window `(..., 2, x, y)` under a random translation and a random symmetry of the square."""
        return isotropic_transformation(window, random, dimension=2, shifts=shifts, symmetries=symmetries)
