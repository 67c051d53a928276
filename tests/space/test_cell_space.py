import random

import pytest

from nasdrop.errors import SpaceError
from nasdrop.space import CellGenotype, CellGraph, CellSpace, Edge, GenotypeEdge

OPS = ("none", "skip_connect", "sep_conv_3x3")


def graph(num_inputs, num_nodes, copies=1, operations=OPS):
    nodes = range(num_inputs, num_inputs + num_nodes)
    return CellGraph(
        num_inputs, num_nodes, tuple(Edge(s, t, operations) for t in nodes for s in range(t) for _ in range(copies))
    )


def mistakes(*args, **kwargs):
    with pytest.raises(SpaceError) as caught:
        CellSpace("normal", *args, **kwargs)
    return list(caught.value.lines)


def test_every_cell_once_and_all_valid():
    for space in (
        CellSpace("normal", graph(2, 2), keep=2, supernet_only=["none"]),
        CellSpace("normal", graph(1, 2), output="last"),
        CellSpace("reduction", graph(1, 3, copies=2, operations=("none", "skip_connect")), keep=2, output="loose"),
    ):
        cells = list(space.enumerate())
        assert len(cells) == len(set(cells)) == space.size
        assert not any(problem for cell in cells for problem in space.problems(cell))


def test_supernet_only_operations_are_in_no_genotype():
    space = CellSpace("normal", graph(2, 1), supernet_only=frozenset({"none"}))
    assert space.operations == OPS
    assert space.size == 4
    (cell,) = (cell for cell in space.enumerate() if {edge.operation for edge in cell.edges} == {"skip_connect"})
    none = CellGenotype("normal", ((0, 2, "none"), cell.edges[1]), cell.concat)
    assert list(space.problems(none)) == [
        "normal: node 2 must have a candidate operation on the edge from 0, got 'none'; "
        "known: sep_conv_3x3, skip_connect"
    ]


@pytest.mark.parametrize(("output", "concat"), [("all", (1, 2, 3)), ("last", (3,)), ("loose", (2, 3))])
def test_what_a_cell_gives_out(output, concat):
    edges = (Edge(0, 1, OPS), Edge(1, 2, OPS), Edge(1, 3, OPS))
    space = CellSpace("normal", CellGraph(1, 3, edges), output=output)
    cell = space.sample(random.Random(0))
    assert cell.concat == concat
    wrong = CellGenotype("normal", cell.edges, (1,))
    assert list(space.problems(wrong)) == [f"normal: concat must be {list(concat)} (output {output!r}), got [1]"]


def test_identities_and_strides():
    normal, reduction = (CellSpace(name, graph(2, 2)) for name in ("normal", "reduction"))
    from_input, from_node = GenotypeEdge(1, 2, "skip_connect"), GenotypeEdge(2, 3, "skip_connect")
    assert normal.is_identity(from_input)
    assert normal.is_identity(from_node)
    assert not reduction.is_identity(from_input)
    assert reduction.is_identity(from_node)
    assert not normal.is_identity(GenotypeEdge(0, 2, "sep_conv_3x3"))
    assert [reduction.stride(node) for node in range(4)] == [2, 2, 1, 1]


def test_edges_into_nodes_that_are_not_there():
    space = CellSpace("normal", graph(1, 1))
    cell = CellGenotype("normal", ((0, 1, "none"), (0, 7, "none")), (1,))
    assert list(space.problems(cell)) == ["normal: edges must enter nodes 1 to 1, got 7"]


def test_moves_replace_one_node():
    space = CellSpace("normal", graph(2, 2), keep=2)
    cell = space.sample(random.Random(1))
    moves = [(index, option) for index, options in space.moves(cell) for option in options]
    assert {index for index, _ in moves} == {0, 1}
    for index, option in moves:
        other = space.moved(cell, index, option)
        assert not list(space.problems(other))
        assert [cell.into(node) != other.into(node) for node in (2, 3)] == [index == 0, index == 1]


def test_keep():
    assert mistakes(graph(1, 2), keep=2) == [
        "cell normal: must be at most the number of edges into a node (1 into node 1), got 2"
    ]
    assert mistakes(graph(1, 2), keep=0) == ["cell normal: must keep at least 1 edge, got 0"]
    assert mistakes(CellGraph(8, 64, graph(8, 64).edges), keep=8)[0] == (
        "cell normal: a node may choose its inputs in at most 10000 ways, got 12870 at node 16"
    )


def test_supernet_only_must_leave_something():
    assert mistakes(graph(1, 1), supernet_only=frozenset(OPS)) == [
        "cell normal: edges[0]: must leave an operation to a genotype, got supernet-only ones alone: "
        "['none', 'skip_connect', 'sep_conv_3x3']"
    ]


def test_parallel_edges_share_their_list():
    edges = (Edge(0, 1, ("none",)), Edge(0, 1, ("skip_connect",)))
    assert mistakes(CellGraph(1, 1, edges)) == [
        "cell normal: a node with parallel edges must have one list of operations, got several at 1"
    ]
