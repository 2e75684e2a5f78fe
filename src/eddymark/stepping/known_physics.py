"""The parts of the physics that need no learning, applied exactly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from eddymark.config.fields import KNOWN_PARTS, KnownPart
from eddymark.grid import SpectralSpace
from eddymark.solvers.periodic import NavierStokes

_LEAST_VARIANCE = 1e-3
"""Of a component over the mean of all: some component has to take up a divergence along every axis."""


class KnownPhysics:
    """Advances the linear and the forced part of the equations exactly over one output interval.

        û(t + T) = M C P [ exp(L T) û(t) + (exp(L T) − 1) / L · f̂ + N̂ ],    L = −ν k² − α

    f is the steady force, N the increment that a network supplies for everything else, P the projection onto
    solenoidal fields, C restores the shell energies which the flow's forcing holds (identity for other forces), and M
    sets the mean flow, the mode k = 0, to what the equations make of it: exp(−α T) û₀(t), with the mean of f.
    Nothing here comes from reference data: it is the flow's definition. Whatever the parts, the modes beyond the 2/3
    rule are dropped.

    P and M are linear conservation laws, of mass and momentum. What they make of an output is the most probable field
    that obeys them if the errors of all its modes are independent and have equal variances, or those which are given
    for the components in each shell: u − Σ Gᵀ (G Σ Gᵀ)⁻¹ (G u − b) for the laws G u = b. (Energy is not linear in the
    state; C restores it where the flow's force holds it.)

    Arguments:
        solver: the flow's equations on the grid of the states.
        interval: T, flow units.
        parts: `viscosity` (L ≠ 0, with the drag), `forcing` (f and C), `incompressibility` (P), `momentum` (M).

    Source: laws and variances: Hansen, Maddix, Alizadeh, Gupta & Mahoney (2023), Learning Physical Models that Can
    Respect Conservation Laws, ICML (ProbConserv; there variances are predicted and laws may have noise).
    """

    def __init__(self, solver: NavierStokes, interval: float, parts: Iterable[KnownPart] = KNOWN_PARTS) -> None:
        self.solver = solver
        self.space = solver.space
        self.interval = interval
        self.parts = frozenset(parts)
        exact = solver.linear_rate()
        rate = exact if "viscosity" in self.parts else torch.zeros_like(exact)
        self._decay = torch.exp(rate * interval) if "viscosity" in self.parts else None
        steady = solver.forcing.steady
        forced = "forcing" in self.parts and steady is not None
        self._forced = _impulse(steady, rate, interval) if forced and steady is not None else None
        self._mean_decay = torch.exp(exact.flatten()[0] * interval)
        self._mean_impulse = 0.0 if steady is None else _impulse(steady, exact, interval).flatten(1)[:, 0]

    def over(self, intervals: int) -> KnownPhysics:
        """Return the same physics over several output intervals at once."""
        return KnownPhysics(self.solver, intervals * self.interval, self.parts)

    @property
    def constrains(self) -> bool:
        """Whether held shells are rescaled."""
        return "forcing" in self.parts and self.solver.forcing.constrains

    def free(self, velocity: Tensor) -> Tensor:
        """Return the spectrum that decay and steady force alone make of a state, `(batch, d, *modes)`."""
        spectrum = self.space.to_spectral(velocity)
        if self._decay is not None:
            spectrum = self._decay * spectrum
        return spectrum if self._forced is None else spectrum + self._forced

    def __call__(self, velocity: Tensor, increment: Tensor, variances: Tensor | None = None) -> Tensor:
        """Return the state one interval later.

        Arguments:
            velocity: u(t), `(batch, d, *grid)`.
            increment: what the network adds, same shape.
            variances: of the errors of each component in each shell, `(d, shell)`, up to a factor; None: equal ones.
        """
        return self._constrained(velocity, self.free(velocity) + self.space.to_spectral(increment), variances)

    def constrain(self, velocity: Tensor, following: Tensor, variances: Tensor | None = None) -> Tensor:
        """Return a state one interval later with the parts which act on it: P, C and M.

        Arguments:
            velocity: u(t), `(batch, d, *grid)`.
            following: what the network takes for u(t + T), same shape.
            variances: as above.
        """
        return self._constrained(velocity, self.space.to_spectral(following), variances)

    def _constrained(self, velocity: Tensor, spectrum: Tensor, variances: Tensor | None) -> Tensor:
        if "incompressibility" in self.parts:
            spectrum = solenoidal(self.space, spectrum, variances)
        if "forcing" in self.parts:
            spectrum = self.solver.forcing.constrain(spectrum)
        if "momentum" in self.parts:
            mean = self._mean_decay * velocity.mean(dim=self.space.axes) + self._mean_impulse
            flat = spectrum.flatten(-self.space.grid.dimension).clone()
            flat[..., 0] = mean
            spectrum = flat.unflatten(-1, self.space.modes)
        return self.space.to_physical(spectrum)


def solenoidal(space: SpectralSpace, spectrum: Tensor, variances: Tensor | None) -> Tensor:
    """Return the most probable solenoidal field if components have independent errors with given variances.

        û − Σ k (k·û) / (k·Σ k),    Σ = diag(σ_i²)

    With equal variances that is the orthogonal projection. The mean flow is left as it is.

    Arguments:
        space: spectral space.
        spectrum: û, `(batch, d, *modes)`.
        variances: σ_i² in each shell, `(d, shell)`, above zero, up to a factor; None: equal ones.

    Source: as of `KnownPhysics`, for each mode by itself.
    """
    if variances is None:
        return space.project(spectrum)
    k = space.wavenumbers
    weighted = variances[:, space.shells] * k
    size = (weighted * k).sum(dim=0)
    pressure = (k * spectrum).sum(dim=1, keepdim=True) / torch.where(size > 0, size, 1)
    return spectrum - weighted * pressure


def shell_variances(space: SpectralSpace, fields: Tensor) -> Tensor:
    """Return mean squares of components in shells over the mean of all components, `(d, shell)`, at least a thousandth.

    In a shell with nothing but rounding errors, they are one.

    Arguments:
        space: spectral space.
        fields: `(n, d, *grid)`.
    """
    spectrum = space.to_spectral(fields)
    power = space.multiplicity * (spectrum.real**2 + spectrum.imag**2)
    square = space.shell_sum(power.mean(dim=0))
    mean = square.mean(dim=0)
    present = mean > (10 * torch.finfo(mean.dtype).eps) ** 2 * mean.max()
    return torch.where(present, square / torch.where(present, mean, 1), 1).clamp_min(_LEAST_VARIANCE)


def _impulse(steady: Tensor, rate: Tensor, interval: float) -> Tensor:
    """Return what a steady force adds to each mode over an interval, `(d, *modes)`."""
    # expm1(x)/x has the limit 1 where the mode does not decay.
    growth = torch.where(rate == 0, torch.ones_like(rate), torch.expm1(rate * interval) / (rate * interval))
    return interval * growth * steady


def next_state(
    velocity: Tensor,
    learned: Tensor,
    *,
    physics: KnownPhysics | None,
    output: Literal["increment", "direct"],
    variances: Tensor | None = None,
) -> Tensor:
    """Return the state that follows another one, `(batch, d, *grid)`.

    Arguments:
        velocity: u(t), same shape.
        learned: what the network gives, same shape.
        physics: exact part of the step; None: the network has to give everything.
        output: what that is, the increment beside the exact part or the next state.
        variances: see `KnownPhysics.__call__`.
    """
    if output == "direct":
        return learned if physics is None else physics.constrain(velocity, learned, variances)
    return velocity + learned if physics is None else physics(velocity, learned, variances)
