"""What a step mixes: weights of the candidate operations, and which of them are computed.

Legend: E edges of a cell of one kind, O columns (candidate operations). An edge may lack columns (`available`).
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nasdrop.models.supernet import SuperNet
from nasdrop.space import Genotype, SearchSpace

Alphas = Mapping[str, Tensor]
Active = Mapping[str, Sequence[Sequence[int]]]


class Mixture(NamedTuple):
    """One step's mixture.

    Attributes:
        weights: by cell kind, (E, O), or (cells, E, O) where the cells of a kind differ.
        active: by cell kind, the columns to compute an edge; None: all that are available.
        edges: by cell kind, weights of whole edges (E,); None: ones.
    """

    weights: Mapping[str, Tensor]
    active: Active | None = None
    edges: Mapping[str, Tensor] | None = None

    def detached(self) -> "Mixture":
        """The same mixture as plain numbers, for a step of the weights."""
        edges = None if self.edges is None else {kind: betas.detach() for kind, betas in self.edges.items()}
        return Mixture({kind: weights.detach() for kind, weights in self.weights.items()}, self.active, edges)


@dataclass(frozen=True)
class Columns:
    """What there is to mix, by cell kind.

    Attributes:
        operations: names of the O columns.
        available: bool (E, O), which columns an edge has; on the alphas' device.
        ends: source and target of each edge.
    """

    operations: Mapping[str, tuple[str, ...]]
    available: Mapping[str, Tensor]
    ends: Mapping[str, tuple[tuple[int, int], ...]]

    @classmethod
    def of(cls, supernet: SuperNet) -> "Columns":
        """The columns of a supernet."""
        cells = supernet.space.cells.items()
        ends = {kind: tuple((edge.source, edge.target) for edge in cell.graph.edges) for kind, cell in cells}
        return cls(supernet.operations, supernet.available, ends)

    def column(self, kind: str, operation: str) -> Tensor:
        """Which of the kind's columns hold an operation: bool (O,)."""
        flags = [name == operation for name in self.operations[kind]]
        return torch.tensor(flags, device=self.available[kind].device)

    def active(self) -> Active:
        """The available columns of each edge, as host integers."""
        return {kind: chosen_columns(available) for kind, available in self.available.items()}


@dataclass(frozen=True)
class Moment:
    """When a step is: everything random in it is a function of this.

    Attributes:
        seed: of the run.
        epoch: from 0.
        epochs: of the whole search.
        step: within the epoch, from 0.
    """

    seed: int
    epoch: int
    epochs: int
    step: int

    @property
    def dice(self) -> random.Random:
        """A generator for choices made on the host; the same on every rank."""
        return random.Random(f"{self.seed} {self.epoch} {self.step}")  # noqa: S311 - a reproducible draw, not a secret


def chosen_columns(flags: Tensor) -> tuple[tuple[int, ...], ...]:
    """The true columns of each row of a bool (E, O), as host integers."""
    return tuple(tuple(index for index, flag in enumerate(row) if flag) for row in flags.tolist())


def one_hot(genotype: Genotype, space: SearchSpace, columns: Columns) -> Mixture:
    """The mixture that is one discrete cell: weight 1 for its operations, and nothing else is computed.

    Args:
        genotype: of the space.
        space: whose candidate edges the supernet has.
        columns: of the supernet.
    """
    weights, active = {}, {}
    for kind, available in columns.available.items():
        chosen = torch.zeros(available.shape)
        free = list(enumerate(space.cells[kind].graph.edges))
        for edge in genotype[kind].edges:  # parallel candidate edges are taken in turn
            place = next(
                place
                for place in free
                if (place[1].source, place[1].target) == edge[:2] and edge.operation in place[1].operations
            )
            free.remove(place)
            chosen[place[0], columns.operations[kind].index(edge.operation)] = 1.0
        weights[kind] = chosen.to(available.device)
        active[kind] = chosen_columns(chosen.bool())
    return Mixture(weights, active)
