"""An experiment proposed for a user's own data: sizes that fit the data, and a budget that fits the time there is.

What is measured here is a training step of a few random cells on this machine; all else is counted from it.
"""

import json
import random
import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nasdrop import config
from nasdrop.errors import DataError
from nasdrop.models.estimate import step_seconds
from nasdrop.searchers.training import build_network
from nasdrop.settings import DataSettings, Experiment
from nasdrop.space import SearchSpace
from nasdrop.train import Dataset, choose_device, set_threads
from nasdrop.train.device import num_cores
from nasdrop.train.sizes import look
from nasdrop.train.sources import read
from nasdrop.train.survey import class_counts, mirrors, uneven

SPACES = {1: "signal_1d", 2: "darts", 3: "tiny"}  # by the number of sides

# (trials, epochs of a trial), the first that fits the time is taken
_BUDGETS = ((40, 16), (32, 12), (24, 10), (16, 8), (12, 6), (8, 5), (6, 4), (4, 3))
_FEWEST = 2000  # images that a search wants to rank cells on, where there are so many
_LEAST = 200  # that it gets in any case
_MOST_EPOCHS, _GOOD_EPOCHS = 50, 20  # of a final training: never more; enough to afford baselines
_OVERHEAD = 1.2  # augmentation, validation, checkpoints: what a bare training step does not have
_MANY = 5000  # training images of which a tenth is enough to validate on
_SIDES = {"cpu": 32, "cuda": 64}  # pixels of the largest pictures that are proposed, by the device
_KINDS = {1: "grey", 3: "RGB", 4: "RGBA"}
_CELLS = 3  # random cells that are timed


@dataclass(frozen=True)
class Proposal:
    """A proposed experiment.

    Attributes:
        experiment: valid as it stands.
        text: the same as a commented file.
        seconds: estimated time of the whole run on this machine, if no trial is pruned.
        step: measured median seconds of a training step.
    """

    experiment: Experiment
    text: str
    seconds: float
    step: float


