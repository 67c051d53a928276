"""The training loop: SGD with a cosine rate, drop path from one draw a step, a checkpoint an epoch.

Everything random in an epoch is a function of (seed, epoch, step). On a CPU, at an equal number of threads, a training
that was killed and resumed ends with the bits of one that was not. No step waits for the device.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from nasdrop.drop.paths import Draw
from nasdrop.drop.schedule import Schedule
from nasdrop.errors import ConfigError, DataError, RunError, RunFolderError
from nasdrop.settings import TrainSettings, WeightSettings
from nasdrop.train import checkpoint as checkpoints
from nasdrop.train.batches import arrange, memory_format, num_steps, train_batches
from nasdrop.train.criterion import Loss, make_loss
from nasdrop.train.data import Dataset
from nasdrop.train.device import derive_seed, deterministic, isolated_rng, peak_memory, seed_rng
from nasdrop.train.draws import StepDraws
from nasdrop.train.record import Recorder
from nasdrop.train.report import EpochReport, FitResult, OnEpoch, charts, record_epoch
from nasdrop.train.score import autocasting, evaluate, evaluate_parts


class DivergedError(RunError):
    """The loss is no longer a finite number."""


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
        checkpoint: a file, written after each epoch; if it exists, the training goes on from there.
        recorder: takes the numbers of each epoch.
        on_epoch: called after each epoch, and first once for each epoch that the checkpoint holds. What it raises ends
            the training; the checkpoint of that epoch is written already.
        loss: what is minimised, called with logits (N, classes) and labels (N,); by default as the settings say.

    Raises:
        DivergedError: a loss is NaN or infinite.
        RunFolderError: the checkpoint is damaged or belongs to another training.
        ConfigError: epochs, budget and warm-up do not fit each other.
        DropError: the schedule has a rate above 0 and the network has nothing that drops.
    """
    epochs = epochs or settings.epochs
    full_epochs = full_epochs or epochs
    _check(data, settings, epochs, full_epochs)
    device = device or data.train.labels.device
    loss = loss or make_loss(settings, data.train.labels.to(device), data.num_classes)
    training = _Training(network, data.to(device), settings, schedule, seed, full_epochs, global_share, loss)
    history = training.resume(checkpoint) if checkpoint and checkpoint.exists() else []
    resumed_at = len(history)
    if recorder and not history:
        recorder.layout(charts(network))
    if on_epoch:
        for report in history:
            on_epoch(report)
    with deterministic(enabled=settings.deterministic), isolated_rng(device):
        for epoch in range(resumed_at, epochs):
            report = training.run_epoch(epoch)
            history.append(report)
            if recorder:
                record_epoch(recorder, report, network)
            if checkpoint:
                checkpoints.save(checkpoint, training.state(history))
            if on_epoch:
                on_epoch(report)
    network.eval()
    return FitResult(tuple(history), resumed_at)


def learning_rate(settings: WeightSettings, step: int, steps: int, full_epochs: int) -> float:
    """The rate of a step: a line up over the warm-up epochs, then down as `settings.decay` says.

    Half a cosine ends at the final rate; "halving" divides by ten whenever half of the remaining steps are over, four
    times in all (FractalNet, arXiv:1605.07648).

    Args:
        settings: rates, warm-up and decay.
        step: from 0, over the whole training.
        steps: steps of an epoch.
        full_epochs: the budget, also for a training that stops early.
    """
    warmup = settings.warmup_epochs * steps
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / (full_epochs * steps - warmup)
    if settings.decay == "halving":
        return settings.learning_rate / float(10 ** min(4, math.floor(-math.log2(1 - progress))))
    share = (1 + math.cos(math.pi * progress)) / 2
    return settings.final_learning_rate + (settings.learning_rate - settings.final_learning_rate) * share


def _check(data: Dataset, settings: TrainSettings, epochs: int, full_epochs: int) -> None:
    if epochs > full_epochs:
        raise ConfigError(f"fit: epochs must be at most full_epochs ({full_epochs}), got {epochs}")
    if settings.warmup_epochs >= full_epochs:
        raise ConfigError(f"train.warmup_epochs: must be below the {full_epochs} epochs, got {settings.warmup_epochs}")
    if len(data.train) < 2:
        raise DataError(f"fit: must have at least 2 images to train on, got {len(data.train)}")


