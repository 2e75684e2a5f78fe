"""What every flow offers: its equations, initial states, symmetries and scales."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eddymark.config.schema import Flow as FlowConfiguration
from eddymark.filters import transfer_function
from eddymark.grid import Grid, SpectralSpace
from eddymark.solvers.periodic import NavierStokes


def flow_attributes(flow: FlowConfiguration) -> dict[str, Any]:
    """Return what describes a flow's filtered fields wherever they come from, in flow units."""
    return {
        "filter": flow.large_eddy_grid.filter.type,
        "viscosity": flow.viscosity,
        "linear_drag": flow.linear_drag,
        "forcing": flow.forcing.model_dump_json(exclude_none=True),
        "reference_length": flow.reference.length,
        "reference_velocity": flow.reference.velocity,
        "interval": flow.interval,
        "nominal_turnover_time": flow.turnover_time,
    }


@dataclass(frozen=True)
class Scales:
    """Scales of a turbulent state (flow units, averaged over the batch).

    Arguments:
        energy: kinetic energy per unit mass E.
        root_mean_square_velocity: u' = (2 E / d)^½.
        integral_length: L = π / (2 u'²) Σ_κ E(κ) / κ.
        turnover_time: L / u'.
        dissipation: ε = ν ⟨ω²⟩.
        taylor_reynolds_number: u' λ / ν with λ = u' (15 / ⟨ω²⟩)^½ in 3-D and u' (8 / ⟨ω²⟩)^½ in 2-D (isotropy).
        resolution: k_max η with Kolmogorov's η = (ν³ / ε)^¼ in 3-D and (ν³ / χ)^⅙, χ = ν ⟨|∇ω|²⟩, in 2-D.

    Source: Pope, Turbulent Flows (2000), Sec. 6.5; Boffetta & Ecke (2012), Annu. Rev. Fluid Mech. 44, 427 (2-D).
    """

    energy: float
    root_mean_square_velocity: float
    integral_length: float
    turnover_time: float
    dissipation: float
    taylor_reynolds_number: float
    resolution: float


def turbulence_scales(space: SpectralSpace, spectrum: Tensor, *, viscosity: float) -> Scales:
    """Return the scales of a batch of states `(batch, d, *modes)`."""
    grid = space.grid
    dimension = grid.dimension
    shells = space.energy_spectrum(spectrum).double().mean(dim=0)
    wavenumber = torch.arange(len(shells), device=shells.device) * grid.lowest_wavenumber
    energy = float(shells.sum())
    rms = math.sqrt(2 * energy / dimension)
    length = math.pi / (2 * rms**2) * float((shells[1:] / wavenumber[1:]).sum())
    mode_energy = space.mode_energy(spectrum).double().mean(dim=0)
    squared = space.wavenumber_squared.double()
    vorticity_square = 2 * float((squared * mode_energy).sum())
    cutoff = grid.resolved_shells * grid.lowest_wavenumber
    if dimension == 3:
        kolmogorov = (viscosity**2 / vorticity_square) ** 0.25
    else:
        kolmogorov = (viscosity**2 / (2 * float((squared**2 * mode_energy).sum()))) ** (1 / 6)
    taylor = rms * math.sqrt((15 if dimension == 3 else 8) / vorticity_square)
    return Scales(
        energy=energy,
        root_mean_square_velocity=rms,
        integral_length=length,
        turnover_time=length / rms,
        dissipation=viscosity * vorticity_square,
        taylor_reynolds_number=rms * taylor / viscosity,
        resolution=cutoff * kolmogorov,
    )


