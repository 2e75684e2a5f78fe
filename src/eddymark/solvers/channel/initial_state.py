"""An initial state between walls from which turbulence develops by itself."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from eddymark.randomness import generator
from eddymark.solvers.channel.flow import ChannelFlow


def friction_velocity(*, bulk_velocity: float, half_height: float, viscosity: float) -> float:
    """Return u_τ of turbulent flow in a wide channel, from C_f = 2 u_τ² / U_b² = 0.073 (2h U_b / ν)^(−¼).

    Source: Dean (1978), J. Fluids Eng. 100, 215.
    """
    reynolds_number = 2 * half_height * bulk_velocity / viscosity
    return bulk_velocity * math.sqrt(0.073 * reynolds_number**-0.25 / 2)


def turbulent_start(
    flow: ChannelFlow, *, bulk_velocity: float, seed: int, batch: int = 1, perturbation: float = 0.15
) -> Tensor:
    """Return amplitudes `(batch, 2, *modes)` of a blunt mean flow with large random eddies on it.

        U = U_b (1 + 1/n) (1 − |y/h − 1|ⁿ)

    with the even n whose wall shear (n + 1) ν U_b / h comes closest to that of the turbulent flow. The eddies are
    random Stokes modes with energies ∝ exp(−λ h² / 100): rolls that lift streaks, and waves along them on which these
    break down.

    Arguments:
        flow: the equations.
        bulk_velocity: U_b.
        seed: of the eddies; each trajectory has its own.
        batch: number of trajectories.
        perturbation: rms velocity of the eddies over U_b.

    Raises:
        ValueError: if the bulk velocity is not positive or the perturbation is negative.
    """
    if not bulk_velocity > 0 or not perturbation >= 0:
        found = f"{bulk_velocity} and {perturbation}"
        raise ValueError(f"expected a positive bulk velocity and a perturbation of at least 0, found {found}")
    h, space = flow.grid.half_height, flow.space
    friction = friction_velocity(bulk_velocity=bulk_velocity, half_height=h, viscosity=flow.viscosity)
    wanted = friction**2 * h / (bulk_velocity * flow.viscosity) - 1
    exponent = min(max(2, 2 * round(wanted / 2)), flow.grid.degree - 1)
    profile = 1 - np.abs(flow.grid.coordinates()[1] / h - 1) ** exponent
    mean = torch.zeros((1, 3, *flow.grid.points), dtype=space.dtype, device=space.device)
    mean[:, 0] = space.tensor(bulk_velocity * (1 + 1 / exponent) * profile)[:, None]

    shape = (2, *flow.modes.modes, 2)
    drawn = [generator(seed, "channel", "initial state", number).standard_normal(shape) for number in range(batch)]
    eddies = torch.view_as_complex(space.tensor(np.stack(drawn)))
    eddies = eddies * torch.exp(-flow.modes.damping * (h**2 / 200))
    eddies[:, :, 0, :, 0] = 0
    eddies = flow.to_spectral(flow.to_physical(eddies))  # as real fields have them
    scale = perturbation * bulk_velocity / (2 * flow.kinetic_energy(eddies)).sqrt()
    return flow.to_spectral(mean) + scale[:, None, None, None, None] * eddies