@dataclass
class _Training:
    """A network with all that its training carries along."""

    network: nn.Module
    data: Dataset
    settings: TrainSettings
    schedule: Schedule | None
    seed: int
    full_epochs: int
    global_share: Schedule | None
    loss: Loss

    def __post_init__(self) -> None:
        self.device = self.data.train.labels.device
        layout = memory_format(len(self.data.shape) + 1, channels_last=self.settings.channels_last)
        self.network.to(self.device)
        arrange(self.network, layout)
        self.parameters = [weight for weight in self.network.parameters() if weight.requires_grad]
        # Weight decay on all weights, those of batch norms and biases too: the convention of DARTS.
        self.optimizer = torch.optim.SGD(
            self.parameters,
            lr=self.settings.learning_rate,
            momentum=self.settings.momentum,
            weight_decay=self.settings.weight_decay,
            fused=True,
        )
        if self.settings.momentum:
            # torch's fused step fails where some momenta exist and others do not yet, as they do when a step skips
            # parts of the network; a momentum of zero is what the first step would start from.
            for weight in self.parameters:
                self.optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.settings.autocast == "float16")
        self.steps = num_steps(self.data.train, self.settings.batch_size)
        budget = (self.seed, self.full_epochs, self.steps)
        self.drop = StepDraws(self.network, self.schedule, *budget, global_share=self.global_share)

    def run_epoch(self, epoch: int) -> EpochReport:
        """Train one epoch and score it."""
        started = time.perf_counter()
        self.network.train()
        seed_rng(self.device, derive_seed(self.seed, epoch, "default"))
        loss = torch.zeros((), device=self.device)
        correct = torch.zeros((), dtype=torch.int64, device=self.device)
        rate, images = 0.0, 0
        batches = train_batches(self.data.train, self.data, self.settings, seed=self.seed, epoch=epoch)
        for step, (batch, labels) in enumerate(batches):
            rate = learning_rate(self.settings, epoch * self.steps + step, self.steps, self.full_epochs)
            batch_loss, batch_correct = self._step(batch, labels, rate, self.drop.paths(len(labels), epoch, step))
            loss += batch_loss * len(labels)
            correct += batch_correct
            images += len(labels)
        train_loss = float(loss) / images
        images_per_second = images / (time.perf_counter() - started)
        refuse_divergence("training", train_loss, epoch)
        valid, parts = None, {}
        if len(self.data.valid):
            kinds = {"autocast": self.settings.autocast, "channels_last": self.settings.channels_last}
            valid = evaluate(self.network, self.data.valid, self.data, **kinds)  # type: ignore[arg-type]
            refuse_divergence("validation", valid.loss, epoch)
            parts = evaluate_parts(self.network, self.data.valid, self.data, **kinds)  # type: ignore[arg-type]
        return EpochReport(
            epoch=epoch,
            epochs=self.full_epochs,
            train_loss=train_loss,
            train_accuracy=int(correct) / images,
            valid=valid,
            learning_rate=rate,
            **self.drop.counts(epoch),
            parts=parts,
            images_per_second=images_per_second,
            memory_mib=peak_memory(self.device),
            seconds=time.perf_counter() - started,
        )

    def _step(self, batch: Tensor, labels: Tensor, rate: float, paths: Mapping[str, Draw]) -> tuple[Tensor, Tensor]:
        """One step of the optimiser; the loss and the number of correct answers stay on the device."""
        with autocasting(self.device, self.settings.autocast):
            output = self.network(batch, **paths)
        logits, auxiliary = output if isinstance(output, tuple) else (output, None)
        loss = self.loss(logits.float(), labels)
        if isinstance(auxiliary, tuple):
            loss = loss + torch.stack([self.loss(part.float(), labels) for part in auxiliary]).mean()
        elif auxiliary is not None:
            loss = loss + self.settings.auxiliary_weight * self.loss(auxiliary.float(), labels)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if self.settings.gradient_clip:
            self.scaler.unscale_(self.optimizer)
            clip_grad_norm_(self.parameters, self.settings.gradient_clip, foreach=True)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach(), (logits.detach().argmax(1) == labels).sum()

    def state(self, history: list[EpochReport]) -> dict[str, Any]:
        """What a checkpoint holds. No random state: an epoch seeds all that it draws from."""
        return {
            "identity": self._identity(),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "history": [report.state() for report in history],
        }

    def resume(self, path: Path) -> list[EpochReport]:
        """Take over what a checkpoint holds; the epochs that it has seen.

        Raises:
            RunFolderError: it is damaged or belongs to another training.
        """
        state = checkpoints.load_own(path, self._identity(), "training", self.device)
        try:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.scaler.load_state_dict(state["scaler"])
            return [EpochReport.from_state(report) for report in state["history"]]
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            reason = " ".join(str(error).split())[:200]
            raise RunFolderError(f"{path}: belongs to another network, or is damaged ({reason})") from error

    def _identity(self) -> dict[str, Any]:
        """What must be equal for a training to go on; how many of its epochs one call runs may differ."""
        return {
            "data": self.data.name,
            "images": len(self.data.train),
            "seed": self.seed,
            "full_epochs": self.full_epochs,
            "schedule": repr(self.schedule),
            "global_share": repr(self.global_share),
            **self.settings.model_dump(exclude={"epochs"}),
        }


def refuse_divergence(split: str, loss: float, epoch: int) -> None:
    """Stop a training whose mean loss is no number any more; `epoch` counts from 0.

    Raises:
        DivergedError: it is NaN or infinite.
    """
    if not math.isfinite(loss):
        raise DivergedError(f"epoch {epoch + 1}: the {split} loss must be finite, got {loss}: the training diverged")
