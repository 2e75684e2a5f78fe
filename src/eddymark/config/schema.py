"""Typed description of an experiment: what every key of the YAML files means, its unit and its default.

Times are in turnover times of the flow unless a key says otherwise; everything else is in the flow's own
nondimensional units (its reference length and velocity are named by the flow's `reference`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from eddymark.config.closure import Closure as Closure
from eddymark.config.constraints import Constraint
from eddymark.config.fields import KNOWN_PARTS, KnownPhysics, Length, Model, NonNegative, Positive, PositiveInteger
from eddymark.config.flow_types import FLOW_TYPES
from eddymark.config.refinement import Refinement
from eddymark.config.source import Source
from eddymark.config.training import Augmentation, Objective, Parallel, Schedule

Points = tuple[Annotated[int, Field(ge=8, le=2**16)], ...]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Precision = Literal["float32", "float64"]
Split = Literal["train", "validation", "test"]
Integrator = Literal["runge_kutta_4", "runge_kutta_3"]

WEIGHTS_FILE = "published_weights"
"""Argument of an operator which is a file of weights with which its training starts."""


class Reference(Model):
    """In words: the scales that make the flow nondimensional."""

    length: str
    velocity: str


class Forcing(Model):
    """External force: `none`, `held_shells`, `constant_power` or `sinusoidal`."""

    type: Literal["none", "held_shells", "constant_power", "sinusoidal"] = "none"
    energies: dict[PositiveInteger, Positive] | None = None
    """held_shells: kinetic energy that each shell round(|k|) is set to after every step."""
    power: Positive | None = None
    """constant_power: rate of energy input."""
    shells: tuple[PositiveInteger, ...] | None = None
    """constant_power: shells round(|k|) which receive the power."""
    wavenumber: PositiveInteger | None = None
    """sinusoidal: number of waves along y of the force f_x = amplitude * sin(2 pi * wavenumber * y / side)."""
    amplitude: Positive | None = None
    """sinusoidal: amplitude of the force."""


class MeanFlow(Model):
    """Mean profile U = velocity_difference / 2 * tanh(y / (2 momentum_thickness)) of a shear layer."""

    velocity_difference: Positive
    """Velocity of one stream less that of the other."""
    momentum_thickness: Positive


class InitialState(Model):
    """Random solenoidal field with a given energy spectrum (`eddymark.initial_spectra`), and a mean flow under it."""

    spectrum: Literal["gaussian", "mcwilliams", "comte_bellot_corrsin"] = "gaussian"
    energy: Positive | None = None
    """gaussian and mcwilliams: kinetic energy per unit mass."""
    peak_wavenumber: Positive | None = None
    """gaussian and mcwilliams: where the spectrum is largest."""
    length_unit: Positive | None = None
    """comte_bellot_corrsin: centimetres in a unit of length of the flow."""
    velocity_unit: Positive | None = None
    """comte_bellot_corrsin: centimetres per second in a unit of velocity of the flow."""
    mean_flow: MeanFlow | None = None
    """mixing_layer: what is perturbed by the random field, whose energy is then that at the centres of the layers."""


class DirectNumericalSimulation(Model):
    """Grid and time stepping of the DNS."""

    points: Points
    integrator: Integrator = "runge_kutta_4"
    courant_number: Positive = 2.0
    """Largest dt * max(sum_i |u_i| k_i,max); RK4 is stable up to 2.8, RK3 up to 1.7."""
    precision: Precision = "float32"
    allow_underresolved: bool = False
    """Go on although k_max η < 0.5: then the smallest scales are far from those of the equations."""


class Filter(Model):
    """Filter from the DNS, or from the grid of a source, to the LES grid."""

    type: Literal["sharp", "gaussian", "box"] = "sharp"
    width: Positive | None = None
    """Filter width of gaussian and box, in flow units; default: twice the LES grid spacing."""


class LargeEddyGrid(Model):
    """The coarse grid on which LES and surrogates live. It resolves |k_i| <= (points - 1) // 3."""

    points: Points
    filter: Filter = Filter()


class Stretch(Model):
    """The trajectories of one split: stretches cut from every run, or of a transient flow runs of its own."""

    stretches: PositiveInteger | None = None
    """Statistically steady flows: number of stretches cut from every run."""
    runs: PositiveInteger | None = None
    """Transient flows: number of runs, each of which is one trajectory."""
    length: Positive
    """Length of one trajectory, turnover times."""


class Splits(Model):
    """Training, validation and test data: disjoint stretches of every run, in this order.

    With `source.trajectories`, and in transient flows, each split has trajectories of its own.
    """

    train: Stretch
    validation: Stretch
    test: Stretch


