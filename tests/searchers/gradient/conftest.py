"""A search small enough to run in a second: the tiny space, 8x8 images, one normal cell and two reductions."""

from functools import partial

import pytest
import torch

from nasdrop.models.supernet import SuperNet
from nasdrop.searchers.gradient.learner import Learner
from nasdrop.searchers.gradient.loop import Loop
from nasdrop.searchers.gradient.mixture import Columns
from nasdrop.searchers.gradient.report import SearchEpoch
from nasdrop.searchers.gradient.strategies import make_strategy
from nasdrop.searchers.result import Silent
from nasdrop.searchers.training import Training
from nasdrop.settings import DartsSettings, Experiment
from nasdrop.space import SearchSpace
from nasdrop.train import Dataset, Images, Recorder, Score
from nasdrop.train.ranks import ALONE

torch.set_num_threads(1)


def _data(count=64, classes=4, side=8, seed=0):
    """Images of which the class is the brightest quarter; pixels are bytes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    pixels = torch.randint(0, 100, (count, 1, side, side), generator=generator, dtype=torch.uint8)
    for image, label in zip(pixels, labels.tolist(), strict=True):
        row, column = divmod(label, 2)
        image[:, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4] += 120
    images = Images(pixels, labels)
    names = tuple(map(str, range(classes)))
    return Dataset("quarters", images, images[:32], images[32:], names, (100.0,), (60.0,))


def _experiment(space="tiny", p=0.3, drop=None, **search):
    settings = {
        "kind": "gradient", "epochs": 2, "batch_size": 16, "channels": 4, "num_cells": 3, "alpha_learning_rate": 0.05,
    } | search  # fmt: skip
    table = {"p": p, "schedule": "constant"} | (drop or {})
    network = {"channels": 4, "num_cells": 3}
    final = {"drop": {"p": 0.0}}
    return Experiment.model_validate(
        {"name": "small", "space": space, "drop": table, "network": network, "search": settings, "final": final}
    )


def _training(folder, experiment, data=None, device="cpu"):
    record = partial(lambda label: Recorder(folder / "events" / label, metrics=folder / "metrics.jsonl", run=label))
    space = SearchSpace.load(experiment.space)
    device = torch.device(device)
    return Training(experiment, space, (data or _data()).to(device), device, folder / "checkpoints", record)


RESUMABLE = {
    "darts": {"crop_padding": 1, "flip": True},
    "gdas": {"strategy": "gdas"},
    "p_darts": {"strategy": "p_darts", "stage_cells": [3, 3], "stage_operations": [4, 2], "stage_skip_drop": [0.3, 0.5],
                "alpha_start": 0, "epochs": 1},
}  # fmt: skip


def resumable(name, folder):
    """A loop with a checkpoint a step; also called by `resume_process.py`."""
    experiment = _experiment(p=0.4, checkpoint_steps=1, batch_size=8, **RESUMABLE[name])
    return Loop(_training(folder, experiment), experiment.search, checkpoint=folder / "search.pt", observer=Silent())


class Listener(Silent):
    """Keeps what it is told."""

    def __init__(self):
        self.notes, self.epochs = [], []

    def note(self, line):
        self.notes.append(line)

    def search_epoch(self, epoch, epochs, facts):
        self.epochs.append((epoch, epochs, dict(facts)))


@pytest.fixture
def make_loop(tmp_path):
    """`make_loop(strategy="gdas", ...)`: a loop with these settings; `name` tells several of one test apart."""

    def make(name="run", observer=None, ranks=ALONE, data=None, device="cpu", **settings):
        experiment = _experiment(**settings)
        training = _training(tmp_path / name, experiment, data, device)
        checkpoint = tmp_path / name / "checkpoints" / "search.pt"
        return Loop(training, experiment.search, checkpoint=checkpoint, observer=observer or Silent(), ranks=ranks)

    return make


def _learner(space="robust_s3", p=0.4, **settings):
    torch.manual_seed(0)
    found = SearchSpace.load(space)
    supernet = SuperNet(found, channels=4, num_cells=3, num_classes=3, in_channels=2).double().train()
    with torch.no_grad():
        for alpha in supernet.alpha_parameters():
            alpha.normal_(0, 0.5)
    supernet.path_drop.set_rates(p)
    options = DartsSettings(kind="gradient", order=2, **settings)
    return Learner(supernet, make_strategy(options, Columns.of(supernet), found), options)


def _batch(seed, rows=6):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(rows, 2, 8, 8, generator=generator, dtype=torch.float64)
    return images, torch.randint(3, (rows,), generator=generator)


def _masks(learner, step, rows=6):
    path_drop = learner.supernet.path_drop
    return path_drop.draw(path_drop.rates, rows, 1, 0, step)


def _report(epoch, skips=0, moved=1.0, eigenvalue=None, kept=8, **other):
    values = {
        "epoch": epoch, "epochs": 50, "stage": 0, "weights_loss": 1.0, "train_accuracy": 0.5, "alphas_loss": 1.0,
        "valid": Score(0.5, 1.0, 5, 10), "entropy": {"normal": 1.0}, "skip_share": {"normal": 0.1},
        "skips": {"normal": skips}, "kept": {"normal": kept}, "changes": 0, "moved": moved, "weights_norm": 1.0,
        "alphas_norm": 1.0, "eigenvalue": eigenvalue, "learning_rate": 0.1, "seconds": 1.0, "genotype": "{}",
    }  # fmt: skip
    return SearchEpoch(**(values | other))


@pytest.fixture(scope="session")
def make_data():
    return _data


@pytest.fixture(scope="session")
def make_experiment():
    return _experiment


@pytest.fixture(scope="session")
def make_training():
    return _training


@pytest.fixture(scope="session")
def make_learner():
    return _learner


@pytest.fixture(scope="session")
def make_batch():
    return _batch


@pytest.fixture(scope="session")
def make_report():
    return _report


@pytest.fixture(scope="session")
def masks():
    return _masks


@pytest.fixture(scope="session")
def make_resumable():
    return resumable


@pytest.fixture
def listener():
    return Listener()
