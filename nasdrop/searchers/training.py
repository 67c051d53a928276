"""Builds a genotype's network and trains it as the experiment says.

There is this one way, for trials, for the best cell and for the baselines.
"""

import random
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from nasdrop.beside import Chosen, applied, candidate_digest, extremes
from nasdrop.drop import Schedule, make_schedule
from nasdrop.errors import ConfigError, InputError
from nasdrop.models.cost import Cost, count
from nasdrop.models.fractal import FractalDrop, FractalNet
from nasdrop.models.fractal_genotype import fractal_network
from nasdrop.models.network import Network
from nasdrop.models.resnet import ResNet, resnet_of
from nasdrop.searchers.pictures import picture_cell, picture_rates, tell_settings
from nasdrop.settings import BesideSettings, DropSettings, Experiment, WeightSettings
from nasdrop.space import Genotype, SearchSpace
from nasdrop.train import ALONE, Dataset, EpochReport, Ranks, Recorder, Score, evaluate, evaluate_parts, fit, reestimate
from nasdrop.train.criterion import Loss, make_loss


@dataclass(frozen=True)
class Outcome:
    """A finished training.

    Attributes:
        accuracy: in [0, 1], on `valid` of the data, or on `test` where that is empty.
        loss: mean cross-entropy there.
        cost: parameters (auxiliary head apart) and multiply-adds.
        seconds: wall time of this call.
        network: trained, on its device.
        score: all that was measured there.
        parts: accuracy in [0, 1] of each column of a fractal network, on the same images.
        valid: score on the validation split after the last epoch; None where none is held out.
    """

    accuracy: float
    loss: float
    cost: Cost
    seconds: float
    network: nn.Module
    score: Score
    parts: Mapping[str, float] = field(default_factory=dict)
    valid: Score | None = None


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
        sources: folder with copies of the user's own Python.
        chosen: the settings that were chosen beside the cell; the experiment has them in their places.
        ranks: the processes that share each training.
        parent: gives a cell's network weights to start from; None: it starts from scratch.
    """

    experiment: Experiment
    space: SearchSpace
    data: Dataset
    device: torch.device
    checkpoints: Path
    record: Callable[[str], Recorder]
    sources: Path = Path()
    chosen: Chosen = field(default_factory=dict)
    ranks: Ranks = ALONE
    parent: Callable[[nn.Module, Genotype], None] | None = None

    def under(self, chosen: Chosen) -> "Training":
        """The same training with settings that were chosen beside the cell."""
        return replace(self, experiment=applied(self.experiment, chosen), chosen=chosen) if chosen else self

    def loss(self, settings: WeightSettings) -> Loss:
        """The loss that settings ask for; a user's own as the run holds it, or from the working directory."""
        return make_loss(settings, self.data.train.labels, self.data.num_classes, (self.sources, Path()))

    def discrete(self) -> "Training":
        """The same training with the drop path that the experiment has for trainings after the search."""
        return replace(self, experiment=discrete(self.experiment))

    def key(self, genotype: Genotype) -> str:
        """Names a cell in files: cells that are equal in canonical form share it, under equal settings beside them."""
        return candidate_digest(self.space.canonical(genotype), self.chosen)[:12]

    def schedule(self, genotype: Genotype | None = None, *, drop: bool = True) -> Schedule:
        """The drop schedule, or one that never drops; a genotype that says its rate has its own."""
        schedule = drop_schedule(self.experiment.drop, genotype)
        return schedule if drop else schedule.changed(p=0.0)

    def global_share(self, genotype: Genotype, *, drop: bool = True) -> Schedule | None:
        """The share of single columns over time; None where the policy says it, or there are no columns."""
        settings = self.experiment.drop
        own = dict(genotype.options).get("global_share")
        if self.space.skeleton != "fractal" or (drop and own is None and settings.policy != "fractal"):
            return None
        share = settings.global_share if own is None else float(own)
        return make_schedule(settings.global_schedule, share if drop else 0.0)

    def network(self, genotype: Genotype, seed: int = 0) -> Network | FractalNet:
        """A fresh network on the device; equal seeds give equal weights, the global random state stays as it was."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = build_network(
                self.experiment, self.space, genotype, shape=self.data.shape, num_classes=self.data.num_classes
            )
        return network.to(self.device)

    def resnet(self, genotype: Genotype, seed: int = 0) -> ResNet:
        """A fresh residual network on the device, of as many parameters as a cell's network has."""
        parameters, data = self.cost(genotype).parameters, self.data
        sizes = (parameters, data.num_classes, data.shape[0])
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = resnet_of(*sizes, ndim=len(data.shape) - 1, mode=self.experiment.drop.mode)
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
        resnet: bool = False,
        test: bool = False,
        pictures: bool = False,
        on_epoch: Callable[[EpochReport], None] | None = None,
    ) -> Outcome:
        """Train a cell from scratch, or on from its checkpoint, and score it.

        Args:
            genotype: the cell.
            label: names its checkpoint and its events.
            epochs: the whole budget; all schedules run over it.
            seed: of weights, order of data, augmentation and masks.
            drop: false trains without drop path.
            resnet: train a residual network of as many parameters in the cell's place.
            test: score on `test` at the end, also where there is a validation split.
            pictures: record the cell and its edges over time as pictures too; a third of a second, much for a trial.
            on_epoch: called after every epoch; may raise to stop.
        """
        started = time.monotonic()
        network = self.resnet(genotype, seed) if resnet else self.network(genotype, seed)
        if self.parent and not resnet:
            self.parent(network, genotype)
        checkpoint = self.checkpoints / f"{label}.pt"
        with self.record(label) if self.ranks.leads else nullcontext() as recorder:
            if recorder and not checkpoint.exists():
                tell_settings(recorder, self.experiment, self.space, None if resnet else genotype, drop=drop)
                if pictures and not resnet:
                    picture_cell(recorder, genotype)
            result = fit(
                network,
                self.data,
                self.experiment.train,
                schedule=self.schedule(genotype, drop=drop),
                global_share=self.global_share(genotype, drop=drop),
                seed=seed,
                epochs=epochs,
                checkpoint=checkpoint,
                recorder=recorder,
                on_epoch=on_epoch,
                loss=self.loss(self.experiment.train),
                ranks=self.ranks,
            )
            if recorder and pictures:
                realised = [report.realised for report in result.history]
                picture_rates(recorder, realised, network.path_drop, len(realised) - 1)
        scored = None if test else result.valid
        if not scored and isinstance(network, FractalNet) and self.experiment.network.fractal.reestimate:
            for part in (network, *(network.parts().values() if network.own_statistics else ())):
                reestimate(part, self.data.train, self.data)
        score = scored or evaluate(network, self.data.test, self.data)
        parts = result.history[-1].parts if scored else evaluate_parts(network, self.data.test, self.data)
        if self.ranks.leads:
            checkpoint.unlink(missing_ok=True)
        cost, seconds = count(network, self.data.shape), time.monotonic() - started
        return Outcome(score.accuracy, score.loss, cost, seconds, network, score, parts, result.valid)


