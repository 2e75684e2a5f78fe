"""The energy balance shell by shell: transfer by the nonlinear term, its flux, dissipation, input, subgrid-scale part.

The balance is that of the resolved solenoidal field: what a network puts beyond the dealiased modes or into a
divergence has no part in it. Products are free of aliasing there, so that the nonlinear term only moves energy from
shell to shell: Σ T(κ) = 0 to rounding.
"""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from eddymark.closures.base import modelled_stress
from eddymark.grid import SpectralSpace
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.resolved import ResolvedVelocity
from eddymark.statistics.averaging import SAMPLES, window_averages
from eddymark.statistics.measure import Window
from eddymark.stepping.large_eddy_simulation import LargeEddySimulation


class EnergyBalance:
    """What changes the energy of each shell.

        dE(κ)/dt = T(κ) − D(κ) + F(κ) + T_sgs(κ) − 2 α E(κ)

    with T(κ) = Σ Re(û* · N̂) over the modes of a shell, N = −P ∂_j (u_i u_j), D(κ) = 2ν Σ ½ k² |û|², the input
    F(κ) = Σ Re(û* · f̂), and T_sgs(κ) = Σ Re(û* · P(−∂_j τ_ij)^) of the stress which an LES has in that state. In 2-D
    the nonlinear term moves the enstrophy, too: T_Z(κ) = Σ k² Re(û* · N̂). A force that holds shells is a constraint,
    whose input a state does not tell.

    Source: Pope (2000), Turbulent Flows, Sec. 6.6; Boffetta & Ecke (2012), Annu. Rev. Fluid Mech. 44, 427 (2-D).

    Arguments:
        solver: the equations of the flow on the grid of the states, in double precision.
        simulation: the LES that made the states, whose model gives T_sgs; None: there is none.
    """

    def __init__(self, solver: NavierStokes, simulation: LargeEddySimulation | None = None) -> None:
        self.solver = solver
        self.simulation = simulation
        self._advection = NavierStokes(
            solver.grid, viscosity=solver.viscosity, dtype=solver.space.dtype, device=solver.space.device
        )
        self._shells = int(SpectralSpace(solver.grid, dealiased=False).shells.max())

    def __call__(self, velocity: Tensor) -> dict[str, Tensor]:
        """Return the terms of the balance of states `(trajectory, time, component, *grid)`.

        Returns:
            `energy_transfer`, `dissipation_spectrum`, in 2-D `enstrophy_transfer`, of an LES `subgrid_transfer`, each
            `(trajectory, time, shell)` from shell 1 to the last one of the grid; with a force that is no constraint
            its `energy_input` `(trajectory, time)`.
        """
        states = velocity.flatten(0, 1)
        space = self.solver.space
        spectrum = space.project(space.to_spectral(states.to(space.dtype)))
        transfer = self._work(spectrum, self._advection.nonlinear(spectrum))
        dissipation = 2 * self.solver.viscosity * space.wavenumber_squared * space.mode_energy(spectrum)
        terms = {"energy_transfer": self._by_shell(transfer), "dissipation_spectrum": self._by_shell(dissipation)}
        if space.grid.dimension == 2:
            terms["enstrophy_transfer"] = self._by_shell(space.wavenumber_squared * transfer)
        if self.simulation is not None:
            terms["subgrid_transfer"] = self._by_shell(self._subgrid(states, spectrum))
        forces = [self.solver.forcing.steady, self.solver.forcing.tendency(spectrum)]
        inputs = [self._work(spectrum, force).flatten(1).sum(dim=1) for force in forces if force is not None]
        if inputs:
            terms["energy_input"] = torch.stack(inputs).sum(dim=0)
        return {name: values.unflatten(0, velocity.shape[:2]) for name, values in terms.items()}

    def _work(self, spectrum: Tensor, force: Tensor) -> Tensor:
        """Return Re(û* · f̂) per mode, mirrored modes counted, `(state, *modes)`."""
        return (spectrum.conj() * force).real.sum(dim=1) * self.solver.space.multiplicity

    def _subgrid(self, states: Tensor, spectrum: Tensor) -> Tensor:
        """Return the work of the modelled stress per mode; the model works in the precision of its rollouts."""
        assert self.simulation is not None
        own = self.simulation.solver
        resolved = ResolvedVelocity(own.space, own.space.to_spectral(states.to(own.space.dtype)))
        force = own.subgrid_force(modelled_stress(self.simulation.closure, resolved))
        return self._work(spectrum, force.to(spectrum.dtype))

    def _by_shell(self, density: Tensor) -> Tensor:
        """Sum over shells, from 1 on; beyond the dealiased modes there is nothing."""
        total = self.solver.space.shell_sum(density)[:, 1:]
        return torch.nn.functional.pad(total, (0, self._shells - total.shape[1]))


def measure_balance(velocity: Tensor, *, balance: EnergyBalance, interval: float, window: Window) -> xr.Dataset:
    """Measure the energy balance of at most `SAMPLES` states of each part of a window.

    Arguments:
        velocity: `(trajectory, time, component, *grid)`, NaN after a failure, the initial state first.
        balance: what is measured of each state.
        interval: time between two states, turnover times.
        window: where it is averaged over time.

    Returns:
        the variables of `EnergyBalance`, `(trajectory, window, shell)` or `(trajectory, window)`, flow units; NaN for
        trajectories which are not finite throughout a part.
    """
    parts = window.slices(interval * np.arange(velocity.shape[1], dtype=np.float64))
    with torch.no_grad():
        averages = window_averages(velocity, parts, [balance] * len(parts), most=SAMPLES)
    return xr.Dataset(
        {name: (("trajectory", "window", "shell")[: values.ndim], values) for name, values in averages.items()}
    )
