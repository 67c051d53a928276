"""Heights in a layered drawing: the least-squares answer to "as near to your neighbours as the gaps allow".

Columns settle in turn, each exactly (pooled adjacent violators); then long links are straightened where there is room.
"""

from collections.abc import Sequence
from itertools import pairwise

from nasdrop.view.layout_order import Graph

_RELAXATIONS = 40
_SETTLED = 0.05
_PORT_GAP = 12.0
_PULLS = (1.0, 3.0, 8.0)  # of a link between two boxes, a box and a lane, two lanes: long links want to be straight


class Ports:
    """Where links leave and arrive, from the box's centre: spread over its side in the order of their other ends."""

    def __init__(self, graph: Graph) -> None:
        self.leave: dict[tuple[int, int], float] = {}
        self.arrive: dict[tuple[int, int], float] = {}
        for vertex, size in enumerate(graph.sizes):
            after = sorted((u for u, _ in graph.after[vertex]), key=graph.position.__getitem__)
            before = sorted((u for u, _ in graph.before[vertex]), key=graph.position.__getitem__)
            self.leave.update(((vertex, u), offset) for u, offset in zip(after, _fan(len(after), size), strict=True))
            self.arrive.update(((u, vertex), offset) for u, offset in zip(before, _fan(len(before), size), strict=True))


def heights(graph: Graph, ports: Ports, gap: float) -> list[float]:
    """The y of the centre of every vertex and lane; the topmost border is at 0.

    Args:
        graph: its columns in their final order.
        ports: where links meet their boxes.
        gap: least distance between the borders of two neighbours in a column.
    """
    offsets = [_offsets(graph, column, gap) for column in graph.columns]
    centres = [0.0] * len(graph.sizes)
    for column, steps in zip(graph.columns, offsets, strict=True):
        for vertex, step in zip(column, steps, strict=True):
            centres[vertex] = step - steps[-1] / 2
    _relax(graph, centres, _pulls(graph, ports), offsets)
    for chain in sorted(graph.chains, key=len, reverse=True):
        _straighten(graph, ports, centres, chain, gap)
    top = min((y - size / 2 for y, size in zip(centres, graph.sizes, strict=True)), default=0.0)
    return [y - top for y in centres]


def _fan(count: int, size: float) -> list[float]:
    gap = min(_PORT_GAP, 0.6 * size / max(count - 1, 1))
    return [(place - (count - 1) / 2) * gap for place in range(count)]


def _offsets(graph: Graph, column: Sequence[int], gap: float) -> list[float]:
    """Least distance of every vertex of a column from its first."""
    offsets = [0.0]
    for upper, lower in pairwise(column):
        offsets.append(offsets[-1] + (graph.sizes[upper] + graph.sizes[lower]) / 2 + gap)
    return offsets[: len(column)]


def _pulls(graph: Graph, ports: Ports) -> list[list[tuple[int, float, float]]]:
    """For every vertex its (neighbour, shift, weight): at `shift` from the neighbour their link is horizontal."""
    pulls: list[list[tuple[int, float, float]]] = [[] for _ in graph.sizes]
    for left, ends in enumerate(graph.after):
        for right, _ in ends:
            shift = ports.leave[left, right] - ports.arrive[left, right]
            weight = _PULLS[graph.is_lane(left) + graph.is_lane(right)]
            pulls[right].append((left, shift, weight))
            pulls[left].append((right, -shift, weight))
    return pulls


def _relax(
    graph: Graph,
    centres: list[float],
    pulls: Sequence[Sequence[tuple[int, float, float]]],
    offsets: Sequence[Sequence[float]],
) -> None:
    """Settle column by column, forth and back, until nothing moves."""
    columns = list(zip(graph.columns, offsets, strict=True))
    for turn in range(_RELAXATIONS):
        moved = 0.0
        for column, steps in columns if turn % 2 == 0 else reversed(columns):
            wishes, weights = [], []
            for vertex in column:
                weight = sum(w for _, _, w in pulls[vertex])
                total = sum(w * (centres[u] + shift) for u, shift, w in pulls[vertex])
                wishes.append(total / weight if weight else centres[vertex])
                weights.append(weight or 0.1)
            for vertex, height in zip(column, spread(wishes, weights, steps), strict=True):
                moved = max(moved, abs(height - centres[vertex]))
                centres[vertex] = height
        if moved < _SETTLED:
            return


def spread(wishes: Sequence[float], weights: Sequence[float], offsets: Sequence[float]) -> list[float]:
    """The heights nearest to the wishes (weighted least squares) whose steps are at least those of the offsets."""
    blocks: list[tuple[float, float, int]] = []
    for wish, weight, offset in zip(wishes, weights, offsets, strict=True):
        mean, total, count = wish - offset, weight, 1
        while blocks and blocks[-1][0] > mean:
            other, other_total, other_count = blocks.pop()
            mean = (mean * total + other * other_total) / (total + other_total)
            total, count = total + other_total, count + other_count
        blocks.append((mean, total, count))
    means = [mean for mean, _, count in blocks for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]


def _straighten(graph: Graph, ports: Ports, centres: list[float], chain: Sequence[int], gap: float) -> None:
    """Move a link's lanes, and ends that no other link holds, to one height, if their neighbours leave room."""
    free = [v for v in chain if graph.is_lane(v) or len(graph.before[v]) + len(graph.after[v]) == 1]
    if not free:
        return
    low = max(_border(graph, centres, vertex, -1, gap) for vertex in free)
    high = min(_border(graph, centres, vertex, 1, gap) for vertex in free)
    if low > high:
        return
    ends = [
        centres[chain[0]] + ports.leave[chain[0], chain[1]],
        centres[chain[-1]] + ports.arrive[chain[-2], chain[-1]],
    ]
    held = [end for end, vertex in zip(ends, (chain[0], chain[-1]), strict=True) if vertex not in free]
    now = sum(centres[vertex] for vertex in free) / len(free)
    reachable = [end for end in held if low <= end <= high]
    height = min(reachable or [min(max(now, low), high)], key=lambda end: abs(end - now))
    for vertex in free:
        centres[vertex] = height


def _border(graph: Graph, centres: Sequence[float], vertex: int, side: int, gap: float) -> float:
    """How far a vertex can move up (side -1) or down (1) before it meets its neighbour."""
    column, place = graph.columns[graph.ranks[vertex]], graph.position[vertex] + side
    if not 0 <= place < len(column):
        return side * float("inf")
    other = column[place]
    return centres[other] - side * ((graph.sizes[other] + graph.sizes[vertex]) / 2 + gap)
