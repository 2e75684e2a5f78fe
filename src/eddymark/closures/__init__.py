"""Subgrid-scale models of large-eddy simulation, one file each."""

CLOSURES: dict[str, str] = {
    "none": "eddymark.closures.base.NoClosure",
    "smagorinsky": "eddymark.closures.smagorinsky.Smagorinsky",
    "dynamic_smagorinsky": "eddymark.closures.dynamic_smagorinsky.DynamicSmagorinsky",
    "dynamic_mixed": "eddymark.closures.dynamic_mixed.DynamicMixed",
    "gradient": "eddymark.closures.gradient.Gradient",
    "clipped_gradient": "eddymark.closures.gradient.ClippedGradient",
    "wale": "eddymark.closures.wale.Wale",
    "vreman": "eddymark.closures.vreman.Vreman",
    "sigma": "eddymark.closures.sigma.Sigma",
    "spectral_eddy_viscosity": "eddymark.closures.spectral_eddy_viscosity.SpectralEddyViscosity",
    "approximate_deconvolution": "eddymark.closures.approximate_deconvolution.ApproximateDeconvolution",
    "leith": "eddymark.closures.leith.Leith",
    "fitted_spectral_viscosity": "eddymark.closures.fitted_spectral_viscosity.FittedSpectralViscosity",
    "learned": "eddymark.closures.learned.LearnedClosure",
}
