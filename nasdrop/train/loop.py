"""The training loop: SGD with a cosine rate, drop path from one draw a step, checkpoints within and after epochs.

Everything random in an epoch is a function of (seed, epoch, step). On a CPU, at an equal number of threads, a training
that was killed and resumed ends with the bits of one that was not. No step waits for the device.
"""

from pathlib import Path

import torch
from torch import nn

from nasdrop.drop.schedule import Schedule
from nasdrop.errors import ConfigError, DataError
from nasdrop.settings import TrainSettings
from nasdrop.train.criterion import Loss, make_loss
from nasdrop.train.data import Dataset
from nasdrop.train.device import deterministic, isolated_rng
from nasdrop.train.norms import sharing_statistics
from nasdrop.train.ranks import ALONE, Ranks
from nasdrop.train.record import Recorder
from nasdrop.train.report import FitResult, OnEpoch, charts, record_epoch
from nasdrop.train.trainer import Trainer


def fit(
    network: nn.Module,
    data: Dataset,
    settings: TrainSettings,
    *,
    schedule: Schedule | None = None,
    global_share: Schedule | None = None,
    seed: int = 0,
    device: torch.device | None = None,
    epochs: int | None = None,
    full_epochs: int | None = None,
    checkpoint: Path | None = None,
    recorder: Recorder | None = None,
    on_epoch: OnEpoch | None = None,
    loss: Loss | None = None,
    ranks: Ranks = ALONE,
) -> FitResult:
    """Train a network in place; at the end it is in evaluation mode.

    Args:
        network: gives logits (N, classes), or in training a pair of logits and auxiliary logits; of a tuple of
            auxiliary logits the mean loss counts, with the weight 1. If it has a `path_drop` (PathDrop), its forward
            takes a draw as `paths`; if it has `parts()`, those modules by name are scored beside it.
        data: `train` is trained on; `valid` is scored after each epoch, unless it is empty.
        settings: `settings.epochs` counts where the arguments below are missing.
        schedule: drop rates over time, for every drop module that DropScheduler finds; None leaves all rates alone.
        global_share: the share of draws that run one column of a fractal network alone, by the
            clock of `schedule`; None leaves it.
        seed: of order, augmentation and masks. The weights are the caller's.
        device: where to train; by default where the data are.
        epochs: epochs of this call.
        full_epochs: the budget over which learning rate and drop schedule run; by default `epochs`.
        checkpoint: a file, written after each epoch and every `settings.checkpoint_steps` steps in between; if it
            exists, the training goes on from there.
        recorder: takes the numbers of each epoch.
        on_epoch: called after each epoch, and first once for each epoch that the checkpoint holds. What it raises ends
            the training; the checkpoint of that epoch is written already.
        loss: what is minimised, called with logits (N, classes) and labels (N,); by default as the settings say.
        ranks: the processes that share each batch; all call this with equal arguments, and rank 0 alone records.

    Raises:
        DivergedError: a loss is NaN or infinite.
        RunFolderError: the checkpoint is damaged or belongs to another training.
        ConfigError: epochs, budget and warm-up do not fit each other, or the batch size the processes.
        DropError: the schedule has a rate above 0 and the network has nothing that drops.
    """
    epochs = epochs or settings.epochs
    full_epochs = full_epochs or epochs
    _check(data, settings, epochs, full_epochs, ranks)
    device = device or data.train.labels.device
    loss = loss or make_loss(settings, data.train.labels.to(device), data.num_classes)
    trainer = Trainer(network, data.to(device), settings, schedule, seed, full_epochs, global_share, loss, ranks)
    if checkpoint and checkpoint.exists():
        trainer.resume(checkpoint)
    history = trainer.history
    resumed_at = len(history)
    recorder = recorder if ranks.leads else None
    if recorder and not history:
        recorder.layout(charts(network))
    if on_epoch:
        for report in history:
            on_epoch(report)
    exact = deterministic(enabled=settings.deterministic)
    with exact, isolated_rng(device), sharing_statistics(network, settings.norm_statistics, ranks):
        for _ in range(resumed_at, epochs):
            report = trainer.run_epoch(checkpoint)
            if recorder:
                record_epoch(recorder, report, network)
            if checkpoint:
                trainer.save(checkpoint)
            if on_epoch:
                on_epoch(report)
    trainer.finish()
    return FitResult(tuple(history), resumed_at)


def _check(data: Dataset, settings: TrainSettings, epochs: int, full_epochs: int, ranks: Ranks) -> None:
    if epochs > full_epochs:
        raise ConfigError(f"fit: epochs must be at most full_epochs ({full_epochs}), got {epochs}")
    if settings.warmup_epochs >= full_epochs:
        raise ConfigError(f"train.warmup_epochs: must be below the {full_epochs} epochs, got {settings.warmup_epochs}")
    if len(data.train) < 2:
        raise DataError(f"fit: must have at least 2 images to train on, got {len(data.train)}")
    if min(settings.batch_size, len(data.train)) % ranks.world_size:
        rule = f"must be divisible by the {ranks.world_size} processes that share a batch"
        raise ConfigError(f"train.batch_size: {rule}, got {settings.batch_size} of {len(data.train)} images")
