"""Typed description of a training: what it minimises, on which windows, how it is optimised, on how many devices."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from eddymark.config.equations import Equations
from eddymark.config.fields import Model, NonNegative, Positive, PositiveInteger


class CurriculumStage(Model):
    """From `start` (fraction of the training steps) on, unroll `unroll` output intervals, or train all to all."""

    start: Annotated[float, Field(ge=0, lt=1)]
    unroll: PositiveInteger = 1
    all_to_all: Annotated[int, Field(ge=1, le=100)] | None = None
    """Longest lead time, output intervals: each state of a window of so many is an input for all that follow it."""

    @property
    def outputs(self) -> int:
        """Number of outputs in a training window after the history."""
        return self.unroll if self.all_to_all is None else self.all_to_all


class Dissipativity(Model):
    """States far outside the attractor have to lose energy."""

    weight: Positive
    scales: tuple[Positive, Positive] = (2.0, 4.0)
    """Least and largest factor by which states of the training data are multiplied."""
    remaining_energy: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Largest share of its energy which such a state may keep over one call of the model."""


class Objective(Model):
    """What training minimises."""

    curriculum: tuple[CurriculumStage, ...] = (CurriculumStage(start=0, unroll=1),)
    error_weight: NonNegative = 1.0
    """Weight of the relative L2 error."""
    shell_energy_weight: NonNegative = 0.0
    """Weight of the mean squared error of log shell energies."""
    sobolev_weight: NonNegative = 0.0
    """Weight of the relative error in the Sobolev norm of order `sobolev_order`."""
    sobolev_order: Annotated[float, Field(ge=-4, le=4)] = 1.0
    band_weight: NonNegative = 0.0
    """Weight of the mean of the relative L2 errors of the bands of wavenumbers."""
    bands: tuple[PositiveInteger, ...] | None = None
    """First shell of each band; default: every resolved shell is one."""
    pushforward: bool = False
    """Only the first and the last unrolled call count, and the last one sees no gradient of those before."""
    teacher_forcing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the DNS in the states that are fed back in unrolled steps."""
    checkpointing: bool = False
    """Compute each unrolled call again for its gradient instead of keeping what it computed: less memory, more time."""
    dissipativity: Dissipativity | None = None
    equations: Equations | None = None

    @property
    def compares(self) -> bool:
        """Whether outputs are compared with the DNS; without, training takes nothing of it but initial states."""
        return any((self.error_weight, self.shell_energy_weight, self.sobolev_weight, self.band_weight))

    @property
    def lead_times(self) -> int | None:
        """Longest lead time of all-to-all training, output intervals; None without it."""
        return max((stage.all_to_all for stage in self.curriculum if stage.all_to_all is not None), default=None)


class Augmentation(Model):
    """Random transformations under which the flow's equations do not change, and noise on the input states."""

    shifts: bool = True
    symmetries: bool = True
    input_noise: NonNegative = 0.0
    """Rms of solenoidal noise added to the input states of a window, as a fraction of the window's rms velocity."""


class Schedule(Model):
    """Optimisation: AdamW, linear warm-up, cosine decay, EMA of the weights."""

    steps: PositiveInteger
    batch_size: PositiveInteger = 8
    learning_rate: Positive = 1e-3
    weight_decay: NonNegative = 1e-4
    warm_up_steps: Annotated[int, Field(ge=0, le=10**9)] = 50
    gradient_clip: Positive = 1.0
    spectral_normalisation: Positive | None = None
    """Largest singular value of each linear map of the network; default: no bound."""
    average_decay: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of the exponential moving average of the weights; the average is what is validated and stored."""
    steps_per_epoch: PositiveInteger = 100
    """Steps between validations and resume checkpoints."""
    validation_length: Positive = 2.0
    """Length of the validation rollouts, turnover times."""
    select_by: Literal["error", "spectrum", "residual"] = "error"
    """Which weights are stored: those with the least error of the validation rollouts, with the best spectrum, or with
    the least residual of the objective's equations."""
    selection_length: Positive | None = None
    """spectrum: length of the rollouts whose spectrum counts, turnover times; default: `validation_length`."""


class Parallel(Model):
    """Training on several devices; the data of each step are spread over all of them."""

    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    """ddp: every device holds the whole model; fsdp: every GPU holds a part; auto: ddp if there are several devices."""
    devices: PositiveInteger = 1
    """Processes per node: one for each GPU, or each with `threads` threads on CPUs."""
    nodes: PositiveInteger = 1
    """More than one needs Slurm."""
