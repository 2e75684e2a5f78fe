"""Distances between an output and the DNS, each a scalar that is averaged over the batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from eddymark.config.training import Objective
from eddymark.grid import SpectralSpace
from eddymark.solvers.norms import sobolev_square

FAINTEST = 1e-14
"""Energies of a band below this share of the whole are rounding errors of float32: no error is measured by less."""


def output_loss(output: Tensor, target: Tensor, *, objective: Objective, space: SpectralSpace | None) -> Tensor:
    """Return the weighted sum of the distances which an objective names.

    Arguments:
        output, target: velocity, `(batch, component, *grid)`.
        objective: the weights.
        space: spectral space of the grid; needed by all distances but the relative L2 error.
    """
    terms = []
    if objective.error_weight > 0:
        terms.append(_weighted(objective.error_weight, relative_error(output, target)))
    if space is not None and objective.shell_energy_weight > 0:
        terms.append(objective.shell_energy_weight * shell_energy_error(output, target, space=space))
    if space is not None and objective.sobolev_weight > 0:
        error = sobolev_error(output, target, order=objective.sobolev_order, space=space)
        terms.append(objective.sobolev_weight * error)
    if space is not None and objective.band_weight > 0:
        terms.append(objective.band_weight * band_error(output, target, bands=objective.bands, space=space))
    loss = terms[0]
    for term in terms[1:]:
        loss = loss + term
    return loss


def _weighted(weight: float, value: Tensor) -> Tensor:
    return value if weight == 1 else weight * value


def relative_error(output: Tensor, target: Tensor) -> Tensor:
    """Return the relative L2 error ‖u − v‖ / ‖v‖.

    Arguments:
        output, target: velocity u and v, `(batch, component, *grid)`.
    """
    error = torch.linalg.vector_norm((output - target).flatten(1), dim=1)
    return (error / torch.linalg.vector_norm(target.flatten(1), dim=1)).mean()


def sobolev_error(output: Tensor, target: Tensor, *, order: float, space: SpectralSpace) -> Tensor:
    """Return the relative error in the Sobolev norm of order s, ‖u‖² = Σ_k (1 + |k / κ₀|²)^s |û_k|².

    Arguments:
        output, target: velocity, `(batch, component, *grid)`.
        order: s; 0 is the L2 error of the resolved modes, 1 weighs gradients as well, below 0 the large scales.
        space: spectral space of the grid; κ₀ is its lowest wavenumber.

    Source: Li et al. (2022), Learning dissipative dynamics in chaotic systems, NeurIPS 35, section 3.2.
    """
    norms = [
        _root(sobolev_square(space.to_spectral(field), order=order, space=space)) for field in (output - target, target)
    ]
    return (norms[0] / norms[1]).mean()


def band_error(output: Tensor, target: Tensor, *, bands: Sequence[int] | None, space: SpectralSpace) -> Tensor:
    """Return the relative L2 error of each band of wavenumbers, averaged over the bands.

        mean over bands b of ( Σ_{κ in b} E_{u−v}(κ) / Σ_{κ in b} E_v(κ) )^½

    Arguments:
        output, target: velocity, `(batch, component, *grid)`.
        bands: first shell of each band, increasing, the last one reaching to k_c; None: every shell 1 … k_c is one.
        space: spectral space of the grid.
    """
    highest = space.grid.resolved_shells
    starts = torch.tensor(bands or range(1, highest + 1), device=space.device)
    shells = torch.arange(int(space.shells.max()) + 1, device=space.device)
    index = torch.bucketize(shells, starts, right=True) - 1
    inside = (index >= 0) & (shells <= highest)
    energies = [space.energy_spectrum(space.to_spectral(field))[:, inside] for field in (output - target, target)]
    wrong, whole = (e.new_zeros(len(e), len(starts)).index_add(1, index[inside], e) for e in energies)
    faintest = FAINTEST * whole.sum(dim=1, keepdim=True)
    return (_root(wrong) / _root(torch.maximum(whole, faintest))).mean()


def shell_energy_error(output: Tensor, target: Tensor, *, space: SpectralSpace) -> Tensor:
    """Return the mean squared difference of the natural logarithms of the energies of shells 1 … k_c.

    Arguments:
        output, target: velocity, `(batch, component, *grid)`.
        space: spectral space of the grid.
    """
    shells = slice(1, space.grid.resolved_shells + 1)
    tiny = torch.finfo(output.dtype).tiny
    logarithms = [
        space.energy_spectrum(space.to_spectral(velocity))[:, shells].clamp_min(tiny).log()
        for velocity in (output, target)
    ]
    return (logarithms[0] - logarithms[1]).square().mean()


def _root(value: Tensor) -> Tensor:
    """Return the square root, whose gradient stays finite where nothing is left."""
    return value.clamp_min(torch.finfo(value.dtype).tiny).sqrt()
