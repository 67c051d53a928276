"""Counts of paths and sub-graphs: against networkx, by hand, and equal wherever cells compute the same function."""

import random
from collections import Counter, defaultdict
from math import log1p

import networkx as nx
import numpy as np
import pytest

from nasdrop.searchers.samplers.features import Vocabulary, features, live_edges, squared_distances
from nasdrop.space import Genotype, SearchSpace, load_space

BENCH = SearchSpace.load("nas_bench_201")


def test_cells_of_equal_function_have_equal_paths_and_sub_graphs():
    """A fifth of the 15,625 cells, whole classes; and sub-graphs tell most of those apart."""
    by_form = defaultdict(set)
    for genotype in BENCH.enumerate():
        form = BENCH.canonical(genotype)
        if form[-1] in "012":
            paths, graphs, _ = features(BENCH, genotype)
            by_form[form].add((frozenset(paths.items()), frozenset(graphs.items())))
    assert {len(found) for found in by_form.values()} == {1}
    assert len(set.union(*by_form.values())) > 0.8 * len(by_form) > 600


def walks(space, cell, live):
    """Paths of the live edges, identities left out, found by networkx."""
    graph = nx.MultiDiGraph()
    for edge in live:
        graph.add_edge(edge.source, edge.target, step="" if space.is_identity(edge) else edge.operation)
    found = Counter()
    for start in range(space.graph.num_inputs):
        for end in cell.concat:
            if start in graph and end in graph:
                for path in nx.all_simple_edge_paths(graph, start, end):
                    steps = [graph.edges[edge]["step"] for edge in path]
                    found[">".join([f"input{start}", *filter(None, steps)])] += 1
    return found


@pytest.mark.parametrize("name", ["darts", "nas_bench_201", "tiny"])
def test_paths_are_those_that_networkx_finds(name):
    space = SearchSpace.load(name)
    rng = random.Random(0)
    for _ in range(20):
        genotype = space.sample(rng)
        expected = {}
        for kind, cell_space in space.cells.items():
            cell = genotype[kind]
            found = walks(cell_space, cell, live_edges(cell_space, cell))
            expected |= {f"{kind}:{path}": log1p(count) for path, count in found.items()}
        long = {path for path in expected if path.count(">") > 4}  # cut to their last operations
        ours = features(space, genotype)[0]
        assert {path: count for path, count in ours.items() if "input" in path} == pytest.approx(
            {path: count for path, count in expected.items() if path not in long}
        )
        assert any("input" not in path for path in ours) == bool(long)


def test_by_hand():
    """Node 2 adds a convolution of the input and the input itself; the output a pooling of node 2, nothing else."""
    text = "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|nor_conv_1x1~1|avg_pool_3x3~2|"
    skip = "|skip_connect~0|+|nor_conv_3x3~0|skip_connect~1|+|none~0|nor_conv_1x1~1|avg_pool_3x3~2|"
    paths, graphs, edges = features(BENCH, Genotype.read(text))
    assert paths == {"normal:input0>nor_conv_3x3>avg_pool_3x3": log1p(1)}
    assert edges == {"normal:0>2:nor_conv_3x3": 1.0, "normal:2>3:avg_pool_3x3": 1.0}
    assert graphs["normal:2:avg_pool_3x3(1*nor_conv_3x3(1*input0))"] == log1p(1)
    assert graphs["normal:0:input0"] == log1p(1)
    paths, graphs, edges = features(BENCH, Genotype.read(skip))
    assert paths["normal:input0>avg_pool_3x3"] == log1p(1)
    assert paths["normal:input0>nor_conv_1x1"] == log1p(1)
    assert graphs["normal:1:avg_pool_3x3(1*input0+1*nor_conv_3x3)"] == log1p(1)
    assert graphs["normal:0:input0"] == log1p(3)
    assert len(edges) == 5


def test_a_cell_of_zeros_has_none():
    assert features(BENCH, Genotype.read("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")) == ({}, {}, {})


def test_distances():
    rng = random.Random(0)
    counts = [{f"x{rng.randrange(9)}": rng.random() for _ in range(4)} for _ in range(12)] + [{}]
    vocabulary = Vocabulary()
    distances = squared_distances([vocabulary.row(row) for row in counts], 5)
    assert distances.shape == (5, 13)
    for first in range(5):
        for second in range(13):
            names = counts[first].keys() | counts[second].keys()
            expected = sum((counts[first].get(n, 0) - counts[second].get(n, 0)) ** 2 for n in names)
            assert distances[first, second] == pytest.approx(expected, abs=1e-9)
    assert np.all(distances >= 0)


def test_fractals_are_told_apart_by_their_edges_and_options():
    space = load_space("fractal")
    first, second = (space.sample(random.Random(seed)) for seed in (0, 1))
    (_, _, edges), (_, _, others) = features(space, first), features(space, second)
    assert len(edges) == len(first.cells[0].edges) + len(first.options)
    assert edges != others
    assert edges == features(space, first)[2]
