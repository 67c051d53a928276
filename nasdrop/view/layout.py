"""Layered drawing of a directed acyclic graph from left to right (Sugiyama's method): plain geometry, no pictures.

Invariant: links bend only between columns and cross a column through a lane of their own, so no line touches a box that
it does not join.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from nasdrop.view.layout_heights import Ports, heights
from nasdrop.view.layout_order import Graph, Link, Vertex, order

__all__ = ["Layout", "Link", "Place", "Point", "Spacing", "Vertex", "layered"]

Point = tuple[float, float]


@dataclass(frozen=True)
class Place:
    """A placed box: centre and size."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> float:
        """Smallest x."""
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        """Largest x."""
        return self.x + self.width / 2

    @property
    def top(self) -> float:
        """Smallest y."""
        return self.y - self.height / 2

    @property
    def bottom(self) -> float:
        """Largest y."""
        return self.y + self.height / 2


@dataclass(frozen=True)
class Layout:
    """What `layered` returns; the drawing fills (0, 0) to (width, height).

    Attributes:
        places: one a vertex, in the order given.
        routes: one a link, in the order given: way points from left to right, between which a line goes horizontally
            (equal y) or bends with horizontal ends.
        width: of the whole drawing.
        height: of the whole drawing.
    """

    places: tuple[Place, ...]
    routes: tuple[tuple[Point, ...], ...]
    width: float
    height: float


@dataclass(frozen=True)
class Spacing:
    """Distances in pixels.

    Attributes:
        boxes: between boxes or lanes of a column.
        lane: height of a passing link's lane.
        columns: between columns, at least.
        widest: between columns, at most; a gap widens where a line climbs far, by `slope` times the climb.
        slope: see `widest`.
    """

    boxes: float = 10.0
    lane: float = 8.0
    columns: float = 38.0
    widest: float = 84.0
    slope: float = 0.42


def layered(vertices: Sequence[Vertex], links: Sequence[Link], spacing: Spacing | None = None) -> Layout:
    """Place the vertices in their columns and route the links.

    Args:
        vertices: boxes with their columns; of the first column the given order is kept where it costs nothing.
        links: each from a column to a later one, no two between the same vertices.
        spacing: distances; None: the defaults.
    """
    spacing = spacing or Spacing()
    graph = Graph(vertices, links, spacing.lane)
    order(graph)
    ports = Ports(graph)
    centres = heights(graph, ports, spacing.boxes)
    widths = [max((vertices[v].width for v in column if not graph.is_lane(v)), default=0.0) for column in graph.columns]
    lefts = _lefts(graph, centres, widths, spacing)
    columns = [(left, left + width) for left, width in zip(lefts, widths, strict=True)]
    places = tuple(
        Place(sum(columns[vertex.rank]) / 2, centres[i], vertex.width, vertex.height)
        for i, vertex in enumerate(vertices)
    )
    routes = tuple(_route(chain, graph, ports, centres, columns, places) for chain in graph.chains)
    bottom = max((y + size / 2 for y, size in zip(centres, graph.sizes, strict=True)), default=0.0)
    return Layout(places, routes, columns[-1][1], bottom)


def _lefts(graph: Graph, centres: Sequence[float], widths: Sequence[float], spacing: Spacing) -> list[float]:
    """The left border of every column."""
    lefts = [0.0]
    for column, width in zip(graph.columns[:-1], widths, strict=False):
        climb = max((abs(centres[u] - centres[v]) for v in column for u, _ in graph.after[v]), default=0.0)
        lefts.append(lefts[-1] + width + min(max(spacing.columns, spacing.slope * climb), spacing.widest))
    return lefts


def _route(
    chain: Sequence[int],
    graph: Graph,
    ports: Ports,
    centres: Sequence[float],
    columns: Sequence[tuple[float, float]],
    places: Sequence[Place],
) -> tuple[Point, ...]:
    """A link's way points: from its source's side, at each column's border, to its target's side."""
    points: list[Point] = []
    for left, right in pairwise(chain):
        points.append((columns[graph.ranks[left]][1], centres[left] + ports.leave[left, right]))
        points.append((columns[graph.ranks[right]][0], centres[right] + ports.arrive[left, right]))
    points.insert(0, (places[chain[0]].right, points[0][1]))
    points.append((places[chain[-1]].left, points[-1][1]))
    return tuple(point for i, point in enumerate(points) if i == 0 or point != points[i - 1])
