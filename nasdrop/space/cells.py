"""CellGenotype: one discovered cell as a value, its edges in one fixed order so that equal cells are equal values."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


class GenotypeEdge(NamedTuple):
    """A kept edge with the operation that was chosen for it."""

    source: int
    target: int
    operation: str


@dataclass(frozen=True)
class CellGenotype:
    """One discovered cell.

    Args:
        name: the cell's name in its space, "normal" or "reduction".
        edges: the kept edges, in any order; held by target, then source, then operation. Two may be equal.
        concat: the nodes whose values are concatenated into the cell's output; held in order.
    """

    name: str
    edges: tuple[GenotypeEdge, ...]
    concat: tuple[int, ...]

    def __post_init__(self) -> None:
        edges = sorted((GenotypeEdge(*edge) for edge in self.edges), key=_order)
        object.__setattr__(self, "edges", tuple(edges))
        object.__setattr__(self, "concat", tuple(sorted(self.concat)))

    def into(self, node: int) -> tuple[GenotypeEdge, ...]:
        """The edges that enter a node."""
        return tuple(edge for edge in self.edges if edge.target == node)


def loose_ends(edges: Iterable[GenotypeEdge]) -> tuple[int, ...]:
    """The intermediate nodes that no edge leaves, in order (the concat of NASNet)."""
    edges = tuple(edges)
    read = {edge.source for edge in edges}
    return tuple(sorted({edge.target for edge in edges} - read))


def _order(edge: GenotypeEdge) -> tuple[int, int, str]:
    return edge.target, edge.source, edge.operation
