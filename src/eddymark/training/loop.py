"""Runs a training from start or last checkpoint to the end."""

from __future__ import annotations

import logging
import math
import shutil
import sys
import warnings
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from pytorch_lightning.callbacks import Callback, RichProgressBar
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from torch import Tensor
from torch.utils.data import DataLoader

from eddymark.config.training import Parallel
from eddymark.errors import EddymarkError
from eddymark.progress import Progress
from eddymark.ranks import Rank
from eddymark.training import checkpoint
from eddymark.training.gradient_scaling import GradientScaling
from eddymark.training.module import Training
from eddymark.training.windows import TrainingBatches, Windows

VALIDATION_ROLLOUTS = 16
"""Most rollouts of one validation."""


class Data(lightning.LightningDataModule):
    """Training batches of the current epoch and the windows of the validation rollouts.

    Arguments:
        batches: training batches.
        validation: validation windows.
        validation_steps: outputs of a validation rollout; fewer if the trajectories are shorter.

    Raises:
        EddymarkError: if the validation trajectories are too short for a single step.
    """

    def __init__(self, batches: TrainingBatches, validation: Windows, *, validation_steps: int) -> None:
        super().__init__()
        self.batches = batches
        length = min(batches.history + validation_steps, validation.times)
        if length <= batches.history:
            raise EddymarkError(
                f"validation trajectories have {validation.times} outputs; history and one step need "
                f"{batches.history + 1}"
            )
        self.rollouts = validation.spread(length, most=VALIDATION_ROLLOUTS, stride=length)

    def train_dataloader(self) -> DataLoader[Tensor]:
        assert self.trainer is not None
        rank, count = self.trainer.global_rank, self.trainer.world_size
        epoch = self.trainer.global_step // self.batches.steps_per_epoch
        draws = [draw.part(rank, count) for draw in self.batches.epoch(epoch)]
        return DataLoader(self.batches, batch_size=None, sampler=draws)

    def val_dataloader(self) -> DataLoader[Tensor]:
        assert self.trainer is not None
        rank, count = self.trainer.global_rank, self.trainer.world_size
        # Too few to give one to each process: each makes them all, which has the same mean.
        part = self.rollouts[rank::count] if len(self.rollouts) >= count else self.rollouts
        return DataLoader([part], batch_size=None)  # type: ignore[arg-type]


class StepEnd(Callback):
    """After each step: progress for those who watch from outside."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        assert isinstance(pl_module, Training)
        steps = pl_module.schedule.steps
        self.progress = Progress("training", steps, shown=False)

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: object) -> None:
        if trainer.is_global_zero:
            self.progress.update(trainer.global_step)


class EpochEnd(Callback):
    """After each epoch: a line on standard error, TensorBoard, the checkpoint from which to resume.

    Arguments:
        work: folder for the checkpoint.
    """

    def __init__(self, work: Path) -> None:
        self.work = work

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        assert isinstance(pl_module, Training)
        row = pl_module.history[-1]
        steps = pl_module.schedule.steps
        previous = pl_module.history[-2] if len(pl_module.history) > 1 else None
        seconds = row.seconds - (previous.seconds if previous else 0.0)
        per_step = seconds / (row.step - (previous.step if previous else 0))
        rest = timedelta(seconds=round(per_step * (steps - row.step)))
        if trainer.is_global_zero:
            print(
                f"epoch {row.epoch}  step {row.step}/{steps}  unroll {row.unroll}  loss {row.training_loss:.4f}  "
                f"validation {row.validation_error:.4f}  {1 / per_step:.1f} it/s  {rest} left",
                file=sys.stderr,
                flush=True,
            )
        for logger in trainer.loggers:
            metrics = {
                key: value for key, value in asdict(row).items() if key not in ("epoch", "step") and value is not None
            }
            logger.log_metrics(metrics, row.step)
        partial = self.work / "partial"
        trainer.save_checkpoint(partial, weights_only=False)
        if trainer.is_global_zero:
            checkpoint.keep(partial, row.step)


def distribution(parallel: Parallel, device: torch.device) -> dict[str, Any]:
    """Return the options of Lightning's trainer for the devices of a training.

    Arguments:
        parallel: how many, on how many nodes.
        device: what they are.
    """
    # Named here, as Lightning would guess from variables that Slurm also sets for a single process.
    environment = LightningEnvironment() if parallel.nodes == 1 else SLURMEnvironment(auto_requeue=False)
    if parallel.devices * parallel.nodes == 1:
        return {"devices": [device.index or 0] if device.type == "cuda" else 1, "plugins": [environment]}
    backend = "nccl" if device.type == "cuda" else "gloo"
    strategy: Strategy
    if parallel.strategy == "fsdp":
        strategy = ModelParallelStrategy(
            data_parallel_size=parallel.devices * parallel.nodes,
            tensor_parallel_size=1,
            save_distributed_checkpoint=False,
            process_group_backend=backend,
        )
    else:
        # All processes build equal models, and no buffer changes in training.
        strategy = DDPStrategy(process_group_backend=backend, init_sync=False, broadcast_buffers=False)
    return {
        "strategy": strategy,
        "devices": parallel.devices,
        "num_nodes": parallel.nodes,
        "plugins": [environment],
    }


def fit(
    training: Training, data: Data, *, parallel: Parallel, rank: Rank, work: Path, curves: Path, device: torch.device
) -> None:
    """Train to the end, from the checkpoint in `work` if there is one; the result is the same either way.

    Arguments:
        training: the module; holds the history and the best weights afterwards.
        data: training and validation windows.
        parallel: on how many devices; the other processes of this node are started from here.
        rank: place of this process among those of the training.
        work: folder that survives a kill, for the checkpoint.
        curves: folder for TensorBoard files; those of an earlier training are removed, those of this one continued.
        device: where to train.

    Raises:
        EddymarkError: if the loss is not finite; the last checkpoint stays.
    """
    # Nothing here reads memory before writing it; filling it first only costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    resumed = checkpoint.find(work, training)
    if resumed is None and rank.index == 0:
        shutil.rmtree(curves, ignore_errors=True)
    terminal = sys.stderr.isatty() and rank.index == 0
    callbacks: list[Callback] = [StepEnd(), EpochEnd(work)]
    if terminal:
        callbacks.append(RichProgressBar(console_kwargs={"stderr": True}))
    with warnings.catch_warnings():
        # Lightning's advice on worker processes, loggers and the like does not concern a user of eddymark.
        for name in ("pytorch_lightning", "lightning_fabric"):
            warnings.filterwarnings("ignore", module=name)
            logging.getLogger(name).setLevel(logging.ERROR)
            logging.getLogger(f"{name}.utilities.rank_zero").setLevel(logging.ERROR)
        options = distribution(parallel, device)
        if training.scales_gradients:
            training.scaling = GradientScaling(device)
            options["plugins"].append(training.scaling)
            # The very first step may be left out.
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        trainer = lightning.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            max_epochs=math.ceil(training.schedule.steps / training.schedule.steps_per_epoch),
            reload_dataloaders_every_n_epochs=1,
            callbacks=callbacks,
            logger=TensorBoardLogger(save_dir=curves, name="", version=""),
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=terminal,
            num_sanity_val_steps=0,
            deterministic="warn",
            use_distributed_sampler=False,
            log_every_n_steps=10**9,
            **options,
        )
        trainer.fit(
            training,
            datamodule=data,
            ckpt_path=resumed,
            weights_only=True,
        )
