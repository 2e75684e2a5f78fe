"""Physical cases: initial states, symmetries and the statistics that matter for each."""

FLOWS: dict[str, str] = {
    "decaying_isotropic": "eddymark.flows.decaying_isotropic.DecayingIsotropic",
    "forced_isotropic": "eddymark.flows.forced_isotropic.ForcedIsotropic",
    "kolmogorov": "eddymark.flows.kolmogorov.Kolmogorov",
    "mcwilliams": "eddymark.flows.mcwilliams.McWilliams",
    "mixing_layer": "eddymark.flows.mixing_layer.MixingLayer",
}
