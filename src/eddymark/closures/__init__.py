"""Subgrid-scale models of large-eddy simulation, one file each."""

CLOSURES: dict[str, str] = {
    "none": "eddymark.closures.base.NoClosure",
    "smagorinsky": "eddymark.closures.smagorinsky.Smagorinsky",
    "dynamic_smagorinsky": "eddymark.closures.dynamic_smagorinsky.DynamicSmagorinsky",
    "fitted_spectral_viscosity": "eddymark.closures.fitted_spectral_viscosity.FittedSpectralViscosity",
}
