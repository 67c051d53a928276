"""From strengths to a genotype: DARTS's rule and its ties (drop.md section 5 restates quark0's code)."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nasdrop.models.supernet import SuperNet
from nasdrop.resources import names
from nasdrop.space.fractal_space import FractalSpace, load_space
from nasdrop.space.space import SearchSpace

SPACES = [name for name in names("search_spaces") if not isinstance(load_space(name), FractalSpace)]


def build(space="darts"):
    return SuperNet(SearchSpace.load(space), 2, 3, 2, 1)


def alphas(supernet, **rows):
    """Raw alphas of the normal cell, zero but for {edge: {operation: value}}, as mixing weights."""
    with torch.no_grad():
        for alpha in supernet.alpha_parameters():
            alpha.zero_()
        for edge, values in rows.get("normal", {}).items():
            for operation, value in values.items():
                supernet.alphas["normal"][edge, supernet.operations["normal"].index(operation)] = value
    return supernet.discretize()


def into(genotype, node, cell="normal"):
    return [(edge.operation, edge.source) for edge in genotype[cell].into(node)]


def test_equal_strengths_take_the_lower_edges_and_operations():
    genotype = alphas(build())
    for cell in ("normal", "reduction"):
        for node in range(2, 6):
            assert into(genotype, node, cell) == [("max_pool_3x3", 0), ("max_pool_3x3", 1)]


def test_none_never_wins_but_takes_its_share():
    # Node 3 is entered by edges 2, 3 and 4; edge 2 has the largest raw weight and is not kept.
    rows = {
        2: {"none": 5.0, "sep_conv_3x3": 2.0},
        3: {"sep_conv_3x3": 0.5},
        4: {"dil_conv_5x5": 0.4},
    }
    genotype = alphas(build(), normal=rows)
    assert into(genotype, 3) == [("sep_conv_3x3", 1), ("dil_conv_5x5", 2)]


def test_strengths_of_a_strategys_own():
    supernet = build()
    strengths = {kind: torch.zeros(14, 8) for kind in supernet.alphas}
    strengths["normal"][12, 6] = 3.0  # edge 3 -> 5
    strengths["normal"][9, 0] = 9.0  # none
    strengths["normal"][13, 3] = 1.0  # edge 4 -> 5
    genotype = supernet.discretize(strengths)
    assert into(genotype, 5) == [("dil_conv_3x3", 3), ("skip_connect", 4)]


def test_not_a_number_loses():
    supernet = build()
    strengths = {kind: torch.full((14, 8), float("nan")) for kind in supernet.alphas}
    strengths["reduction"][5, 4] = -7.0
    genotype = supernet.discretize(strengths)
    assert into(genotype, 2) == [("max_pool_3x3", 0), ("max_pool_3x3", 1)]
    assert ("sep_conv_3x3", 0) in into(genotype, 4, "reduction")


def test_lists_of_their_own():
    """On S1 column numbers are not list positions: the strongest operation of an edge is one of its own two."""
    supernet = build("robust_s1")
    names_of = supernet.operations["normal"]
    strengths = {kind: torch.rand(alpha.shape) for kind, alpha in supernet.alphas.items()}
    genotype = supernet.discretize(strengths)
    edges = supernet.space.cells["normal"].graph.edges
    for edge in genotype["normal"].edges:
        number = next(i for i, other in enumerate(edges) if other[:2] == edge[:2])
        listed = edges[number].operations
        best = max(listed, key=lambda name: strengths["normal"][number, names_of.index(name)].item())
        assert edge.operation == best


def test_a_fixed_topology_keeps_every_edge_and_may_take_none():
    supernet = build("nas_bench_201")
    strengths = torch.zeros(6, 5)
    wanted = [0, 1, 2, 3, 4, 0]
    for edge, column in enumerate(wanted):
        strengths[edge, column] = 1.0
    genotype = supernet.discretize({"normal": strengths})
    found = {edge[:2]: edge.operation for edge in genotype["normal"].edges}
    for edge, column in zip(supernet.space.cells["normal"].graph.edges, wanted, strict=True):
        assert found[edge[:2]] == supernet.operations["normal"][column]


def test_parallel_edges_may_both_be_kept():
    supernet = build("nasnet")
    strengths = {kind: torch.rand(alpha.shape) * 0.1 for kind, alpha in supernet.alphas.items()}
    edges = supernet.space.cells["normal"].graph.edges
    first, second = (i for i, edge in enumerate(edges) if edge[:2] == (1, 4))
    strengths["normal"][first, 2] = strengths["normal"][second, 5] = 1.0
    genotype = supernet.discretize(strengths)
    assert into(genotype, 4) == [(supernet.operations["normal"][column], 1) for column in (2, 5)]


@pytest.mark.parametrize("space", SPACES)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_the_genotype_is_of_the_space(space, seed):
    supernet = _built(space)
    generator = torch.Generator().manual_seed(seed)
    strengths = {kind: torch.randn(alpha.shape, generator=generator) for kind, alpha in supernet.alphas.items()}
    supernet.space.validate(supernet.discretize(strengths))


@pytest.mark.parametrize("space", ["tiny", "robust_s1", "nas_bench_201"])
def test_every_genotype_can_be_chosen(space):
    supernet = _built(space)
    for seed in range(5):
        genotype = supernet.space.sample(random.Random(seed))
        strengths = {kind: torch.zeros(alpha.shape) for kind, alpha in supernet.alphas.items()}
        for cell in genotype.cells:
            edges = supernet.space.cells[cell.name].graph.edges
            for wanted in cell.edges:
                number = next(i for i, edge in enumerate(edges) if edge[:2] == wanted[:2])
                strengths[cell.name][number, supernet.operations[cell.name].index(wanted.operation)] = 1.0
        assert supernet.discretize(strengths).cells == genotype.cells


_BUILT = {}


def _built(space):
    if space not in _BUILT:
        _BUILT[space] = build(space)
    return _BUILT[space]
