"""Columns of a layered drawing, ordered for few crossings by barycentre sweeps and swaps of neighbours.

A link that passes a column gets a lane there: a vertex of its own without width, so that no line meets a foreign box.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_SWEEPS = 12


@dataclass(frozen=True)
class Vertex:
    """A box to place: its column (`rank`, 0 is leftmost) and its size in pixels."""

    rank: int
    width: float
    height: float


@dataclass(frozen=True)
class Link:
    """A line between two vertices, given by index; a crossing of two links costs the product of their weights."""

    source: int
    target: int
    weight: float = 1.0


class Graph:
    """Vertices and lanes in columns.

    Attributes:
        sizes: height of every vertex, then of every lane.
        ranks: column of every vertex and lane.
        columns: what stands in each column, from top to bottom.
        position: place of every vertex and lane in its column.
        chains: for every link what it runs through: source, lanes, target.
        before, after: for every vertex and lane its (neighbour, weight) in the column before and after.
    """

    def __init__(self, vertices: Sequence[Vertex], links: Sequence[Link], lane: float) -> None:
        self.num_vertices = len(vertices)
        self.sizes: list[float] = []
        self.ranks: list[int] = []
        self.columns: list[list[int]] = [[] for _ in range(1 + max((v.rank for v in vertices), default=0))]
        self.position: list[int] = []
        self.before: list[list[tuple[int, float]]] = []
        self.after: list[list[tuple[int, float]]] = []
        for vertex in vertices:
            self._add(vertex.rank, vertex.height)
        self.chains = [self._chain(vertices, link, lane) for link in links]

    def is_lane(self, vertex: int) -> bool:
        """Whether it is a link's lane, no box."""
        return vertex >= self.num_vertices

    def arrange(self, columns: Sequence[Sequence[int]]) -> None:
        """Put everything in the order given."""
        self.columns = [list(column) for column in columns]
        for column in self.columns:
            for place, vertex in enumerate(column):
                self.position[vertex] = place

    def crossings(self) -> float:
        """What the crossings cost, over all gaps between columns."""
        total = 0.0
        for column in self.columns[:-1]:
            met: list[tuple[int, float]] = []
            for vertex in column:
                ends = [(self.position[u], weight) for u, weight in self.after[vertex]]
                total += sum(w0 * w1 for end, w1 in ends for earlier, w0 in met if earlier > end)
                met.extend(ends)
        return total

    def _chain(self, vertices: Sequence[Vertex], link: Link, lane: float) -> list[int]:
        passed = range(vertices[link.source].rank + 1, vertices[link.target].rank)
        chain = [link.source, *(self._add(rank, lane) for rank in passed), link.target]
        for left, right in pairwise(chain):
            self.after[left].append((right, link.weight))
            self.before[right].append((left, link.weight))
        return chain

    def _add(self, rank: int, height: float) -> int:
        vertex = len(self.sizes)
        self.sizes.append(height)
        self.ranks.append(rank)
        self.before.append([])
        self.after.append([])
        self.position.append(len(self.columns[rank]))
        self.columns[rank].append(vertex)
        return vertex


def order(graph: Graph) -> None:
    """Arrange the columns: the cheapest order met; the first column in the given order rather than upside down."""
    best, columns = graph.crossings(), [list(column) for column in graph.columns]
    for sweep in range(_SWEEPS):
        if best == 0:
            break
        _sweep(graph, forward=sweep % 2 == 0, ties_reversed=sweep % 4 >= 2)
        while _swap_neighbours(graph):
            pass
        found = graph.crossings()
        if found < best:
            best, columns = found, [list(column) for column in graph.columns]
    if sum(upper > lower for upper, lower in pairwise(columns[0])) > (len(columns[0]) - 1) / 2:
        columns = [column[::-1] for column in columns]
    graph.arrange(columns)


def _sweep(graph: Graph, *, forward: bool, ties_reversed: bool) -> None:
    """Sort each column by the mean position of its neighbours in the column before (or after)."""
    neighbours = graph.before if forward else graph.after
    sign = -1 if ties_reversed else 1
    for column in graph.columns[1:] if forward else graph.columns[-2::-1]:
        keys = {v: (_barycentre(graph, v, neighbours[v]), sign * graph.position[v]) for v in column}
        column.sort(key=keys.__getitem__)
        for place, vertex in enumerate(column):
            graph.position[vertex] = place


def _barycentre(graph: Graph, vertex: int, neighbours: Sequence[tuple[int, float]]) -> float:
    if not neighbours:
        return graph.position[vertex]
    return sum(graph.position[u] for u, _ in neighbours) / len(neighbours)


def _swap_neighbours(graph: Graph) -> bool:
    """Swap what stands side by side where that makes crossings cheaper; whether anything was."""
    swapped = False
    for column in graph.columns:
        for place in range(len(column) - 1):
            upper, lower = column[place], column[place + 1]
            gain = 0.0
            for neighbours in (graph.before, graph.after):
                for u, weight in neighbours[upper]:
                    for v, other in neighbours[lower]:
                        side = graph.position[u] - graph.position[v]
                        gain += weight * other * ((side > 0) - (side < 0))
            if gain > 1e-9:
                column[place], column[place + 1] = lower, upper
                graph.position[upper], graph.position[lower] = place + 1, place
                swapped = True
    return swapped
