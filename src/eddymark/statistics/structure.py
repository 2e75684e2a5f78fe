"""Moments of gradients: they see the organisation of a flow that spectra are blind to.

A random field with the exact energy spectrum of a turbulent flow has derivative skewness 0, palinstrophy
production 0 and vorticity flatness 3. Moments are kept per state, so that ratios are formed from averages
over trajectories (and over bootstrap samples), never averaged themselves.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddymark.grid import SpectralSpace

Array = NDArray[np.float64]


def longitudinal_derivative_moments(spectrum: Tensor, *, space: SpectralSpace) -> dict[str, Tensor]:
    """Return the moments ⟨(∂_i u_i)²⟩ and ⟨(∂_i u_i)³⟩ (no sum over i), averaged over the axes.

    Triple products of dealiased fields have no aliasing in their mean, so that the values on the coarse grid
    are those of the continuous fields.

    Arguments:
        spectrum: velocity spectrum, `(..., component, *modes)`.
        space: spectral space of the grid.

    Returns:
        `derivative_square` and `derivative_cube`, each `(...,)`.
    """
    dimension = space.grid.dimension
    components = spectrum.unbind(-dimension - 1)
    derivatives = torch.stack([space.derivative(u, axis) for axis, u in enumerate(components)], -dimension - 1)
    values = space.to_physical(derivatives).flatten(-dimension - 1)
    return {"derivative_square": values.pow(2).mean(-1), "derivative_cube": values.pow(3).mean(-1)}


def vorticity_moments(spectrum: Tensor, *, space: SpectralSpace) -> dict[str, Tensor]:
    """Return the moments ⟨ω²⟩ and ⟨ω⁴⟩ of a vorticity component, averaged over the components.

    Arguments and shapes as for `longitudinal_derivative_moments`.

    Returns:
        `vorticity_square` and `vorticity_fourth`, each `(...,)`.
    """
    values = space.to_physical(space.vorticity(spectrum)).flatten(-space.grid.dimension - 1)
    return {"vorticity_square": values.pow(2).mean(-1), "vorticity_fourth": values.pow(4).mean(-1)}


def palinstrophy_moments(spectrum: Tensor, *, space: SpectralSpace) -> dict[str, Tensor]:
    """Return ⟨|∇ω|²⟩ and its production by straining, −⟨∂_i ω s_ij ∂_j ω⟩, of 2-D flow.

    s_ij = ½(∂_i u_j + ∂_j u_i). In 2-D, d/dt ½⟨|∇ω|²⟩ = −⟨∂_i ω s_ij ∂_j ω⟩ + viscous and forcing terms.
    Arguments and shapes as for `longitudinal_derivative_moments`.

    Returns:
        `vorticity_gradient_square` and `vorticity_gradient_production`, each `(...,)`.
    """
    if space.grid.dimension != 2:
        raise ValueError("palinstrophy production is defined for 2-D flow")
    u, v = spectrum.unbind(-3)
    vorticity = space.vorticity(spectrum).squeeze(-3)
    gradient = [space.to_physical(space.derivative(vorticity, axis)) for axis in (0, 1)]
    strain_xx = space.to_physical(space.derivative(u, 0))
    strain_yy = space.to_physical(space.derivative(v, 1))
    strain_xy = 0.5 * space.to_physical(space.derivative(u, 1) + space.derivative(v, 0))
    stretching = (
        gradient[0].square() * strain_xx + 2 * gradient[0] * gradient[1] * strain_xy + gradient[1].square() * strain_yy
    )
    return {
        "vorticity_gradient_square": (gradient[0].square() + gradient[1].square()).mean((-2, -1)),
        "vorticity_gradient_production": -stretching.mean((-2, -1)),
    }


def derivative_skewness(*, derivative_square: Array, derivative_cube: Array) -> Array:
    """Return the skewness of the longitudinal velocity derivative, S = ⟨(∂_i u_i)³⟩ / ⟨(∂_i u_i)²⟩^{3/2}.

    Negative in turbulence: vortex stretching and the energy cascade (Batchelor and Townsend, Proc. R. Soc. A
    190, 534, 1947).
    """
    return _quotient(derivative_cube, derivative_square**1.5)


def palinstrophy_production(
    *, vorticity_gradient_production: Array, vorticity_gradient_square: Array, vorticity_square: Array
) -> Array:
    """Return the normalised production of palinstrophy, −⟨∂_i ω s_ij ∂_j ω⟩ / (⟨|∇ω|²⟩ ω_rms).

    The 2-D counterpart of the derivative skewness: positive where the enstrophy cascades to small scales.
    """
    return _quotient(vorticity_gradient_production, vorticity_gradient_square * vorticity_square**0.5)


def vorticity_flatness(*, vorticity_square: Array, vorticity_fourth: Array) -> Array:
    """Return the flatness of the vorticity, ⟨ω⁴⟩ / ⟨ω²⟩²: 3 for a Gaussian field, more where vortices stand
    out."""
    return _quotient(vorticity_fourth, vorticity_square**2)


def _quotient(numerator: Array, denominator: Array) -> Array:
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    result: Array = np.full(numerator.shape, np.nan)
    return np.divide(numerator, denominator, out=result, where=denominator != 0)
