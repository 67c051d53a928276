"""What the network of a cell costs: counted, or measured where it is."""

import torch
from torch import nn

from nasdrop.searchers.costs import NetworkCosts
from nasdrop.space import Genotype

CELL = Genotype.read("DARTS_V2")


class Network(nn.Module):
    """Two weights that count, and a head that does not."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1, bias=False)
        self.auxiliary = nn.Linear(2, 7)
        self.batches = []

    def forward(self, images):
        self.batches.append(images.shape)
        return self.layer(images)


class Training:
    """Stands for a training on 3x4 images of two channels, channels last."""

    class data:
        shape = (3, 4, 2)

    def __init__(self):
        self.built = Network()

    def network(self, genotype):
        return self.built


def test_parameters_and_multiply_adds():
    costs = NetworkCosts(Training())
    assert [costs(CELL, name) for name in costs.names[:2]] == [2, 3 * 4 * 2]


def test_latency_is_that_of_a_batch_in_evaluation():
    training = Training()
    assert 0 < NetworkCosts(training, batch=5)(CELL, "latency") < 1
    assert set(training.built.batches) == {torch.Size((5, 3, 4, 2))} and len(training.built.batches) > 3
