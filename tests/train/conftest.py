"""Small networks and data for the tests of the training room; also imported by `resume_process.py`."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from nasdrop.drop import Path, PathDrop
from nasdrop.settings import DataSettings
from nasdrop.train import Dataset, Images, load


class TinyNet(nn.Module):
    """Two droppable convolutions summed, batch norm, dropout from the default generator, a classifier."""

    def __init__(self, channels=1, classes=10, ndim=2, width=6, dropout=0.1):
        super().__init__()
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[ndim - 1]
        norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[ndim - 1]
        self.stem = conv(channels, width, 3, padding=1, stride=2)
        self.left = conv(width, width, 3, padding=1, bias=False)
        self.right = conv(width, width, 1, bias=False)
        self.norm = norm(width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)
        self.path_drop = PathDrop([Path("left", 0, 0, 0.5), Path("right", 0, 0, 0.5)])
        self.seen = []

    def forward(self, x, paths=None):
        self.seen.append(paths)
        x = functional.relu(self.stem(x))
        branches = [self.left(x), self.right(x)]
        if self.training:
            drawn = self.path_drop.sample(self.path_drop.rates, len(x)) if paths is None else paths
            if drawn.factors is not None:
                shape = (-1, *[1] * (x.dim() - 1))
                branches = [b * f.view(shape) for b, f in zip(branches, drawn.factors, strict=True)]
        x = functional.relu(self.norm(branches[0] + branches[1]))
        return self.classifier(self.dropout(x.flatten(2).mean(2)))


class Twice(nn.Module):
    """A network with an auxiliary head and nothing that drops."""

    def __init__(self, features=64, classes=10):
        super().__init__()
        self.main, self.extra = nn.Linear(features, classes), nn.Linear(features, classes)

    def forward(self, x):
        x = x.flatten(1)
        return (self.main(x), self.extra(x)) if self.training else self.main(x)


def make_net(seed=0, **options):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return TinyNet(**options)


def random_data(shape=(1, 8, 8), train=64, valid=16, test=16, classes=4, seed=0):
    """Random bytes, with the label written into their brightness, so that something can be learnt."""
    dice = np.random.default_rng(seed)

    def images(count):
        labels = torch.from_numpy(dice.integers(0, classes, count))
        noise = torch.from_numpy(dice.integers(0, 64, (count, *shape)))
        pixels = noise + 40 * labels.view(-1, *[1] * len(shape))
        return Images(pixels.to(torch.uint8), labels)

    names = tuple(map(str, range(classes)))
    mean, std = (90.0,) * shape[0], (50.0,) * shape[0]
    return Dataset("random", images(train), images(valid), images(test), names, mean, std)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Threads that wait for each other on busy cores make small networks ten times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def digits():
    return load(DataSettings())


@pytest.fixture(name="make_net")
def make_net_fixture():
    return make_net


@pytest.fixture(name="random_data")
def random_data_fixture():
    return random_data


@pytest.fixture
def twice():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Twice()
