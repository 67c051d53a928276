"""Mixing weights and path drop as one table: what each operation of each cell is multiplied by.

Shapes: K cells, E edges, O columns, P paths, N samples; R is N where paths drop, else 1. Kinds of cells with fewer
edges or columns than others are padded.
Invariant: path drop costs one product of the mixing weights with the factors, whatever the size of the images.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasdrop.errors import DataError, suggest
from nasdrop.models.supernet.candidates import Candidates
from nasdrop.models.supernet.paths import Unit, find_paths
from nasdrop.space.cell_space import CellSpace

Weights = Mapping[str, Tensor]
"""Kind of cell -> (E, ...), or one such table for each of its cells."""


class Coefficients(NamedTuple):
    """What a forward pass multiplies by.

    Attributes:
        operations: (K, E, O, R), each operation's output.
        edges: (K, E, R), what goes around the operations with partial channels; None: not multiplied.
    """

    operations: Tensor
    edges: Tensor | None


class Mixer(nn.Module):
    """Makes the coefficients of all cells at once; `paths` are the rows of the factors.

    Args:
        cells: the kind of each cell.
        unit: what a path is.
    """

    _index: Tensor

    def __init__(self, cells: Sequence[CellSpace], unit: Unit) -> None:
        super().__init__()
        self.unit = unit
        self.kinds = tuple(cell.name for cell in cells)
        self.candidates = {cell.name: Candidates.of(cell) for cell in cells}
        shapes = [candidates.shape for candidates in self.candidates.values()]
        self.sizes = (max(edges for edges, _ in shapes), max(columns for _, columns in shapes))
        placed = find_paths(unit, cells, self.sizes)
        self.paths = tuple(path for _, path in placed)
        places = [place for place, _ in placed]
        self._dense = unit == "edge" and places == list(range(len(cells) * self.sizes[0]))
        self.register_buffer("_index", torch.tensor(places, dtype=torch.long), persistent=False)

    def forward(self, mixture: Weights, edge_weights: Weights | None, factors: Tensor | None) -> Coefficients:
        """Combine what is mixed with what drops.

        Args:
            mixture: weights of the operations, (E, O) a kind.
            edge_weights: weights of whole edges, (E,) a kind; None: ones.
            factors: of each path (P, N); None: nothing drops.
        """
        operations = self._stack("mixture", mixture, 2)[..., None]
        edges = None if edge_weights is None else self._stack("edge_weights", edge_weights, 1)[..., None]
        if edges is not None:
            operations = operations * edges[:, :, None]
        if factors is None:
            return Coefficients(operations, edges)
        if self.unit == "identity":
            return Coefficients(operations * self._spread(factors, self.sizes), edges)
        live = self._spread(factors, self.sizes[:1])
        return Coefficients(operations * live[:, :, None], live if edges is None else edges * live)

    def keep(self, mixture: Weights, choices: Tensor) -> dict[str, Tensor]:
        """Mix only the operations that were kept, with weights that add up to what all did (DropNAS's softmax).

        Args:
            mixture: weights of the operations, (E, O) a kind.
            choices: which operations are kept, bool (P,).
        """
        none = torch.zeros(len(self.candidates) * prod(self.sizes), device=choices.device)
        kept = none.index_copy(0, self._index, choices.to(none.dtype)).view(-1, *self.sizes)
        result = {}
        for number, (kind, candidates) in enumerate(self.candidates.items()):
            edges, columns = candidates.shape
            weights = mixture[kind] * kept[number, :edges, :columns]
            before, after = mixture[kind].sum(-1, keepdim=True), weights.sum(-1, keepdim=True)
            result[kind] = weights * (before / after.clamp_min(torch.finfo(weights.dtype).tiny))
        return result

    def _stack(self, place: str, weights: Weights, rank: int) -> Tensor:
        """One table for all cells, of `rank` axes a cell: (K, E) or (K, E, O)."""
        seen = dict.fromkeys(self.kinds, 0)
        rows = []
        for kind in self.kinds:
            if kind not in weights:
                raise DataError(f"{place}: must have weights for the cells {kind!r}; {suggest(kind, weights)}")
            given, shape = weights[kind], self.candidates[kind].shape[:rank]
            if tuple(given.shape) not in (shape, (self.kinds.count(kind), *shape)):
                rule = f"must have the shape {shape}, alone or for each cell of the kind"
                raise DataError(f"{place}.{kind}: {rule}, got {tuple(given.shape)}")
            rows.append(given if given.dim() == rank else given[seen[kind]])
            seen[kind] += 1
        if len({row.shape for row in rows}) > 1:
            rows = [_padded(row, self.sizes) for row in rows]
        return torch.stack(rows)

    def _spread(self, values: Tensor, sizes: Sequence[int]) -> Tensor:
        """Bring values a path (P, N) into a table (K, *sizes, N), which is one where there is no path."""
        shape = (len(self.kinds), *sizes, values.shape[1])
        if self._dense:
            return values.view(shape)
        ones = values.new_ones(prod(shape[:-1]), values.shape[1])
        return ones.index_copy(0, self._index, values).view(shape)


def _padded(row: Tensor, sizes: Sequence[int]) -> Tensor:
    """Zeros after the last of each axis."""
    missing = [size - length for size, length in zip(sizes, row.shape, strict=False)]
    return F.pad(row, [amount for size in reversed(missing) for amount in (0, size)])
