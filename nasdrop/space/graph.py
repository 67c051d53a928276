"""CellGraph: the candidate edges of a cell, a validated acyclic multigraph.

Nodes are numbered inputs first, then intermediate nodes in the order in which they are computed. Two edges may join the
same nodes (NASNet-A uses one edge twice). networkx checks the graph; what runs is the plan, plain tuples.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import networkx as nx

from nasdrop.errors import SpaceError, suggest


class Edge(NamedTuple):
    """A candidate edge: from a node to a later one, with the operations that it may carry."""

    source: int
    target: int
    operations: tuple[str, ...]


@dataclass(frozen=True)
class CellGraph:
    """A cell's candidate edges.

    Args:
        num_inputs: nodes 0 to num_inputs - 1 are the cell's inputs.
        num_nodes: intermediate nodes, numbered from num_inputs on.
        edges: the candidate edges, in the order in which a supernet keeps its weights.

    Raises:
        SpaceError: all mistakes of the graph, one line each.
    """

    num_inputs: int
    num_nodes: int
    edges: tuple[Edge, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "edges", tuple(Edge(s, t, tuple(operations)) for s, t, operations in self.edges))
        places = [f"cell graph: edges[{index}]" for index in range(len(self.edges))]
        lines = [
            line
            for place, edge in zip(places, self.edges, strict=True)
            for line in operation_mistakes(f"{place}.operations", edge.operations)
        ]
        pairs = [(edge.source, edge.target) for edge in self.edges]
        lines += graph_mistakes("cell graph", self.num_inputs, self.num_nodes, pairs, places)
        if lines:
            raise SpaceError(*lines)

    @property
    def nodes(self) -> range:
        """The intermediate nodes."""
        return range(self.num_inputs, self.num_inputs + self.num_nodes)

    @cached_property
    def plan(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """What to compute, in order: (node, indices of the edges that enter it)."""
        return tuple((node, tuple(i for i, e in enumerate(self.edges) if e.target == node)) for node in self.nodes)

    def to_networkx(self) -> "nx.MultiDiGraph[int]":
        """A copy as a networkx graph; each edge carries its `index` and its `operations`."""
        graph = _multigraph(self.num_inputs, self.num_nodes, [(edge.source, edge.target) for edge in self.edges])
        for index, (source, target, key) in enumerate(_keyed(self.edges)):
            graph.edges[source, target, key].update(index=index, operations=self.edges[index].operations)
        return graph


def operation_mistakes(place: str, operations: Sequence[str], known: Collection[str] | None = None) -> Iterator[str]:
    """Find what is wrong with a list of operations: empty, a name twice, an unknown name.

    Args:
        place: begins each line.
        operations: the names.
        known: the names that exist; None: any may.
    """
    if not operations:
        yield f"{place}: must name at least one operation, got []"
    for index, name in enumerate(operations):
        if name in operations[:index]:
            yield f"{place}[{index}]: an operation must be listed once, got {name!r} again"
        elif known is not None and name not in known:
            yield f"{place}[{index}]: must be a known operation, got {name!r}; {suggest(name, known)}"


def graph_mistakes(
    place: str, num_inputs: int, num_nodes: int, pairs: Sequence[tuple[int, int]], places: Sequence[str]
) -> list[str]:
    """Find what is wrong with the edges of a cell: numbering, cycles, nodes that nothing reaches.

    Args:
        place: begins the lines about the whole cell.
        num_inputs: number of input nodes, at least 1.
        num_nodes: number of intermediate nodes, at least 1.
        pairs: (source, target) an edge.
        places: begins the lines about an edge; one an edge.
    """
    lines = [
        f"{place}: {noun} must be at least 1, got {number}"
        for noun, number in (("number of inputs", num_inputs), ("number of nodes", num_nodes))
        if number < 1
    ]
    if lines:
        return lines
    lines = [
        f"{at}: {rule}"
        for at, pair in zip(places, pairs, strict=True)
        if (rule := _range(*pair, num_inputs, num_nodes))
    ]
    last = num_inputs + num_nodes - 1
    graph = _multigraph(num_inputs, num_nodes, [(s, t) for s, t in pairs if 0 <= s <= last and 0 <= t <= last])
    cyclic = [part for part in nx.strongly_connected_components(graph) if _has_cycle(graph, part)]
    for part in sorted(cyclic, key=min):
        lines.append(f"{place}: edges must not close a cycle, got {_cycle(graph, part)}")
    for at, (source, target) in zip(places, pairs, strict=True):
        if source > target >= num_inputs and source <= last and not any({source, target} <= part for part in cyclic):
            lines.append(f"{at}: nodes must be numbered in the order they are computed, got {source} -> {target}")
    reached = set(range(num_inputs)).union(*(nx.descendants(graph, node) for node in range(num_inputs)))
    for node in range(num_inputs, last + 1):
        if node not in reached:
            lines.append(f"{place}: every node must be reached from an input, got node {node} that nothing reaches")
    return lines


def _range(source: int, target: int, num_inputs: int, num_nodes: int) -> str:
    last = num_inputs + num_nodes - 1
    if not (0 <= source <= last and 0 <= target <= last):
        return f"nodes are numbered 0 to {last}, got {source} -> {target}"
    if target < num_inputs:
        return f"an edge must not enter an input (nodes 0 to {num_inputs - 1}), got {source} -> {target}"
    return ""


def _multigraph(num_inputs: int, num_nodes: int, pairs: Sequence[tuple[int, int]]) -> "nx.MultiDiGraph[int]":
    graph: nx.MultiDiGraph[int] = nx.MultiDiGraph()
    graph.add_nodes_from(range(num_inputs + num_nodes))
    graph.add_edges_from(pairs)
    return graph


def _keyed(edges: Sequence[Edge]) -> Iterator[tuple[int, int, int]]:
    """(source, target, key) an edge, the key counting parallel edges as networkx does."""
    seen: Counter[tuple[int, int]] = Counter()
    for edge in edges:
        pair = (edge.source, edge.target)
        yield (*pair, seen[pair])
        seen[pair] += 1


def _has_cycle(graph: "nx.MultiDiGraph[int]", part: set[int]) -> bool:
    return len(part) > 1 or any(graph.has_edge(node, node) for node in part)


def _cycle(graph: "nx.MultiDiGraph[int]", part: set[int]) -> str:
    steps = nx.find_cycle(graph.subgraph(part), min(part))
    return " -> ".join(str(node) for node in (steps[0][0], *(step[1] for step in steps)))
