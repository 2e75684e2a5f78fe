"""What the configuration and the report have to know of each type of flow."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FlowType:
    """Facts about a type of flow.

    Arguments:
        dimension: number of space dimensions.
        forcings: possible kinds of forcing.
        spectra: possible spectra of the initial state.
        isotropic: whether the box is a square or cube with equal numbers of points.
        mean_flow: whether the initial state has one, with a velocity difference and a momentum thickness.
        transient: whether the flow evolves from its initial state instead of being statistically steady. Then every
            trajectory is a run of its own, and all statistics are compared with those of the DNS at the same time.
        clock: what `turnover_time`, the unit of all times, is.
    """

    dimension: int
    forcings: tuple[str, ...]
    spectra: tuple[str, ...] = ("gaussian",)
    isotropic: bool = False
    mean_flow: bool = False
    transient: bool = False
    clock: str = "turnover time"


FLOW_TYPES: dict[str, FlowType] = {
    "forced_isotropic": FlowType(3, ("held_shells", "constant_power"), isotropic=True),
    "kolmogorov": FlowType(2, ("sinusoidal",)),
    "decaying_isotropic": FlowType(
        3,
        ("none",),
        spectra=("gaussian", "comte_bellot_corrsin"),
        isotropic=True,
        transient=True,
        clock="initial turnover time",
    ),
    "mcwilliams": FlowType(
        2, ("none",), spectra=("mcwilliams",), isotropic=True, transient=True, clock="initial turnover time"
    ),
    "mixing_layer": FlowType(3, ("none",), mean_flow=True, transient=True, clock="shear time"),
}
"""Facts by the types that `eddymark.flows.FLOWS` registers."""
