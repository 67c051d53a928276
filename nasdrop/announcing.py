"""What is told before a run begins: what will be done, how large it is, and where drop path is active."""

import random

import torch
from torch import nn

from nasdrop.drop import DropScheduler
from nasdrop.models.estimate import estimate
from nasdrop.retrain import given_cell
from nasdrop.run_folder import RunFolder
from nasdrop.searchers.fidelity import ladder_text
from nasdrop.searchers.finals import label_of
from nasdrop.searchers.goals import limits_text
from nasdrop.searchers.gradient.part import build_supernet
from nasdrop.searchers.gradient.stages import stages
from nasdrop.searchers.result import Observer
from nasdrop.searchers.training import Training
from nasdrop.settings import CellSettings, StudySettings
from nasdrop.space import Genotype
from nasdrop.view import units

_AUTOCAST = {"none": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def announce(training: Training, folder: RunFolder, observer: Observer) -> None:
    """Say what will be done and where drop is active, before anything runs."""
    experiment, data, settings = training.experiment, training.data, training.experiment.search
    if isinstance(settings, CellSettings):
        announce_cell(training.discrete(), given_cell(settings, training.space), folder, observer)
        return
    genotype = training.space.sample(random.Random(experiment.seed))  # noqa: S311 - any cell shows the rates
    network: nn.Module
    drop, epochs = experiment.drop, settings.epochs
    if isinstance(settings, StudySettings) and settings.evaluator == "training":
        network, cost = training.network(genotype), training.cost(genotype)
        plan = f"{settings.trials} trials of at most {settings.epochs} epochs, {settings.sampler}"
        plan += limits_text(settings) + ladder_text(settings)
    else:
        supernet = settings.supernet if isinstance(settings, StudySettings) else settings
        network, cost = build_supernet(training, supernet, supernet.num_cells), training.discrete().cost(genotype)
        size = f"{supernet.num_cells} cells, {supernet.channels} channels"
        epochs = supernet.epochs
        if isinstance(settings, StudySettings):
            plan = f"{settings.trials} cells, {settings.sampler}, by a supernet's weights after {epochs} epochs: {size}"
        else:
            plan = f"{settings.strategy}, {epochs * len(stages(settings))} epochs: {size}"
    scheduler = DropScheduler(network, training.schedule(genotype), epochs=epochs)
    facts = [
        ("run folder", folder.path),
        ("space", f"{training.space.name}: {training.space.size:.3g} genotypes"),
        ("data", f"{data.name}: {len(data.train)} train, {len(data.valid)} validation, {len(data.test)} test images"),
        *([("", data.note)] if data.note else []),
        (
            "network",
            f"{experiment.network.num_cells} cells, {experiment.network.channels} channels "
            f"(a random one: {cost.parameters:,} parameters, {cost.multiply_adds:,} multiply-adds)",
        ),
        ("search", plan),
        *(
            [("beside the cell", ", ".join(settings.beside))]
            if isinstance(settings, StudySettings) and settings.beside
            else []
        ),
        ("drop path", f"{drop.policy}, {drop.schedule} to p = {drop.p:g}, a decision a {drop.mode}"),
        ("device", f"{training.device}, {torch.get_num_threads()} threads"),
    ]
    observer.planned(facts, scheduler.table())


def announce_cell(training: Training, genotype: Genotype, folder: RunFolder, observer: Observer) -> None:
    """Say what will be trained, what it will cost, and where drop is active.

    Args:
        training: with the drop path of final trainings.
        genotype: the cell.
        folder: of the run.
        observer: is told.
    """
    experiment, data = training.experiment, training.data
    settings, drop, final = experiment.train, experiment.drop, experiment.final
    network, cost = training.network(genotype), training.cost(genotype)
    step = estimate(network, data.shape, settings.batch_size, autocast=_AUTOCAST[settings.autocast], steps=1)
    images = len(data.train) + (0 if final.validate_epochs else len(data.valid))
    epoch = step.seconds * max(1, images // settings.batch_size)
    facts = [
        ("run folder", folder.path),
        ("cell", f"{label_of(training)}, of space {training.space.name}"),
        ("data", f"{data.name}: {images} train, {len(data.test)} test images"),
        *([("", data.note)] if data.note else []),
        (
            "network",
            f"{experiment.network.num_cells} cells, {experiment.network.channels} channels: "
            f"{cost.parameters:,} parameters, {cost.multiply_adds:,} multiply-adds",
        ),
        ("training", f"{settings.epochs} epochs, {final.seeds} seeds, from {final.inherit or 'scratch'}"),
        (
            "estimate",
            f"{step.bytes / 2**20:,.0f} MiB of tensors; {units.duration(epoch)} an epoch, "
            f"{units.duration(epoch * settings.epochs)} a training",
        ),
        ("drop path", f"{drop.policy}, {drop.schedule} to p = {drop.p:g}, a decision a {drop.mode}"),
        ("device", f"{training.device}, {torch.get_num_threads()} threads"),
    ]
    scheduler = DropScheduler(network, training.schedule(genotype), epochs=settings.epochs)
    observer.planned(facts, scheduler.table())
