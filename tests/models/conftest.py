"""Small networks and inputs that the tests of this room share."""

import random

import pytest
import torch

from nasdrop.models.network import Network
from nasdrop.space.genotype import Genotype
from nasdrop.space.space import SearchSpace


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture
def build():
    """A small network of a random or a given genotype of a space."""

    def small_network(space="darts", genotype=None, *, seed=0, **options):
        space = SearchSpace.load(space)
        genotype = Genotype.read(genotype) if genotype else space.sample(random.Random(seed))
        return Network(space, genotype, **{"channels": 4, "num_cells": 3, "in_channels": 2, **options})

    return small_network
