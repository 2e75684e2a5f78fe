"""Scores of statistics for experts: in scores.csv and in captions of figures, in no column of the comparison."""

from __future__ import annotations

from eddymark.report.standings import Score

STRUCTURE_FUNCTIONS = Score("structure_function_error", "structure function error", "decades")
INCREMENT_SKEWNESS = Score("increment_skewness_error", "error of the increments' skewness", "")
ENERGY_FLUX = Score("energy_flux_error", "energy flux error", "")
ENSTROPHY_FLUX = Score("enstrophy_flux_error", "enstrophy flux error", "")
GRADIENT_FLATNESS = Score("gradient_flatness_error", "error of the gradient's flatness", "")
INVARIANTS = Score("invariant_distance", "distance of the density of Q and R", "")
INTEGRAL_LENGTH = Score("integral_length_error", "integral length error", "")
INTEGRAL_TIME = Score("integral_time_error", "integral time error", "")
ANISOTROPY = Score("anisotropy_error", "anisotropy error", "")
INCREMENT_PDFS = Score("increment_densities_distance", "distance of the increments' PDFs", "")
