"""Builds a genotype's network and trains it as the experiment says.

There is this one way, for trials, for the best cell and for the baselines.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from nasdrop.drop import Schedule, make_schedule
from nasdrop.files import digest
from nasdrop.models.cost import Cost, count
from nasdrop.models.network import Network
from nasdrop.settings import Experiment
from nasdrop.space import Genotype, SearchSpace
from nasdrop.train import Dataset, EpochReport, Recorder, evaluate, fit


@dataclass(frozen=True)
class Outcome:
    """A finished training.

    Attributes:
        accuracy: in [0, 1], on `valid` of the data, or on `test` where that is empty.
        loss: mean cross-entropy there.
        cost: parameters (auxiliary head apart) and multiply-adds.
        seconds: wall time of this call.
        network: trained, on its device.
    """

    accuracy: float
    loss: float
    cost: Cost
    seconds: float
    network: Network


@dataclass(frozen=True)
class Training:
    """How this experiment trains a cell.

    Attributes:
        experiment: network, drop and training settings.
        space: the cells' space.
        data: on its device; `train` is trained on, `valid` is scored after each epoch, `test` only where that is empty.
        device: where.
        checkpoints: folder of unfinished trainings; a training found there goes on.
        record: opens the recorder of a training by its label.
    """

    experiment: Experiment
    space: SearchSpace
    data: Dataset
    device: torch.device
    checkpoints: Path
    record: Callable[[str], Recorder]

    def key(self, genotype: Genotype) -> str:
        """Names a cell in files: cells that are equal in canonical form share it."""
        return digest(self.space.canonical(genotype))[:12]

    def schedule(self, *, drop: bool = True) -> Schedule:
        """The drop schedule, or one that never drops."""
        settings = self.experiment.drop
        return make_schedule(settings.schedule, settings.p if drop else 0.0, depth=settings.depth, clock=settings.clock)

    def network(self, genotype: Genotype, seed: int = 0) -> Network:
        """A fresh network on the device; equal seeds give equal weights, the global random state stays as it was."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = build_network(
                self.experiment, self.space, genotype, shape=self.data.shape, num_classes=self.data.num_classes
            )
        return network.to(self.device)

    def cost(self, genotype: Genotype) -> Cost:
        """Parameters and multiply-adds of a cell's network for one image."""
        return count(self.network(genotype), self.data.shape)

    def run(
        self,
        genotype: Genotype,
        *,
        label: str,
        epochs: int,
        seed: int,
        drop: bool = True,
        on_epoch: Callable[[EpochReport], None] | None = None,
    ) -> Outcome:
        """Train a cell from scratch, or on from its checkpoint, and score it.

        Args:
            genotype: the cell.
            label: names its checkpoint and its events.
            epochs: the whole budget; all schedules run over it.
            seed: of weights, order of data, augmentation and masks.
            drop: false trains without drop path.
            on_epoch: called after every epoch; may raise to stop.
        """
        started = time.monotonic()
        network = self.network(genotype, seed)
        checkpoint = self.checkpoints / f"{label}.pt"
        with self.record(label) as recorder:
            result = fit(
                network,
                self.data,
                self.experiment.train,
                schedule=self.schedule(drop=drop),
                seed=seed,
                epochs=epochs,
                checkpoint=checkpoint,
                recorder=recorder,
                on_epoch=on_epoch,
            )
        score = result.valid or evaluate(network, self.data.test, self.data)
        checkpoint.unlink(missing_ok=True)
        return Outcome(score.accuracy, score.loss, self.cost(genotype), time.monotonic() - started, network)


def build_network(
    experiment: Experiment, space: SearchSpace, genotype: Genotype, *, shape: tuple[int, ...], num_classes: int
) -> Network:
    """The network that an experiment puts a cell into.

    Args:
        experiment: network and drop settings.
        space: the cell's space.
        genotype: the cell.
        shape: (C, *spatial) of one image.
        num_classes: logits.
    """
    size, drop = experiment.network, experiment.drop
    return Network(
        space,
        genotype,
        channels=size.channels,
        num_cells=size.num_cells,
        num_classes=num_classes,
        in_channels=shape[0],
        auxiliary=size.auxiliary,
        ndim=len(shape) - 1,
        dropout=size.dropout,
        drop={
            "policy": drop.policy,
            "mode": drop.mode,
            "exempt_identity": drop.exempt_identity,
            "survivors": drop.survivors,
            "at_least": drop.at_least,
        },
    )