def check_beside(training: Training, beside: Mapping[str, BesideSettings]) -> None:
    """Refuse what no network can be built with, before hours are spent on what can.

    Each choice, and each end of a range, is tried beside the experiment's own settings.

    Raises:
        ConfigError: all mistakes, one line each.
    """
    genotype = training.space.sample(random.Random(0))  # noqa: S311 - any cell shows them
    lines = []
    for key, options in beside.items():
        conditions = {name: allowed[0] for name, allowed in options.when.items()}
        for value in extremes(options):
            tried = training.under({**conditions, key: value})
            try:
                tried.network(genotype)
                tried.schedule(genotype)
            except InputError as error:
                lines += [f"search.beside.{key}: {value!r} cannot be used: {line}" for line in error.lines]
    if lines:
        raise ConfigError(*dict.fromkeys(lines))


def drop_schedule(settings: DropSettings, genotype: Genotype | None = None) -> Schedule:
    """The drop schedule of an experiment; a genotype that says its rate has its own."""
    own = None if genotype is None else dict(genotype.options).get("p")
    p = settings.p if own is None else float(own)
    return make_schedule(settings.schedule, p, depth=settings.depth, clock=settings.clock)


def discrete(experiment: Experiment) -> Experiment:
    """The experiment with `[final.drop]` in the place of `[drop]`, where it has one."""
    return experiment.model_copy(update={"drop": experiment.final.drop or experiment.drop})


def build_network(
    experiment: Experiment, space: SearchSpace, genotype: Genotype, *, shape: tuple[int, ...], num_classes: int
) -> Network | FractalNet:
    """The network that an experiment puts a cell or a fractal block into.

    Args:
        experiment: network and drop settings.
        space: the cell's space.
        genotype: the cell.
        shape: (C, *spatial) of one image.
        num_classes: logits.

    Raises:
        ConfigError: the experiment asks for what this kind of network does not have.
    """
    if space.skeleton == "fractal":
        return _build_fractal(experiment, genotype, shape, num_classes)
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
        dropout_kind=size.dropout_kind,
        stem=size.stem,
        drop={
            "policy": drop.policy,
            "mode": drop.mode,
            "exempt_identity": drop.exempt_identity,
            "survivors": drop.survivors,
            "at_least": drop.at_least,
        },
    )


def _build_fractal(experiment: Experiment, genotype: Genotype, shape: tuple[int, ...], num_classes: int) -> FractalNet:
    size, drop = experiment.network, experiment.drop
    usual = {"auxiliary": False, "dropout": 0.0, "dropout_kind": "dropout", "stem": "cifar"}
    given = {key: getattr(size, key) for key in usual}
    lines = [
        f"network.{key}: a fractal network has none, got {given[key]!r}" for key in usual if given[key] != usual[key]
    ]
    if lines:
        raise ConfigError(*lines)
    options: FractalDrop = {
        "policy": drop.policy,
        "mode": drop.mode,
        "survivors": drop.survivors,
        "at_least": drop.at_least,
        "global_share": drop.global_share if drop.policy == "fractal" else None,
    }
    return fractal_network(
        genotype,
        size.channels,
        size.num_cells,
        num_classes,
        shape[0],
        ndim=len(shape) - 1,
        p=drop.p,
        drop=options,
        **size.fractal.model_dump(exclude={"reestimate"}),
    )
