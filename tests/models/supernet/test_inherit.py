"""Discovered networks that start from a supernet's weights."""

import random

import pytest
import torch

from nasdrop.drop import Draw
from nasdrop.space.cells import CellGenotype
from nasdrop.space.genotype import Genotype


def one_hot(supernet, genotype):
    """The mixture that computes a genotype: its edges' operations alone."""
    mixture = {kind: torch.zeros(alpha.shape, dtype=alpha.dtype) for kind, alpha in supernet.alphas.items()}
    for cell in genotype.cells:
        free = list(enumerate(supernet.space.cells[cell.name].graph.edges))
        for wanted in cell.edges:
            found = next(item for item in free if item[1][:2] == wanted[:2])
            free.remove(found)
            mixture[cell.name][found[0], supernet.operations[cell.name].index(wanted.operation)] = 1
    return mixture


def all_loose():
    """A NASNet cell of which every node is concatenated, as in a supernet."""

    def cell(name, operations):
        edges = tuple(
            (source, node, operations[source]) for node in range(2, 7) for source in (0, 0 if node == 4 else 1)
        )
        return CellGenotype(name, edges, tuple(range(2, 7)))

    cells = (cell("normal", ("sep_conv_5x5", "conv_3x1_1x3")), cell("reduction", ("skip_connect", "dil_conv_3x3")))
    return Genotype("nasnet", cells)


def sample_without_pools(space, seed=0):
    """Pools of DARTS differ: a supernet normalises them."""
    rng = random.Random(seed)
    while True:
        genotype = space.sample(rng)
        if not any("pool" in edge.operation for cell in genotype.cells for edge in cell.edges):
            return genotype


@pytest.mark.parametrize("space", ["nas_bench_201", "darts", "robust_s2", "nasnet"])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_one_hot_mixture_is_the_discovered_network(space, ndim, make, images):
    """The discovered network is an oracle with tests of its own."""
    supernet = make(space, ndim=ndim).double()
    if space == "nasnet":
        genotype = all_loose()
    else:
        sampled = supernet.space.sample(random.Random(1))
        genotype = sampled if space == "nas_bench_201" else sample_without_pools(supernet.space)
    network = supernet.inherit(genotype)
    x = images(ndim=ndim)
    found = supernet(x, one_hot(supernet, genotype), Draw(None))
    torch.testing.assert_close(found, network(x, Draw(None)), rtol=1e-9, atol=1e-9)


def test_inherited_statistics_are_the_mean_over_the_batches(make, images):
    supernet = make("darts")
    genotype = supernet.space.sample(random.Random(0))
    batches = [images(4, dtype=torch.float32) for _ in range(3)]
    network = supernet.inherit(genotype, batches).train()
    norm = network.stem[1]
    expected = torch.stack([network.stem[0](batch).mean((0, 2, 3)) for batch in batches]).mean(0)
    torch.testing.assert_close(norm.running_mean, expected)
    assert norm.momentum == 0.1
    assert network.cells[0].edges[0] is not None and network.training


def test_a_narrower_concatenation_takes_its_columns(make):
    supernet = make("nasnet")
    genotype = supernet.space.sample(random.Random(3))
    network = supernet.inherit(genotype)
    kept = network.cells[0].concat
    assert len(kept) < 5
    columns = [4 * supernet.cells[0].concat.index(node) for node in kept]
    whole, narrow = supernet.cells[2].preprocess[0], network.cells[2].preprocess[0]
    for (name, wide), part in zip(whole.named_parameters(), narrow.parameters(), strict=False):
        scale = 4 if wide.shape[1] == 20 else 8
        picked = [column * scale // 4 + channel for column in columns for channel in range(scale)]
        torch.testing.assert_close(part, wide[:, picked], rtol=0, atol=0, msg=name)


def test_a_supernet_behind_the_stem_for_large_images_hands_it_on(make):
    supernet = make(stem="imagenet")
    x = torch.randn(2, 2, 64, 64)
    assert supernet(x).shape == (2, 5)
    network = supernet.inherit(supernet.space.sample(random.Random(0)))
    assert torch.equal(network.second_stem[1].weight, supernet.second_stem[1].weight)
    assert network.smallest_side == supernet.smallest_side == 32
    assert network.eval()(x).shape == (2, 5)
