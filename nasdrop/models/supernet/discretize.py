"""From a supernet's strengths to a genotype, by DARTS's rule (arXiv:1806.09055), with its ties.

An edge is as strong as its strongest operation that a genotype may hold; a node keeps its strongest edges, each with
that operation. Among equals the lower edge and the lower column win; NaN loses to every number.
"""

from collections.abc import Sequence

from nasdrop.models.supernet.candidates import Candidates
from nasdrop.space.cell_space import CellSpace
from nasdrop.space.cells import CellGenotype, GenotypeEdge

Strengths = Sequence[Sequence[float]]
"""One number an edge and column, in the order of the candidates."""


def discretize_cell(space: CellSpace, strengths: Strengths) -> CellGenotype:
    """The cell that these strengths choose.

    Args:
        space: the kind of cell; where it keeps all edges, each takes its strongest operation.
        strengths: (E, O); columns that an edge lacks, and those that only a supernet has, are not looked at.
    """
    best = [_strongest(space, edge, strengths[edge]) for edge in range(len(space.graph.edges))]
    edges: list[GenotypeEdge] = []
    for node, entering in space.graph.plan:
        ranked = sorted(entering, key=lambda edge: -best[edge][0])
        kept = ranked[: space.keep]
        edges += [GenotypeEdge(space.graph.edges[edge].source, node, best[edge][1]) for edge in kept]
    return CellGenotype(space.name, tuple(edges), space.concat(edges))


def _strongest(space: CellSpace, edge: int, row: Sequence[float]) -> tuple[float, str]:
    """The strength and the name of the strongest operation of an edge."""
    candidates = Candidates.of(space)
    choices = [
        (_number(row[column]), candidates.operations[column])
        for column in candidates.columns[edge]
        if candidates.operations[column] not in space.supernet_only
    ]
    return max(choices, key=lambda choice: choice[0])


def _number(strength: float) -> float:
    return strength if strength == strength else float("-inf")
