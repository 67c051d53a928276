"""Fractal genotypes become networks: what the genotype says wins."""

import random

import pytest
import torch

from nasdrop.errors import GenotypeError
from nasdrop.models.fractal_genotype import fractal_network
from nasdrop.models.network import Network
from nasdrop.space import Genotype, load_space
from nasdrop.space.fractal import fractal_cell

OPTIONS = {"join": "join_then_pool", "widths": "1,3", "dropout": "0.1,0.2", "p": "0.3", "global_share": "0.25"}


def genotype(operations=(("conv_1x1",), ("conv_3x3", "dil_conv_3x3")), **options):
    return Genotype("fractal", (fractal_cell(operations),), tuple(options.items()))


def test_a_genotype_says_what_is_built():
    network = fractal_network(genotype(**OPTIONS), 4, 3, 7, 2, drop={"mode": "row", "global_share": 0.9}, p=0.1)
    assert [block.columns[0][0].convolution.weight.shape[:2] for block in network.blocks] == [(4, 2), (12, 4), (12, 12)]
    assert [block.columns[1][1].dropout for block in network.blocks] == [0.1, 0.2, 0.2]
    assert not any(block.pools_first for block in network.blocks)
    assert network.path_drop.mode == "row"
    assert float(network.path_drop.global_share) == 0.25
    assert network.path_drop.rates.unique().tolist() == pytest.approx([0.3])
    assert network.blocks[0].columns[0][0].convolution.kernel_size == (1, 1)
    assert network.blocks[0].columns[1][1].convolution[0].dilation == (2, 2)


def test_the_caller_says_what_the_genotype_does_not():
    network = fractal_network(genotype(), 4, 5, p=0.1, drop={"policy": "local"}, bias=False)
    assert [block.columns[0][0].convolution.weight.shape[0] for block in network.blocks] == [4, 8, 16, 32, 32]
    assert [block.columns[0][0].dropout for block in network.blocks] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert network.path_drop.policy == "local"
    assert network.path_drop.rates.unique().tolist() == pytest.approx([0.1])
    assert network.blocks[0].columns[0][0].convolution.bias is None


def test_samples_of_the_shipped_space_run():
    space, rng = load_space("fractal"), random.Random(0)
    for _ in range(3):
        network = fractal_network(space.sample(rng), 2, 2, in_channels=1).train()
        assert network(torch.randn(3, 1, 8, 8)).shape == (3, 10)


def test_genotypes_that_are_no_fractals():
    with pytest.raises(GenotypeError, match="must be one fractal block, got the cells normal, reduction"):
        fractal_network(Genotype.read("DARTS_V1"), 4, 2)
    with pytest.raises(GenotypeError, match=r"options.p: must be a probability, got '1.5'"):
        fractal_network(genotype(p="1.5"), 4, 2)
    space = load_space("fractal")
    with pytest.raises(Exception, match="a network of cells has the skeleton darts, nas_bench_201, got 'fractal'"):
        Network(space, space.sample(random.Random(0)))
