import networkx as nx
import pytest

from nasdrop.errors import SpaceError
from nasdrop.space import CellGraph, Edge
from nasdrop.space.graph import operation_mistakes

SKIP = ("skip_connect",)


def mistakes(num_inputs, num_nodes, *pairs):
    with pytest.raises(SpaceError) as caught:
        CellGraph(num_inputs, num_nodes, tuple(Edge(source, target, SKIP) for source, target in pairs))
    return list(caught.value.lines)


def test_the_plan_names_the_edges_of_each_node_in_order():
    graph = CellGraph(1, 2, (Edge(0, 2, SKIP), Edge(0, 1, SKIP), Edge(1, 2, SKIP)))
    assert graph.plan == ((1, (1,)), (2, (0, 2)))
    assert graph.nodes == range(1, 3)


def test_parallel_edges_are_kept():
    graph = CellGraph(1, 1, [(0, 1, ["skip_connect"]), (0, 1, ["none"])])
    assert graph.plan == ((1, (0, 1)),)
    assert hash(graph) == hash(CellGraph(1, 1, (Edge(0, 1, SKIP), Edge(0, 1, ("none",)))))
    multigraph = graph.to_networkx()
    assert isinstance(multigraph, nx.MultiDiGraph)
    assert [(data["index"], data["operations"]) for _, _, data in multigraph.edges(data=True)] == [
        (0, SKIP),
        (1, ("none",)),
    ]


def test_a_cycle_is_named():
    assert mistakes(1, 3, (0, 1), (1, 2), (2, 3), (3, 1)) == [
        "cell graph: edges must not close a cycle, got 1 -> 2 -> 3 -> 1"
    ]
    assert mistakes(1, 1, (0, 1), (1, 1)) == ["cell graph: edges must not close a cycle, got 1 -> 1"]


def test_nodes_are_numbered_in_the_order_they_are_computed():
    assert mistakes(1, 2, (0, 2), (2, 1)) == [
        "cell graph: edges[1]: nodes must be numbered in the order they are computed, got 2 -> 1"
    ]


def test_a_node_that_nothing_reaches():
    rule = "cell graph: every node must be reached from an input, got node {} that nothing reaches"
    assert mistakes(1, 3, (0, 1), (2, 3)) == [rule.format(2), rule.format(3)]


def test_all_mistakes_come_at_once():
    with pytest.raises(SpaceError) as caught:
        CellGraph(2, 2, (Edge(0, 9, ()), Edge(2, 1, ("none", "none")), Edge(-1, 2, SKIP)))
    assert list(caught.value.lines) == [
        "cell graph: edges[0].operations: must name at least one operation, got []",
        "cell graph: edges[1].operations[1]: an operation must be listed once, got 'none' again",
        "cell graph: edges[0]: nodes are numbered 0 to 3, got 0 -> 9",
        "cell graph: edges[1]: an edge must not enter an input (nodes 0 to 1), got 2 -> 1",
        "cell graph: edges[2]: nodes are numbered 0 to 3, got -1 -> 2",
        "cell graph: every node must be reached from an input, got node 2 that nothing reaches",
        "cell graph: every node must be reached from an input, got node 3 that nothing reaches",
    ]


def test_sizes():
    assert mistakes(0, 0) == [
        "cell graph: number of inputs must be at least 1, got 0",
        "cell graph: number of nodes must be at least 1, got 0",
    ]


def test_an_unknown_operation_is_met_with_the_nearest():
    assert list(operation_mistakes("x", ["sep_con_3x3"], {"sep_conv_3x3", "none"})) == [
        "x[0]: must be a known operation, got 'sep_con_3x3'; did you mean 'sep_conv_3x3'?"
    ]
