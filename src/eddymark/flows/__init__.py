"""Physical cases: initial states, symmetries and the statistics that matter for each."""

FLOWS: dict[str, str] = {
    "forced_isotropic": "eddymark.flows.forced_isotropic.ForcedIsotropic",
    "kolmogorov": "eddymark.flows.kolmogorov.Kolmogorov",
}
