"""The Lightning module: unrolled loss, optimiser and schedule, averaged weights, validation by rollouts."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from eddymark.config.training import Objective, Schedule
from eddymark.errors import EddymarkError
from eddymark.grid import SpectralSpace
from eddymark.statistics.errors import relative_l2_error
from eddymark.statistics.spectra import spectrum_error
from eddymark.stepping.rollout import BLOW_UP, rollout
from eddymark.stepping.trainable import TrainableStepper
from eddymark.training.equations import Equations
from eddymark.training.gradient_scaling import GradientScaling
from eddymark.training.history import Progress
from eddymark.training.objective import stage_loss
from eddymark.training.spectral_normalisation import iterate
from eddymark.training.windows import stage_at, unroll_at

AVERAGE_ITERATIONS = 15
"""Power iterations for the bounds on the averaged weights before each validation."""


class Training(lightning.LightningModule):
    """Trains a stepper.

    Optimiser: AdamW (no weight decay on biases and closure constants, that is, on arrays with fewer than two
    axes), linear warm-up, cosine decay to zero, clipping of the gradient's norm. The exponential moving
    average of the weights is what is validated; the average with the lowest validation error so far, or with the
    lowest spectrum error or residual if `schedule.select_by` says so, is `best`, and `best_error` what it was
    chosen by.

    Arguments:
        stepper: stepper with its scales fitted.
        objective: loss and curriculum.
        schedule: optimisation.
        space: spectral space of the grid for the loss of shell energies.
        stream_seed: seeds torch before each step, for operators with random parts such as dropout, and penalties.
        inspection: folder for the batch with which a training diverges.
        selection_steps: outputs of the rollouts whose spectrum selects the weights; 0: the error does.
        equations: what the objective asks of the outputs beside their distances, if it does.
    """

    def __init__(
        self,
        stepper: TrainableStepper,
        *,
        objective: Objective,
        schedule: Schedule,
        space: SpectralSpace | None,
        stream_seed: int,
        inspection: Path | None = None,
        selection_steps: int = 0,
        equations: Equations | None = None,
    ) -> None:
        super().__init__()
        self.stepper = stepper
        self.average = copy.deepcopy(stepper).requires_grad_(False)
        self.objective = objective
        self.schedule = schedule
        self.space = space
        self.stream_seed = stream_seed
        self.inspection = inspection
        self.selection_steps = selection_steps
        self.equations = equations
        self.scaling: GradientScaling | None = None
        """What scales the loss, if anything does; set by what runs the training."""
        self.history: list[Progress] = []
        self.best: dict[str, Tensor] = {}
        self.best_error = math.inf
        self.best_epoch = 0
        self._losses: list[Tensor] = []
        self._window = torch.empty(0)
        self._validation_errors: list[Tensor] = []
        self._spectra: list[Tensor] = []
        self._residuals: list[Tensor] = []
        self.seconds_before = 0.0
        self._started = time.monotonic()

    @property
    def scales_gradients(self) -> bool:
        """Whether gradients could vanish in the products of the network, so that the loss is scaled."""
        return getattr(self.stepper, "autocast", None) == torch.float16

    def configure_model(self) -> None:
        """Under fsdp, leave each process a part of the weights and of their average: the same part of both."""
        mesh = self.device_mesh
        if mesh is None or isinstance(self.stepper, FSDPModule):
            return
        for module in (self.stepper, self.average):
            # Resharded after each use, so that both are in parts when the average is updated.
            fully_shard(module, mesh=mesh["data_parallel"], reshard_after_forward=True)

    def on_fit_start(self) -> None:
        self.seconds_before = self.history[-1].seconds if self.history else 0.0
        self._started = time.monotonic()

    def on_train_epoch_start(self) -> None:
        self.average.eval()
        self._losses = []

    def training_step(self, window: Tensor, batch_index: int) -> Tensor:
        self._window = window
        # For each step, as loaders draw numbers at other times in a resumed training; and a stream of its own for each
        # process: their parts of a batch must not share random numbers.
        torch.manual_seed(self.stream_seed + self.global_step + (self.global_rank << 32))
        stage = stage_at(self.objective, self.global_step, self.schedule.steps)
        loss = stage_loss(
            self.stepper, window, stage=stage, objective=self.objective, space=self.space, equations=self.equations
        )
        self._losses.append(loss.detach())
        if self.equations is not None and self.equations.constant is not None:
            loss = loss + self.equations.loss_of_constant(stage.unroll + 1)
        return loss

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm of the gradient; refuse to go on if it or the loss is not finite.

        A gradient that overflows because the loss is scaled is left to the scaler, which omits the step.
        """
        parameters = [p for p in self.stepper.parameters() if p.grad is not None]
        norm = _whole(nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))
        value, loss = float(norm), float(self._losses[-1])
        if not math.isfinite(value) or not math.isfinite(loss):
            if self.scaling is not None and self.scaling.can_be_reduced and math.isfinite(loss):
                return
            raise EddymarkError(
                f"training diverged in step {self.global_step + 1}: loss {loss:.3g}, "
                f"gradient norm {value:.3g}; try a lower learning_rate or fewer unrolled steps{self._kept_batch()}"
            )
        if value > self.schedule.gradient_clip:
            nn.utils.clip_grads_with_norm_(parameters, self.schedule.gradient_clip, norm)

    def _kept_batch(self) -> str:
        """Store the present batch for inspection and return where it is, in words."""
        if self.inspection is None:
            return ""
        path = self.inspection / f"diverged{f'-{self.global_rank}' if self.global_rank else ''}.safetensors"
        facts = {"step": str(self.global_step + 1), "history": str(self.stepper.history)}
        try:
            save_file({"window": self._window.detach().cpu().contiguous()}, path, metadata=facts)
        except (OSError, SafetensorError):
            # A full disk must not hide the divergence.
            return ""
        return f"; its batch of windows is in {path}"

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.schedule.spectral_normalisation is not None:
            iterate(self.stepper)
        # The first steps weigh more, so that the average forgets the initial weights.
        step = self.global_step
        decay = min(self.schedule.average_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.stepper.parameters()), weight=1 - decay)

    def on_validation_epoch_start(self) -> None:
        self._validation_errors = []
        self._spectra = []
        self._residuals = []
        for averaged, value in zip(self.average.buffers(), self.stepper.buffers(), strict=True):
            averaged.copy_(value)
        if self.schedule.spectral_normalisation is not None:
            # The singular vectors of the average are not quite those of the weights themselves.
            for _ in range(AVERAGE_ITERATIONS):
                iterate(self.average)

    def validation_step(self, window: Tensor, batch_index: int) -> None:
        history = self.stepper.history
        truth = window[:, history:]
        predicted = rollout(self.average, window[:, :history], truth.shape[1]).velocity[:, 1:]
        # An output that is missing after a failure counts as one with the energy at which a state
        # is given up.
        error = relative_l2_error(predicted, truth).nan_to_num(nan=math.sqrt(BLOW_UP))
        self._validation_errors.append(error.mean(dim=1))
        if self.equations is not None:
            made = torch.cat([window[:, history - 1 : history], predicted], dim=1)
            self._residuals.append(self.equations.compared(made, window[:, history - 1 :]))
        if self.selection_steps:
            self._spectra.append(self._mean_spectra(window))

    def _mean_spectra(self, window: Tensor) -> Tensor:
        """Return the time averages of the spectra of DNS and rollouts, and of outputs that are missing.

        Returns:
            `(window, 3, shell)`: energies of shells 1 … k_c of the DNS, those of the rollouts with 0 for what is
            missing, and the share of the outputs that are.
        """
        space = self.space
        assert space is not None

        def spectrum(velocity: Tensor) -> Tensor:
            shells = slice(1, space.grid.resolved_shells + 1)
            return space.energy_spectrum(space.to_spectral(velocity))[..., shells].double()

        history = self.stepper.history
        made = rollout(self.average, window[:, :history], self.selection_steps, keep=spectrum).velocity[:, 1:]
        parts = [spectrum(window[:, history:]), made.nan_to_num(nan=0.0), made.isnan().double()]
        return torch.stack([part.mean(dim=1) for part in parts], dim=1)

    def _spectrum_error(self) -> float | None:
        """Return the distance of the mean spectra in decades; a missing output counts as one given up for lost."""
        if not self._spectra:
            return None
        truth, made, missing = self._sum(torch.cat(self._spectra)).cpu().numpy()
        # Sums over the same windows: their ratio is that of the means.
        count = self._sum(torch.ones(sum(map(len, self._spectra)), 1, device=self.device)).item()
        made = made + missing / count * BLOW_UP * truth
        return float(spectrum_error(made, truth, shells=slice(None)))

    def _sum(self, values: Tensor) -> Tensor:
        """Return the sum over the first axis and all processes."""
        assert self.trainer is not None
        total = values.sum(dim=0)
        if self.trainer.world_size == 1:
            return total
        reduced: Tensor = self.trainer.strategy.reduce(total, reduce_op="sum")
        return reduced

    def on_validation_epoch_end(self) -> None:
        error = self._mean(torch.cat(self._validation_errors))
        step = self.global_step
        row = Progress(
            epoch=len(self.history) + 1,
            step=step,
            unroll=unroll_at(self.objective, step - 1, self.schedule.steps),
            learning_rate=self.schedule.learning_rate * self._rate(step - 1),
            training_loss=self._mean(torch.stack(self._losses)),
            validation_error=error,
            seconds=self.seconds_before + time.monotonic() - self._started,
            spectrum_error=self._spectrum_error(),
            **self._of_equations(),
        )
        self.history.append(row)
        scores = {"error": error, "spectrum": row.spectrum_error, "residual": row.residual}
        score = scores[self.schedule.select_by]
        assert score is not None
        if score < self.best_error:
            self.best_error, self.best_epoch = score, row.epoch
            self.best = {name: _whole(value.detach()).clone() for name, value in self.average.state_dict().items()}

    def _of_equations(self) -> dict[str, float]:
        """Return what the history says of the objective's equations, if it has any."""
        if self.equations is None:
            return {}
        residual, floor = torch.cat(self._residuals).unbind(1)
        constant = self.equations.constant
        learned = {} if constant is None else {"closure_constant": float(constant.detach())}
        return {"residual": self._mean(residual), "residual_floor": self._mean(floor)} | learned

    def _mean(self, values: Tensor) -> float:
        """Return the mean over the values of all processes, equal in all of them."""
        assert self.trainer is not None
        if self.trainer.world_size == 1:
            return float(values.mean())
        total = torch.stack([values.double().sum(), torch.tensor(float(len(values)), device=values.device)])
        total = self.trainer.strategy.reduce(total, reduce_op="sum")
        return float(total[0] / total[1])

    def configure_optimizers(self) -> Any:
        parameters = [p for p in self.stepper.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": self.schedule.weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
            *self._group_of_constant(),
        ]
        optimiser = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=self.schedule.learning_rate,
            # Much faster on small networks, but not available for the complex weights of some packages, and where
            # scaled gradients have to be clipped.
            fused=not (self.scales_gradients or any(p.is_complex() for p in parameters)),
        )
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, self._rate)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _group_of_constant(self) -> list[dict[str, Any]]:
        """Return the optimiser's options of the constant of the equations' closure, if it is learned."""
        equations = self.equations
        if equations is None or equations.constant is None:
            return []
        learned = equations.configuration.learned_constant
        assert learned is not None
        return [{"params": [equations.constant], "lr": learned.learning_rate, "weight_decay": 0.0}]

    def _rate(self, step: int) -> float:
        """Learning rate of a step (counted from 0) as a fraction of the highest."""
        warm_up = self.schedule.warm_up_steps
        if step < warm_up:
            return (step + 1) / (warm_up + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, self.schedule.steps - warm_up)))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["training"] = {
            "history": [asdict(row) for row in self.history],
            "best": self.best,
            "best_error": self.best_error,
            "best_epoch": self.best_epoch,
            "stream_seed": self.stream_seed,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["training"]
        self.history = [Progress(**row) for row in state["history"]]
        self.best = state["best"]
        self.best_error = state["best_error"]
        self.best_epoch = state["best_epoch"]


def _whole(value: Tensor) -> Tensor:
    """Return a tensor whose parts are spread over the processes as a whole one, and any other as it is."""
    return value.full_tensor() if isinstance(value, DTensor) else value