class Sampling(Model):
    """How independent runs are spun up and cut into trajectories."""

    runs: PositiveInteger | None = None
    """Number of independent runs (own initial state each), or of trajectories of the source in use; transient flows
    state it for each split."""
    shards: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Number of parallel jobs the runs are spread over."""
    spin_up: NonNegative
    """Discarded at the start of every run, turnover times."""
    interval: Positive
    """Time between outputs, turnover times."""
    gap: NonNegative | None = None
    """Discarded between two stretches, turnover times; at least one interval. Transient flows have none."""
    splits: Splits


class LargeEddySimulation(Model):
    """One classical LES: a closure and its time stepping."""

    closure: Closure = Closure()
    integrator: Integrator = "runge_kutta_4"
    courant_number: Positive | None = None
    """Step as large as this allows; the output interval is reached in as few equal steps as possible.

    Default: the largest that is accurate and stable on validation data (`eddymark.stepping.time_step`)."""


class Operator(Model):
    """A neural operator: a registered name or the dotted path of a torch.nn.Module, and its arguments."""

    type: str
    arguments: dict[str, Any] = {}  # noqa: RUF012 (pydantic copies it)


class Surrogate(Model):
    """One trained model: a pure surrogate, a hybrid of solver and network, or a closure that is fitted."""

    kind: Literal["surrogate", "hybrid", "les"]
    operator: Operator | None = None
    """surrogate and hybrid: the network."""
    solver: LargeEddySimulation | None = None
    """hybrid and les: the LES that the network corrects or whose closure is fitted."""
    history: PositiveInteger = 1
    """surrogate and hybrid: number of past outputs that the operator sees; 1 for a fitted or learned closure."""
    output: Literal["increment", "direct"] = "increment"
    """surrogate: what the operator gives: the change over an interval beside the known physics, or the next state."""
    bundle: Annotated[int, Field(ge=1, le=1000)] = 1
    """surrogate: number of outputs that one call of the operator gives."""
    boosts: str | None = None
    """surrogate and hybrid: another one of the flow, whose network is kept; this one is fitted to what that leaves."""
    known_physics: KnownPhysics = KNOWN_PARTS
    """surrogate: parts of the physics that are exact, the network learns the rest; true: the default, false: none."""
    error_variances: Literal["equal", "components"] = "equal"
    """surrogate: how incompressibility is restored: as if all components err alike, or as much as they vary."""
    constraints: tuple[Constraint, ...] = ()
    """surrogate and hybrid: what acts on each output and comes from the training data, in this order."""
    refinement: Refinement | None = None
    """surrogate: fit of the last layer to the equations in every call once it is trained; needs a linear last layer."""
    autocast: Literal["bfloat16", "float16"] | None = None
    """surrogate and hybrid: precision of products inside the network; default: the experiment's."""
    compile: bool = False
    """surrogate and hybrid: compile the network with torch.compile."""
    objective: Objective = Objective()
    augmentation: Augmentation = Augmentation()
    schedule: Schedule
    parallel: Parallel = Parallel()
    seeds: tuple[Seed, ...] = (0,)
    extends: str | None = None
    """Another surrogate of the flow, of which this one is a change: the report compares the two."""


class Survival(Model):
    """A rollout fails when energy or enstrophy leaves these multiples of the DNS mean (transient: at the same time)."""

    energy: tuple[Positive, Positive]
    enstrophy: tuple[Positive, Positive]
    average: NonNegative = 0.0
    """Running mean over this many turnover times before the test."""


class Validation(Model):
    """Long rollouts from test states and what is measured on them."""

    rollout_length: Positive
    """Turnover times."""
    statistics_start: NonNegative
    """Statistics are taken from here on, turnover times."""
    windows: PositiveInteger = 1
    """Transient flows: equal windows into which the time from `statistics_start` on is divided. Averages over each are
    compared with those of the DNS over the same one."""
    survival: Survival
    correlation_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """The decorrelation time is when the vorticity correlation with DNS first falls below this."""
    bootstrap_samples: PositiveInteger = 1000


class Flow(Model):
    """One physical case with its LES opponents, surrogates and tests."""

    type: str
    reference: Reference
    turnover_time: Positive
    """Nominal large-eddy turnover time in flow units; converts every time of this file."""
    sides: tuple[Length, ...]
    viscosity: Positive
    linear_drag: NonNegative = 0.0
    forcing: Forcing = Forcing()
    initial_state: InitialState | None = None
    direct_numerical_simulation: DirectNumericalSimulation | None = None
    source: Source | None = None
    """Instead of the two above."""
    large_eddy_grid: LargeEddyGrid
    alternative_grids: tuple[Points, ...] = ()
    """Points of further grids, coarser or finer, on which every one of the `large_eddy_simulations` runs, too."""
    sampling: Sampling
    validation: Validation
    large_eddy_simulations: dict[str, LargeEddySimulation]
    surrogates: dict[str, Surrogate]

    @property
    def is_transient(self) -> bool:
        """Whether the flow evolves from its initial state instead of being statistically steady."""
        return self.type in FLOW_TYPES and FLOW_TYPES[self.type].transient

    @property
    def clock(self) -> str:
        """What `turnover_time` is, in words."""
        return FLOW_TYPES[self.type].clock

    @property
    def interval(self) -> float:
        """Time between outputs in flow units."""
        return self.sampling.interval * self.turnover_time

    @property
    def runs(self) -> int:
        """Number of independent runs, or of trajectories of the source in use."""
        if not self.is_transient:
            return self.sampling.runs or 0
        return sum(section.runs or 0 for section in self._sections.values())

    def trajectories(self, split: Split) -> int:
        """Return how many trajectories a split has over all shards."""
        section = self._sections[split]
        if self.is_transient:
            return section.runs or 0
        chosen = None if self.source is None else self.source.trajectories
        runs = self.runs if chosen is None else len(getattr(chosen, split))
        return runs * (section.stretches or 0)

    def split_of(self, run: int) -> Split:
        """Return the split to which a run of a transient flow belongs.

        Test runs are the first ones, then those of validation: more training data leave both as they are.
        """
        test, validation = self.trajectories("test"), self.trajectories("validation")
        return "test" if run < test else "validation" if run < test + validation else "train"

    @property
    def _sections(self) -> dict[Split, Stretch]:
        splits = self.sampling.splits
        return {"train": splits.train, "validation": splits.validation, "test": splits.test}


class Experiment(Model):
    """Everything that determines the results."""

    name: str
    seed: Seed
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Precision = "float32"
    """Precision of training, rollouts and timing: the same for LES and surrogates."""
    threads: PositiveInteger = 1
    """Threads per job: the same for LES and surrogates."""
    flows: dict[str, Flow]
