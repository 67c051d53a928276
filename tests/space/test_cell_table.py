import pytest

from nasdrop.space import KNOWN, Edge
from nasdrop.space.cell_table import read_cell

CELL = {"inputs": 2, "nodes": 2, "operations": ["skip_connect", "none"]}
LISTED = {"inputs": 2, "nodes": 1, "edges": {"0 -> 2": ["none"], "1->2": ["skip_connect", "none"]}}


def read(tree, skeleton="darts"):
    return read_cell("normal", tree, "f: cells.normal", skeleton, KNOWN)


def mistakes(tree, skeleton="darts"):
    cell, lines = read(tree, skeleton)
    assert cell is None
    return [line.removeprefix("f: cells.normal") for line in lines]


def test_an_edge_from_each_earlier_node():
    cell, lines = read(CELL | {"keep": 1})
    assert not lines
    assert [(edge.source, edge.target) for edge in cell.graph.edges] == [(0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
    assert (cell.keep, cell.output, cell.supernet_only) == (1, "all", frozenset())


def test_repeat_makes_parallel_edges():
    cell, _ = read(CELL | {"nodes": 1, "keep": 2, "repeat": True})
    assert [(edge.source, edge.target) for edge in cell.graph.edges] == [(0, 2), (0, 2), (1, 2), (1, 2)]
    assert cell.size == 4 + 3 + 3


def test_edges_with_lists_of_their_own_in_the_files_order():
    cell, lines = read(LISTED | {"supernet_only": []})
    assert not lines
    assert cell.graph.edges == (Edge(0, 2, ("none",)), Edge(1, 2, ("skip_connect", "none")))


@pytest.mark.parametrize(
    ("tree", "lines"),
    [
        (3, [": must be a table, got 3"]),
        (
            {"inputs": "2", "nodez": 1},
            [
                ".nodez: unknown key; did you mean 'nodes'?",
                ".inputs: must be a valid integer, got '2'",
                ".nodes: is required",
            ],
        ),
        (CELL | {"nodes": 65}, [".nodes: must be less than or equal to 64, got 65"]),
        (CELL | {"keep": 0}, [".keep: must be greater than or equal to 1, got 0"]),
        (CELL | {"repeat": 1}, [".repeat: must be a valid boolean, got 1"]),
        (
            CELL | {"output": "most"},
            [".output: must be 'all', 'last' or 'loose', got 'most'; known: all, last, loose"],
        ),
        (CELL | {"inputs": 1}, [".inputs: must be 2 in skeleton 'darts', got 1"]),
        (CELL | {"operations": []}, [".operations: must name at least one operation, got []"]),
        (
            CELL | {"operations": ["skip", "none", "none"]},
            [
                ".operations[0]: must be a known operation, got 'skip'; known: " + ", ".join(sorted(KNOWN)),
                ".operations[2]: an operation must be listed once, got 'none' again",
            ],
        ),
        (
            CELL | {"supernet_only": ["nine"]},
            [".supernet_only[0]: must be an operation of the cell, got 'nine'; did you mean 'none'?"],
        ),
        (
            CELL | {"supernet_only": ["none", "skip_connect"]},
            [
                ".operations: must leave an operation to a genotype, got supernet-only ones alone: "
                "['skip_connect', 'none']"
            ],
        ),
        (
            CELL | {"keep": 3},
            [".keep: must be at most the number of edges into a node (2 into node 2), got 3"],
        ),
        (CELL | {"repeat": True}, [".keep: is required where repeat = true"]),
        (
            LISTED | {"operations": ["none"], "repeat": True, "keep": 1},
            [
                ".operations: must be left out where edges have lists of their own, got ['none']",
                ".repeat: must be left out where edges have lists of their own, got true",
            ],
        ),
        (
            LISTED | {"edges": {"0 -> 2": ["none"], "0->2": ["none"], "1 to 2": ["none"]}},
            [
                ".edges.'0->2': each edge must be listed once, got it as '0 -> 2' too",
                ".edges.'1 to 2': must read 'source -> target', got '1 to 2'",
            ],
        ),
        (
            LISTED | {"nodes": 3, "edges": {"0 -> 2": [], "3 -> 4": ["none"], "4 -> 3": ["nine"]}},
            [
                ".edges.'0 -> 2': must name at least one operation, got []",
                ".edges.'4 -> 3'[0]: must be a known operation, got 'nine'; did you mean 'none'?",
                ".edges: edges must not close a cycle, got 3 -> 4 -> 3",
                ".edges: every node must be reached from an input, got node 3 that nothing reaches",
                ".edges: every node must be reached from an input, got node 4 that nothing reaches",
            ],
        ),
    ],
)
def test_all_mistakes_of_a_cell(tree, lines):
    assert mistakes(tree) == lines


def test_the_skeleton_rules():
    assert mistakes(CELL, "nas_bench_201") == [
        ".inputs: must be 1 in skeleton 'nas_bench_201', got 2",
        ".output: must be 'last' in skeleton 'nas_bench_201', got 'all'",
    ]
    cell, lines = read(CELL | {"inputs": 3}, "unknown")
    assert cell is not None
    assert not lines