class Flow(ABC):
    """One physical case.

    Arguments:
        configuration: the flow's section of the experiment.
    """

    def __init__(self, configuration: FlowConfiguration) -> None:
        self.configuration = configuration
        self.coarse_grid = Grid(points=configuration.large_eddy_grid.points, sides=configuration.sides)

    @property
    def fine_grid(self) -> Grid:
        """The grid of the DNS; a flow with a source has none."""
        simulation = self.configuration.direct_numerical_simulation
        assert simulation is not None
        return self.coarse_grid.coarsened(simulation.points)

    def solver(self, grid: Grid, *, dtype: torch.dtype, device: torch.device | str = "cpu") -> NavierStokes:
        """Return the flow's equations on a grid; on LES grids a sinusoidal force is filtered like the flow."""
        forcing = self.configuration.forcing
        is_filtered = grid.points in (self.coarse_grid.points, *self.configuration.alternative_grids)
        if is_filtered and forcing.wavenumber is not None and forcing.amplitude is not None:
            space = SpectralSpace(grid)
            transfer = transfer_function(space, self.configuration.large_eddy_grid.filter)
            factor = float(transfer[(0, forcing.wavenumber) + (0,) * (grid.dimension - 2)])
            forcing = forcing.model_copy(update={"amplitude": factor * forcing.amplitude})
        return NavierStokes(
            grid,
            viscosity=self.configuration.viscosity,
            linear_drag=self.configuration.linear_drag,
            forcing=forcing,
            dtype=dtype,
            device=device,
        )

    def scales(self, space: SpectralSpace, spectrum: Tensor) -> Scales:
        """Return the scales of a batch of states `(batch, d, *modes)`; `turnover_time` is what the flow's clock is."""
        return turbulence_scales(space, spectrum, viscosity=self.configuration.viscosity)

    def initial_spectrum(self, space: SpectralSpace, random: np.random.Generator) -> Tensor:
        """Return a random solenoidal state, `(d, *modes)`, whose shells have the energies of `initial_energies`."""
        return random_solenoidal_state(space, self.initial_energies(space), random)

    def initial_energies(self, space: SpectralSpace) -> Tensor:
        """Return the energy of each shell of the initial state, `(shell,)`: E(k) ∝ k⁴ exp(−2 (k / k_p)²).

        Source: `eddymark.initial_spectra.gaussian`.
        """
        state = self.configuration.initial_state
        assert state is not None
        assert state.energy is not None
        assert state.peak_wavenumber is not None
        k = torch.arange(int(space.shells.max()) + 1, dtype=space.dtype, device=space.device)
        target = k**4 * torch.exp(-2 * (k / state.peak_wavenumber) ** 2)
        return state.energy * target / target.sum()

    def static_fields(self, space: SpectralSpace) -> Tensor:
        """Return what an operator must see besides the state, `(channel, *grid)`: the steady force, scaled to unit rms.

        A steady force breaks the invariance under translation; without it a translation-equivariant operator could not
        know where it is.
        """
        steady = self.solver(space.grid, dtype=space.dtype, device=space.device).forcing.steady
        if steady is None:
            return torch.zeros((0, *space.grid.points), dtype=space.dtype, device=space.device)
        force = space.to_physical(steady)
        present = force.flatten(1).abs().amax(dim=1) > 0
        return force[present] / force[present].square().mean().sqrt()

    @abstractmethod
    def transform(self, window: Tensor, random: np.random.Generator, *, shifts: bool, symmetries: bool) -> Tensor:
        """Return a window `(..., d, *grid)` under a random transformation that leaves the equations unchanged."""


def random_solenoidal_state(space: SpectralSpace, energies: Tensor, random: np.random.Generator) -> Tensor:
    """Return a random solenoidal state, `(d, *modes)`, whose shells have exactly the given energies.

    The phases are those of white noise in physical space.

    Arguments:
        space: spectral space.
        energies: kinetic energy of each shell, `(shell,)`.
        random: stream of the noise.
    """
    grid = space.grid
    noise = torch.as_tensor(random.standard_normal((grid.dimension, *grid.points)))
    spectrum = space.project(space.to_spectral(noise.to(space.dtype).to(space.device)))
    present = space.energy_spectrum(spectrum)
    factor = torch.sqrt(energies / present.clamp_min(torch.finfo(space.dtype).tiny))
    return spectrum * factor[space.shells]


def isotropic_transformation(
    window: Tensor, random: np.random.Generator, *, dimension: int, shifts: bool, symmetries: bool
) -> Tensor:
    """Return a window `(..., d, *grid)` under a random translation and a random symmetry of the square or cube."""
    if symmetries:
        order = [int(axis) for axis in random.permutation(dimension)]
        leading = list(range(window.ndim - dimension))
        window = window.permute(*leading, *[window.ndim - dimension + axis for axis in order])
        window = window.index_select(-dimension - 1, torch.tensor(order, device=window.device))
        for axis in range(dimension):
            if random.integers(2):
                window = reflect(window, axis, dimension)
    if shifts:
        axes = tuple(range(-dimension, 0))
        window = window.roll([int(random.integers(window.shape[axis])) for axis in axes], axes)
    return window


def reflect(window: Tensor, axis: int, dimension: int) -> Tensor:
    """Return the field mirrored at the origin of one axis: x_axis → −x_axis, u_axis → −u_axis, exactly on the grid.

    Arguments:
        window: `(..., d, *grid)`.
        axis: 0 … d − 1.
        dimension: d.
    """
    position = axis - dimension
    mirrored = window.flip(position).roll(1, position)
    signs = torch.ones(dimension, dtype=window.dtype, device=window.device)
    signs[axis] = -1
    return mirrored * signs.reshape(-1, *(1,) * dimension)
