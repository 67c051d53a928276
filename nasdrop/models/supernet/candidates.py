"""Candidates: which operations each edge of one kind of cell mixes, as the columns of one table.

Shapes: E edges, O columns. All edges of a kind share the columns; an edge with a shorter list lacks some of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from nasdrop.space.cell_space import CellSpace
from nasdrop.space.graph import Edge


@dataclass(frozen=True)
class Candidates:
    """The mixed operations of one kind of cell.

    Args:
        edges: the candidate edges, each with its own list of operations.
        operations: the name of each column: every operation of the kind, in the order of first use.
    """

    edges: tuple[Edge, ...]
    operations: tuple[str, ...]

    @classmethod
    def of(cls, cell: CellSpace) -> "Candidates":
        """The candidates of a kind of cell."""
        return cls(cell.graph.edges, cell.operations)

    @cached_property
    def columns(self) -> tuple[tuple[int, ...], ...]:
        """For each edge the columns of its candidates, in the order of its list."""
        return tuple(tuple(self.operations.index(name) for name in edge.operations) for edge in self.edges)

    @property
    def shape(self) -> tuple[int, int]:
        """(E, O)."""
        return len(self.edges), len(self.operations)

    def available(self) -> Tensor:
        """Which columns each edge has: bool (E, O)."""
        rows = [[column in columns for column in range(len(self.operations))] for columns in self.columns]
        return torch.tensor(rows, dtype=torch.bool)

    def computed(self, edge: int, active: Sequence[Sequence[int]] | None) -> tuple[tuple[int, int], ...]:
        """(position in the edge's list, column) of what an edge computes: what is active and is not `none`."""
        wanted = None if active is None else set(active[edge])
        return tuple(
            (position, column)
            for position, column in enumerate(self.columns[edge])
            if self.operations[column] != "none" and (wanted is None or column in wanted)
        )


def masked_softmax(alphas: Tensor, available: Tensor) -> Tensor:
    """Softmax over the columns that an edge has; 0 in the others.

    Args:
        alphas: architecture weights (..., E, O).
        available: bool, broadcast against them, at least one True a row.
    """
    return torch.where(available, alphas, -torch.inf).softmax(-1)
