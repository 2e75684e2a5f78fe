"""Steppers that know nothing: what a score says about them, it says about no model.

Every comparison shows them. A statistic which they pass cannot prove a model good.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from eddymark.grid import SpectralSpace
from eddymark.stepping.constraints import Constraints
from eddymark.stepping.known_physics import KnownPhysics


class Persistence:
    """The state never changes.

    Arguments:
        interval: time between outputs, flow units.
    """

    history = 1

    def __init__(self, interval: float) -> None:
        self.interval = interval

    def __call__(self, past: Tensor) -> Tensor:
        """Return the last output."""
        return past[:, -1]


class MatchedNoise:
    """Solenoidal noise with the DNS' energy spectrum and random phases, drawn anew for every output.

    Arguments:
        spectra: E(κ) per shell of each output, `(output, shell)`, shell 0 first; the last one stands for all later
            outputs.
        space: dealiased spectral space.
        interval: time between outputs, flow units.
        random: stream of the noise.
    """

    history = 1

    def __init__(self, *, spectra: Tensor, space: SpectralSpace, interval: float, random: np.random.Generator) -> None:
        self.asked_output = 0
        self.spectra = spectra
        self.space = space
        self.interval = interval
        self.random = random

    def __call__(self, past: Tensor) -> Tensor:
        """Return noise of the shape of one output."""
        space = self.space
        noise = space.to_spectral(solenoidal_noise(space, past[:, -1], self.random))
        present = space.energy_spectrum(noise)
        target = self.spectra[min(self.asked_output, len(self.spectra) - 1), : present.shape[-1]]
        factor = torch.sqrt(target / present.clamp_min(torch.finfo(present.dtype).tiny))
        shaped = noise * factor[:, space.shells].unsqueeze(1)
        return space.to_physical(shaped)


class ConstrainedNoise:
    """Solenoidal noise in the place of the network's increment, pushed through the same known physics and constraints.

    Arguments:
        known_physics: what a surrogate's output passes through.
        amplitudes: rms of the increments that a network has to learn, for each output from 1 on; the last one stands
            for all later outputs.
        interval: time between outputs, flow units.
        random: stream of the noise.
        constraints: what acts after the known physics and comes from reference data, if anything does.
    """

    history = 1

    def __init__(
        self,
        known_physics: KnownPhysics,
        *,
        amplitudes: Sequence[float],
        interval: float,
        random: np.random.Generator,
        constraints: Constraints | None = None,
    ) -> None:
        self.asked_output = 0
        self.constraints = constraints
        self.known_physics = known_physics
        self.amplitudes = amplitudes
        self.interval = interval
        self.random = random

    @property
    def constrains(self) -> bool:
        """Whether the known physics rescales held shells."""
        return self.known_physics.constrains

    def __call__(self, past: Tensor) -> Tensor:
        """Return the next output."""
        noise = solenoidal_noise(self.known_physics.space, past[:, -1], self.random)
        amplitude = self.amplitudes[min(max(self.asked_output - 1, 0), len(self.amplitudes) - 1)]
        made = self.known_physics(past[:, -1], amplitude * noise)
        return made if self.constraints is None else self.constraints(made)


def solenoidal_noise(space: SpectralSpace, like: Tensor, random: np.random.Generator) -> Tensor:
    """Return noise that is white within the space and solenoidal, with unit rms.

    Arguments:
        space: dealiased spectral space; modes beyond it would be lost on the way and the noise weaker than it says.
        like: field `(..., d, *grid)` whose shape, precision and device the noise gets.
        random: stream of the noise.
    """
    white = torch.as_tensor(random.standard_normal(tuple(like.shape))).to(like)
    noise = space.to_physical(space.project(space.to_spectral(white)))
    return noise / noise.square().mean().sqrt()
