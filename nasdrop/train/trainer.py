"""A network with all that its training carries along: epochs, steps, and checkpoints at any step.

Shapes: (N, C, *S) images of one process, N of N x processes in a global batch.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils import clip_grad_norm_

from nasdrop.drop.paths import Draw
from nasdrop.drop.schedule import Schedule
from nasdrop.errors import RunFolderError
from nasdrop.settings import TrainSettings
from nasdrop.train import checkpoint as checkpoints
from nasdrop.train.average import WeightAverage
from nasdrop.train.batches import arrange, augmentation, memory_format, num_steps, train_batches
from nasdrop.train.criterion import Loss
from nasdrop.train.data import Dataset
from nasdrop.train.device import derive_seed, peak_memory, rng_state, seed_rng, set_rng_state
from nasdrop.train.draws import StepDraws
from nasdrop.train.norms import freeze_statistics
from nasdrop.train.optim import learning_rate, make_optimizer, refuse_divergence
from nasdrop.train.ranks import Ranks
from nasdrop.train.report import EpochReport
from nasdrop.train.score import Score, autocasting, evaluate, evaluate_parts

_DAMAGE = (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError)


@dataclass
class Trainer:
    """Trains a network in place; see `fit`."""

    network: nn.Module
    data: Dataset
    settings: TrainSettings
    schedule: Schedule | None
    seed: int
    full_epochs: int
    global_share: Schedule | None
    loss: Loss
    ranks: Ranks
    history: list[EpochReport] = field(default_factory=list)
    step: int = 0

    def __post_init__(self) -> None:
        self.device = self.data.train.labels.device
        layout = memory_format(len(self.data.shape) + 1, channels_last=self.settings.channels_last)
        self.network.to(self.device)
        arrange(self.network, layout)
        self.parameters = [weight for weight in self.network.parameters() if weight.requires_grad]
        self.optimizer = make_optimizer(self.parameters, self.settings)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.settings.autocast == "float16")
        self.average = WeightAverage(self.network, self.settings.ema) if self.settings.ema else None
        self.steps = num_steps(self.data.train, self.settings.batch_size)
        self.drop = StepDraws(
            self.network,
            self.schedule,
            self.seed,
            self.full_epochs,
            self.steps,
            global_share=self.global_share,
            rank=self.ranks.rank,
            world_size=self.ranks.world_size,
        )
        self.rows = min(self.settings.batch_size, len(self.data.train)) // self.ranks.world_size
        self.totals = torch.zeros(2, dtype=torch.float64, device=self.device)  # loss of the steps, correct answers
        self.augmentation = Generator(self.device)

    def run_epoch(self, checkpoint: Path | None) -> EpochReport:
        """Train one epoch, from where a checkpoint left it, and score it.

        Args:
            checkpoint: where to keep the training in the middle of the epoch; None: nowhere.
        """
        started, epoch = time.perf_counter(), len(self.history)
        self.network.train()
        if self.settings.norm_statistics == "frozen":
            freeze_statistics(self.network)
        if self.step == 0:
            self._begin(epoch)
        rate, first = 0.0, self.step
        for batch, labels in self._batches(epoch):
            rate = learning_rate(self.settings, epoch * self.steps + self.step, self.steps, self.full_epochs)
            self._take_step(epoch, batch, labels, rate)
            self.step += 1
            if checkpoint and self.step % self.settings.checkpoint_steps == 0 and self.step < self.steps:
                self.save(checkpoint)
        seconds = time.perf_counter() - started
        self.ranks.average([self.totals])
        loss, correct = (self.totals / self.steps).tolist()
        refuse_divergence("training", loss, epoch)
        valid, parts = self._score(epoch)
        report = EpochReport(
            epoch=epoch,
            epochs=self.full_epochs,
            train_loss=loss,
            train_accuracy=correct / self.rows,
            valid=valid,
            learning_rate=rate,
            **self.drop.counts(epoch),
            parts=parts,
            images_per_second=self.ranks.world_size * self.rows * (self.steps - first) / seconds,
            memory_mib=peak_memory(self.device),
            seconds=time.perf_counter() - started,
        )
        self.history.append(report)
        self.step = 0
        return report

    def finish(self) -> None:
        """Leave the network in evaluation mode; with a moving average, as that average."""
        if self.average:
            self.average.swap()
        self.network.eval()

    def save(self, path: Path) -> None:
        """Keep the training: rank 0 writes, with what each process draws from its own generator."""
        generators = self.ranks.gather(rng_state(self.device).to(self.device)).cpu()
        if not self.ranks.leads:
            return
        state = {
            "identity": self._identity(),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": self.average.state() if self.average else {},
            "history": [report.state() for report in self.history],
            "step": self.step,
            "totals": self.totals,
            "drop": self.drop.state() if self.step else None,
            "generators": generators,
            "augmentation": self.augmentation.get_state(),
        }
        checkpoints.save(path, state)

    def resume(self, path: Path) -> None:
        """Take over what a checkpoint holds.

        Raises:
            RunFolderError: it is damaged or belongs to another training.
        """
        state = checkpoints.load_own(path, self._identity(), "training", self.device)
        try:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.scaler.load_state_dict(state["scaler"])
            if self.average:
                self.average.load_state(state["average"])
            self.history = [EpochReport.from_state(report) for report in state["history"]]
            self.step, self.totals = state["step"], state["totals"]
            self.drop.load_state(state["drop"])
            self._random = state["generators"][self.ranks.rank].cpu(), state["augmentation"].cpu()
        except _DAMAGE as error:
            reason = " ".join(str(error).split())[:200]
            raise RunFolderError(f"{path}: belongs to another network, or is damaged ({reason})") from error

    def _begin(self, epoch: int) -> None:
        rank = (self.ranks.rank,) if self.ranks.rank else ()  # rank 0 draws what a lone process would
        seed_rng(self.device, derive_seed(self.seed, epoch, "default", *rank))
        self.augmentation = augmentation(self.device, self.seed, epoch)
        self.totals.zero_()

    def _batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The rest of an epoch; in the middle of one, what is drawn goes on from the checkpoint's random states."""
        if self.step:
            set_rng_state(self.device, self._random[0])
            self.augmentation.set_state(self._random[1])
        return train_batches(
            self.data.train,
            self.data,
            self.settings,
            seed=self.seed,
            epoch=epoch,
            first=self.step,
            generator=self.augmentation,
            ranks=self.ranks,
        )

    def _take_step(self, epoch: int, batch: Tensor, labels: Tensor, rate: float) -> None:
        """One step of the optimiser; what it finds is added up on the device."""
        self.optimizer.zero_grad()
        loss, correct = self._forward(batch, labels, self.drop.paths(len(labels), epoch, self.step))
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.ranks.average_gradients(self.parameters)
        if self.settings.gradient_clip:
            self.scaler.unscale_(self.optimizer)
            clip_grad_norm_(self.parameters, self.settings.gradient_clip, foreach=True)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average:
            self.average.update(epoch * self.steps + self.step)
        self.totals += torch.stack([loss.detach().double(), correct.double()])

    def _forward(self, batch: Tensor, labels: Tensor, paths: Mapping[str, Draw]) -> tuple[Tensor, Tensor]:
        """What is minimised, auxiliary heads included, and the number of correct answers."""
        with autocasting(self.device, self.settings.autocast):
            output = self.network(batch, **paths)
        logits, auxiliary = output if isinstance(output, tuple) else (output, None)
        loss = self.loss(logits.float(), labels)
        if isinstance(auxiliary, tuple):
            loss = loss + torch.stack([self.loss(part.float(), labels) for part in auxiliary]).mean()
        elif auxiliary is not None:
            loss = loss + self.settings.auxiliary_weight * self.loss(auxiliary.float(), labels)
        return loss, (logits.detach().argmax(1) == labels).sum()

    def _score(self, epoch: int) -> tuple[Score | None, dict[str, float]]:
        """The score on the validation split, of the moving average where there is one, and of the network's parts."""
        if self.settings.norm_statistics == "local":
            self.ranks.average([buffer for buffer in self.network.buffers() if buffer.is_floating_point()])
        if not len(self.data.valid):
            return None, {}
        kinds: dict[str, Any] = {"autocast": self.settings.autocast, "channels_last": self.settings.channels_last}
        if self.average:
            self.average.swap()
        valid = evaluate(self.network, self.data.valid, self.data, **kinds)
        parts = evaluate_parts(self.network, self.data.valid, self.data, **kinds)
        if self.average:
            self.average.swap()
        refuse_divergence("validation", valid.loss, epoch)
        return valid, parts

    def _identity(self) -> dict[str, Any]:
        """What must be equal for a training to go on; how many of its epochs one call runs may differ."""
        return {
            "data": self.data.name,
            "images": len(self.data.train),
            "seed": self.seed,
            "full_epochs": self.full_epochs,
            "schedule": repr(self.schedule),
            "global_share": repr(self.global_share),
            "world_size": self.ranks.world_size,
            **self.settings.model_dump(exclude={"epochs", "checkpoint_steps"}),
        }
