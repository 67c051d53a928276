"""One cell, compiled from its genotype to a plan of plain tuples: the forward pass walks no graph.

Shapes: (N, C, *S) a state, N samples, C channels, *S spatial sides; a factor of a path is (N, 1, *1), float32.
Invariant: a node is the sum of its edges' outputs, each times its path's factor, computed in float32 or better and
rounded once.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nasdrop.errors import GenotypeError
from nasdrop.models.layers import concatenate, every
from nasdrop.models.ops import Builder, build_operation
from nasdrop.space.genotype import CellGenotype

_HALF = (torch.bfloat16, torch.float16)


class Term(NamedTuple):
    """One edge that enters a node: where it comes from, its module, its path (None: never multiplied)."""

    source: int
    edge: int
    path: int | None


class Cell(nn.Module):
    """A cell: preprocessed inputs, one operation an edge, a sum a node, a concatenation.

    Args:
        genotype: edges and concatenation; nodes are numbered with the inputs first.
        channels: channels of every state inside the cell.
        stride: 2 for a reduction cell, whose edges from the inputs halve the sides; else 1.
        preprocess: one module an input, from the previous cells' outputs to `channels` channels.
        ndim: number of spatial sides.
        exempt_identity: leave identity edges out of path drop.
        custom: a user's own operations.

    `path_edges[i]` is the edge of the cell's i-th path: all edges but those that are `none`.
    """

    def __init__(
        self,
        genotype: CellGenotype,
        channels: int,
        stride: int,
        preprocess: Sequence[nn.Module],
        *,
        ndim: int,
        exempt_identity: bool = True,
        custom: Mapping[str, Builder] | None = None,
    ) -> None:
        super().__init__()
        inputs = len(preprocess)
        if stride > 1 and min(genotype.concat) < inputs:
            rule = "a reduction cell cannot concatenate its inputs"
            raise GenotypeError(f"{genotype.name}.concat: {rule}, got {genotype.concat!r}")
        self.channels = channels
        self.stride = stride
        self.genotype = genotype
        self.concat = genotype.concat
        self.preprocess = nn.ModuleList(preprocess)
        self.edges = nn.ModuleList(
            build_operation(edge.operation, channels, stride if edge.source < inputs else 1, ndim=ndim, custom=custom)
            for edge in genotype.edges
        )
        self.path_edges = tuple(index for index, edge in enumerate(genotype.edges) if edge.operation != "none")
        exempt = {index for index in self.path_edges if exempt_identity and self.is_identity(index)}
        self.plan = _plan(genotype, inputs, self.path_edges, exempt)

    def is_identity(self, edge: int) -> bool:
        """Whether an edge hands on its source as it is."""
        return isinstance(self.edges[edge], nn.Identity)

    def forward(self, inputs: Sequence[Tensor], factors: Sequence[Tensor] | None = None) -> Tensor:
        """Compute the cell.

        Args:
            inputs: outputs of the previous cells, the latest last, one a module of `preprocess`.
            factors: one (N, 1, *1) a path of the cell; None multiplies nothing.

        Returns:
            (N, channels * len(concat), *ceil(S / stride)).
        """
        states: list[Tensor] = [module(x) for module, x in zip(self.preprocess, inputs, strict=True)]
        for terms in self.plan:
            values = [self.edges[term.edge](states[term.source]) for term in terms]
            if not values:
                states.append(torch.zeros_like(every(states[0], self.stride)))
                continue
            chosen = [None if factors is None or term.path is None else factors[term.path] for term in terms]
            states.append(weighted_sum(values, chosen))
        return concatenate([states[node] for node in self.concat], training=self.training)


def _plan(
    genotype: CellGenotype, inputs: int, path_edges: tuple[int, ...], exempt: set[int]
) -> tuple[tuple[Term, ...], ...]:
    """The terms of every intermediate node; those never multiplied come first, which saves a kernel in the sum."""
    path_of = {edge: path for path, edge in enumerate(path_edges)}
    last = max([*genotype.concat, *(edge.target for edge in genotype.edges)])
    nodes: list[list[Term]] = [[] for _ in range(last + 1 - inputs)]
    for index, edge in enumerate(genotype.edges):
        if not edge.source < edge.target or edge.target < inputs:
            raise GenotypeError(f"{genotype.name}.edges.{index}: must lead to a later node, got {edge}")
        if index in path_of:
            path = None if index in exempt else path_of[index]
            nodes[edge.target - inputs].append(Term(edge.source, index, path))
    return tuple(tuple(sorted(terms, key=lambda term: term.path is not None)) for terms in nodes)


def weighted_sum(values: Sequence[Tensor], factors: Sequence[Tensor | None]) -> Tensor:
    """Sum of values, each times its factor (None: one), rounded once to the values' type.

    A float32 factor lifts a half-precision value to float32; a sum of three or more without factors is lifted too.
    """
    dtype = reduce(torch.promote_types, [value.dtype for value in values])
    total = _product(values[0], factors[0])
    if len(values) > 2 and total.dtype in _HALF:
        total = total.float()
    for value, factor in zip(values[1:], factors[1:], strict=True):
        total = total + value if factor is None else torch.addcmul(total, value, factor)
    return total.to(dtype)


def _product(value: Tensor, factor: Tensor | None) -> Tensor:
    return value if factor is None else value * factor
