"""The paths of a supernet: what one decision of path drop is about.

A place is where a path's factor goes in a table of all edges, or of all columns of all edges; see mixing.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from nasdrop.drop.paths import Path
from nasdrop.drop.policies import POLICIES
from nasdrop.models.supernet.candidates import Candidates
from nasdrop.space.cell_space import CellSpace
from nasdrop.space.operations import Family, family

Unit = Literal["edge", "identity", "operation"]
"""What a path is: an edge of a cell, an identity candidate of such an edge, or a candidate of a kind of cell."""

Placed = tuple[int, Path]


def unit_of(policy: str) -> Unit:
    """What a policy decides about; one that is not known is left to PathDrop to refuse."""
    traits = POLICIES.get(policy)
    if traits is None or not (traits.only_identity or traits.choice):
        return "edge"
    return "identity" if traits.only_identity else "operation"


def find_paths(unit: Unit, cells: Sequence[CellSpace], sizes: tuple[int, int]) -> list[Placed]:
    """All paths with their places, in the order of the cells; `sizes`: edges and columns of the table."""
    if unit == "operation":
        return list(_operations({cell.name: cell for cell in cells}, cells, sizes))
    return list(_edges(cells, sizes[0]) if unit == "edge" else _identities(cells, sizes))


def _edges(cells: Sequence[CellSpace], width: int) -> Iterator[Placed]:
    """Mixed edges drop whole (RobustDARTS, arXiv:1909.09656)."""
    for index, cell, node in _numbered(cells):
        for number, edge in enumerate(cell.graph.edges):
            name = f"cells.{index}.edges.{number}"
            depth, shared = (index + 1) / len(cells), f"{cell.name}/edge_{number:02d}"
            yield index * width + number, Path(name, node + edge.target, index, depth, place=shared)


def _identities(cells: Sequence[CellSpace], sizes: tuple[int, int]) -> Iterator[Placed]:
    """Skip connections that hand on their source as it is."""
    for index, cell, node in _numbered(cells):
        columns = Candidates.of(cell).columns
        for number, edge in enumerate(cell.graph.edges):
            for position, operation in enumerate(edge.operations):
                if family(operation) is Family.IDENTITY and cell.stride(edge.source) == 1:
                    place = (index * sizes[0] + number) * sizes[1] + columns[number][position]
                    name = f"cells.{index}.edges.{number}.{position}"
                    depth = (index + 1) / len(cells)
                    shared = f"{cell.name}/edge_{number:02d}"
                    yield place, Path(name, node + edge.target, index, depth, operation, identity=True, place=shared)


def _operations(kinds: Mapping[str, CellSpace], cells: Sequence[CellSpace], sizes: tuple[int, int]) -> Iterator[Placed]:
    """Candidates that all cells of a kind keep or leave together (DropNAS, arXiv:2201.11679)."""
    edges_before = 0
    for kind, (name, cell) in enumerate(kinds.items()):
        columns = Candidates.of(cell).columns
        first = next(index for index, other in enumerate(cells) if other.name == name)
        for number, edge in enumerate(cell.graph.edges):
            for position, operation in enumerate(edge.operations):
                place = (kind * sizes[0] + number) * sizes[1] + columns[number][position]
                label = f"{name}.edges.{number}.{operation}"
                where = edges_before + number
                shared = f"{name}/edge_{number:02d}"
                yield place, Path(label, where, first, 1.0, operation, edge=where, place=shared)
        edges_before += len(cell.graph.edges)


def _numbered(cells: Sequence[CellSpace]) -> Iterator[tuple[int, CellSpace, int]]:
    """(index, cell, what makes the number of its nodes unique in the network)."""
    before = 0
    for index, cell in enumerate(cells):
        yield index, cell, before - cell.graph.num_inputs
        before += cell.graph.num_nodes