@dataclass(frozen=True)
class Budget:
    """How much is trained: trials of some epochs on some images, then some final trainings."""

    trials: int
    epochs: int
    images: int
    final_epochs: int
    seeds: int
    baselines: bool

    @property
    def trainings(self) -> int:
        """Final trainings: the best cell, and with baselines as many without drop path and of random cells."""
        return self.seeds * (3 if self.baselines else 1)

    def seconds(self, image: float, all_images: int, workers: int) -> float:
        """Estimated time, given that of one image."""
        search = self.trials * self.epochs * self.images / workers
        final = -(-self.trainings // workers) * self.final_epochs * all_images
        return image * (search + final)


def look_at(path: Path, size: int = 0, device: str = "auto") -> tuple[DataSettings, list[tuple[str, str]]]:
    """Settings for the data that a path names, and what is known of them before they are read.

    Args:
        path: a folder, a CSV file or an .npz file.
        size: side that pictures are brought to; 0: as fits the device.
        device: where it will run.

    Raises:
        DataError: it is none of these, or what it names is wrong.
    """
    where = path.resolve()
    if where.is_dir():
        settings = DataSettings(name="folder", root=str(where))
    elif where.suffix.lower() in (".csv", ".tsv", ".npz"):
        name = "npz" if where.suffix.lower() == ".npz" else "csv"
        settings = DataSettings(name=name, root=str(where.parent), file=where.name)
    else:
        raise DataError(f"{path}: must be a folder, a .csv or an .npz file, got {path.suffix or 'neither'!r}")
    source = read(settings)
    count = len(source.parts["train"][1])
    changes: dict[str, Any] = {}
    if "valid" not in source.parts:
        changes["valid_fraction"] = 0.25 if count < _MANY else 0.1
    if source.listing is None:
        count = sum(len(labels) for _, labels in source.parts.values())
        return settings.model_copy(update=changes), [("samples", str(count))]
    found = look(source.listing)
    channels, height, width = found.shape(settings)
    most = _SIDES[choose_device(device).type]
    if size or max(height, width) > most:
        changes["size"] = size or min(found.side, most)
    changes["channels"] = channels
    facts = [
        ("pictures", f"{len(source.listing.names)} of {found.describe()} pixels, {_KINDS[channels]}"),
        *([("left out", f"{source.listing.others} other files")] if source.listing.others else []),
    ]
    return settings.model_copy(update=changes), facts


def fit_budget(image: float, train: int, all_images: int, seconds: float, workers: int) -> Budget:
    """Spend a third of the time on the search, and the rest on final trainings.

    Args:
        image: seconds to train on one image.
        train: images of the training split.
        all_images: with those of the validation split, which final trainings use too.
        seconds: time there is.
        workers: processes that train side by side.
    """
    search, final_share = seconds / 3 / image, 2 * seconds / 3 / image
    wanted = min(train, _FEWEST)
    fitting = [pair for pair in _BUDGETS if search * workers / (pair[0] * pair[1]) >= wanted]
    trials, epochs = fitting[0] if fitting else _BUDGETS[-1]
    images = min(train, max(_LEAST, int(search * workers / (trials * epochs))))
    for seeds, baselines in ((3, True), (3, False), (1, False)):
        rounds = -(-seeds * (3 if baselines else 1) // workers)
        final = int(final_share / (rounds * all_images))
        if final >= _GOOD_EPOCHS:
            break
    return Budget(trials, epochs, images, min(_MOST_EPOCHS, max(1, final)), seeds, baselines)


def propose(data: Dataset, settings: DataSettings, source: Path, *, minutes: float, device: str = "auto") -> Proposal:
    """An experiment for data that were looked at.

    Args:
        data: as `settings` load it.
        settings: of the data, as they will be written.
        source: what the user named; its name becomes the experiment's.
        minutes: time that the whole run may take, about.
        device: where it will run.

    Raises:
        DataError: there are too few classes or images to search on.
    """
    if data.num_classes < 2 or len(data.train) < 2 * data.num_classes:
        got = f"{data.num_classes} classes and {len(data.train)} training images"
        raise DataError(f"{source}: must have two classes or more, and two training images of each, got {got}")
    where = choose_device(device)
    workers = num_cores() if where.type == "cpu" else 1
    tree = _sizes(data, settings, source, where, workers)
    step = _measure(config.validate(Experiment, tree, "proposal"), data, where)
    image = _OVERHEAD * step / tree["train"]["batch_size"]
    everything = len(data.train) + len(data.valid)
    budget = fit_budget(image, len(data.train), everything, 60 * minutes, workers)
    _spend(tree, budget, len(data.train))
    seconds = budget.seconds(image, everything, workers)
    experiment = config.validate(Experiment, tree, "proposal")
    return Proposal(experiment, "\n".join(_lines(tree, data, source)) + "\n", seconds, step)


def _sizes(data: Dataset, settings: DataSettings, source: Path, device: torch.device, workers: int) -> dict[str, Any]:
    """What follows from the data and the device alone."""
    small = device.type == "cpu"
    most = 6 if small else 7  # powers of two: on a CPU larger batches gain nothing, and small budgets want many steps
    side = min(data.shape[1:])
    counts = class_counts(data.train, data.num_classes)
    batch = 2 ** min(most, max(3, (len(data.train) // 16).bit_length() - 1))
    return {
        "name": _slug(source),
        "space": SPACES[len(data.shape) - 1],
        "threads": 1 if small else 0,
        "workers": workers,
        "data": settings.model_dump(mode="json", exclude_defaults=True),
        "network": {"channels": 8 if small else 16, "num_cells": 3 if small else 8},
        "drop": {"p": 0.2},
        "train": {
            "batch_size": min(batch, len(data.train)),
            "crop_padding": side // 16,
            "flip": mirrors(data),
            **({"class_weights": "balanced", "metric": "balanced_accuracy"} if uneven(counts) else {}),
        },
        "search": {},
        "final": {},
    }


def _measure(experiment: Experiment, data: Dataset, device: torch.device) -> float:
    """Median time of a training step, over random cells."""
    space, dice = SearchSpace.load(experiment.space), random.Random(0)  # noqa: S311 - a reproducible draw
    set_threads(experiment.threads)
    times = []
    for _ in range(_CELLS):
        network = build_network(
            experiment, space, space.sample(dice), shape=data.shape, num_classes=data.num_classes
        ).to(device)
        times.append(step_seconds(network, data.shape, experiment.train.batch_size))
    return statistics.median(times)


def _spend(tree: dict[str, Any], budget: Budget, train: int) -> None:
    """Write a budget into the settings."""
    if budget.images < train:
        tree["data"]["train_limit"] = budget.images
    tree["search"] |= {"trials": budget.trials, "epochs": budget.epochs, "min_epochs": max(1, budget.epochs // 4)}
    tree["train"]["epochs"] = budget.final_epochs
    tree["final"] = {
        "seeds": budget.seeds,
        "random_cells": budget.seeds if budget.baselines else 0,
        "without_drop": budget.baselines,
        "genotype": "",
    }


def _slug(source: Path) -> str:
    """A name that a run folder may have."""
    return re.sub(r"[^a-z0-9_-]+", "_", source.resolve().stem.lower()).strip("_-") or "own_data"


_WHY = {
    "threads": "a second process gains more than a second thread on small networks",
    "workers": "processes that search side by side; 1: a search that repeats itself exactly",
    "data.size": "pictures are scaled and cropped to this; larger shows more and takes longer, by the square",
    "data.channels": "1: grey, 3: RGB, 4: RGBA",
    "data.valid_fraction": "of the training images; the search scores on it",
    "data.train_limit": "the search ranks cells on so many; the best one is trained on all",
    "network.channels": "of the first cells; doubled at each reduction; the first knob for more accuracy",
    "network.num_cells": "two of them halve the sides; the second knob",
    "drop.p": "drop path: probability at the end of each training; `nasdrop drop show` draws it",
    "train.epochs": "of the best cell and of its baselines",
    "train.crop_padding": "pixels that training images are shifted by, at random",
    "train.flip": "true where mirrored images still look like their class",
    "train.class_weights": "the classes differ in size: rare ones count more",
    "train.metric": "what the search maximises",
    "search.trials": "cells that are tried",
    "search.epochs": "of each, if it is not pruned",
    "search.min_epochs": "before a cell may be pruned",
    "final.seeds": "trainings of the best cell; 3 give a spread",
    "final.random_cells": "baseline: does the search beat chance?",
    "final.without_drop": "baseline: does drop path help?",
    "final.genotype": "baseline: a published cell, such as DARTS_V2",
}


def _lines(tree: dict[str, Any], data: Dataset, source: Path) -> Iterator[str]:
    """The file: a comment beside what a user may want to change."""
    images = len(data.train) + len(data.valid) + len(data.test)
    yield f"# Written by nasdrop init for {json.dumps(str(source))}: {images} images of {data.num_classes} classes."
    yield "# All settings with their defaults: nasdrop config show FILE; what they mean: nasdrop config schema."
    yield from _table(tree, "")
    for name, table in tree.items():
        if isinstance(table, dict):
            yield f"\n[{name}]"
            yield from _table(table, f"{name}.")


def _table(table: dict[str, Any], prefix: str) -> Iterator[str]:
    for key, value in table.items():
        if not isinstance(value, dict):
            line = f"{key} = {json.dumps(value)}"  # of texts, numbers and switches, JSON is TOML
            why = _WHY.get(prefix + key)
            yield f"{line:<28}# {why}" if why else line
