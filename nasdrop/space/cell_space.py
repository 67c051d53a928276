"""CellSpace: all cells of one kind that a search may find: a graph of candidate edges, and what a genotype keeps."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Literal

from nasdrop.errors import SpaceError
from nasdrop.space.cells import CellGenotype, GenotypeEdge, loose_ends
from nasdrop.space.choices import Decision, NodeChoices, Option, Source, combined, count_kept
from nasdrop.space.graph import CellGraph
from nasdrop.space.operations import Family, family

Output = Literal["all", "last", "loose"]

MAX_KEPT = 10_000
"""Most ways in which one node may choose its inputs: they are the choices of one categorical parameter."""


@dataclass(frozen=True)
class CellSpace:
    """All cells of one kind.

    Args:
        name: "normal" or "reduction". The edges that leave the inputs of a reduction cell have stride 2.
        graph: the candidate edges; two parallel ones mean that an edge may be kept twice.
        keep: how many edges a genotype keeps of those that enter a node; None: all.
        output: "all" concatenates every intermediate node, "last" is the last node alone, "loose" concatenates the
            nodes that no kept edge leaves (NASNet).
        supernet_only: operations that a supernet mixes in and no genotype holds (`none` in DARTS).

    Raises:
        SpaceError: all mistakes, one line each.
    """

    name: str
    graph: CellGraph
    keep: int | None = None
    output: Output = "all"
    supernet_only: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "supernet_only", frozenset(self.supernet_only))
        place = f"cell {self.name}"
        pairs = [(edge.source, edge.target) for edge in self.graph.edges]
        lines = keep_mistakes(place, pairs, self.keep)
        for index, edge in enumerate(self.graph.edges):
            lines += supernet_only_mistakes(f"{place}: edges[{index}]", edge.operations, self.supernet_only)
        lists: dict[int, set[tuple[str, ...]]] = {}
        for edge in self.graph.edges:
            lists.setdefault(edge.target, set()).add(edge.operations)
        for node, count in Counter(target for _, target in set(pairs)).items():
            if len(lists[node]) > 1 and count < sum(target == node for _, target in pairs):
                lines.append(
                    f"{place}: a node with parallel edges must have one list of operations, got several at {node}"
                )
        if lines:
            raise SpaceError(*lines)

    @property
    def operations(self) -> tuple[str, ...]:
        """Every candidate operation, supernet-only ones included, in the order of first use."""
        return tuple(dict.fromkeys(name for edge in self.graph.edges for name in edge.operations))

    @property
    def strided(self) -> bool:
        """Whether the edges that leave an input have stride 2."""
        return self.name == "reduction"

    def stride(self, source: int) -> int:
        """The stride of the edges that leave a node."""
        return 2 if self.strided and source < self.graph.num_inputs else 1

    def is_identity(self, edge: GenotypeEdge) -> bool:
        """Whether an edge hands on its input unchanged (a skip at stride 2 is a convolution, not an identity)."""
        return family(edge.operation) is Family.IDENTITY and self.stride(edge.source) == 1

    @cached_property
    def nodes(self) -> tuple[NodeChoices, ...]:
        """The choices of each intermediate node."""
        return tuple(self._node(node) for node in self.graph.nodes)

    @cached_property
    def size(self) -> int:
        """Number of cells."""
        return prod(node.size for node in self.nodes)

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """The parameters of a cell."""
        return tuple(decision for node in self.nodes for decision in node.decisions)

    def enumerate(self) -> Iterator[CellGenotype]:
        """Every cell once; lazily, for there may be more than memory holds."""
        return (self._cell(options) for options in combined([node.enumerate for node in self.nodes]))

    def sample(self, rng: random.Random) -> CellGenotype:
        """A cell, each equally likely."""
        return self._cell([node.sample(rng) for node in self.nodes])

    def encode(self, cell: CellGenotype) -> dict[str, str]:
        """The decisions of a cell of this space."""
        parts = [node.encode(option) for node, option in zip(self.nodes, self._options(cell), strict=True)]
        return {name: value for part in parts for name, value in part.items()}

    def decode(self, values: Mapping[str, str]) -> CellGenotype:
        """The cell of a set of decisions.

        Raises:
            GenotypeError: a decision is missing, or its value is none of its choices.
        """
        return self._cell([node.decode(values) for node in self.nodes])

    def moves(self, cell: CellGenotype) -> Iterator[tuple[int, tuple[Option, ...]]]:
        """What leads to the cells at distance one, by the decision that changes: (index of a node, its new options)."""
        options = self._options(cell)
        for index, node in enumerate(self.nodes):
            for move in node.moves(options[index]):
                yield index, move

    def moved(self, cell: CellGenotype, index: int, option: Option) -> CellGenotype:
        """The cell with another option of one node."""
        options = self._options(cell)
        return self._cell([*options[:index], option, *options[index + 1 :]])

    def concat(self, edges: Sequence[GenotypeEdge]) -> tuple[int, ...]:
        """The nodes that a cell with these edges concatenates."""
        if self.output == "loose":
            return loose_ends(edges)
        return tuple(self.graph.nodes) if self.output == "all" else (self.graph.nodes[-1],)

    def problems(self, cell: CellGenotype) -> Iterator[str]:
        """Why a cell does not belong to this space, one line a mistake."""
        inside = set(self.graph.nodes)
        for edge in cell.edges:
            if edge.target not in inside:
                yield f"{cell.name}: edges must enter nodes {min(inside)} to {max(inside)}, got {edge.target}"
        rules = [
            (number, node.problem(option))
            for number, node, option in zip(self.graph.nodes, self.nodes, self._options(cell), strict=True)
        ]
        yield from (f"{cell.name}: node {number} {rule}" for number, rule in rules if rule)
        if not any(rule for _, rule in rules) and sorted(cell.concat) != list(self.concat(cell.edges)):
            wanted = list(self.concat(cell.edges))
            yield f"{cell.name}: concat must be {wanted} (output {self.output!r}), got {list(cell.concat)}"

    def _node(self, node: int) -> NodeChoices:
        edges = [edge for edge in self.graph.edges if edge.target == node]
        copies = Counter(edge.source for edge in edges)
        sources = {
            edge.source: Source(edge.source, self._chosen(edge.operations), copies[edge.source])
            for edge in sorted(edges, key=lambda edge: edge.source)
        }
        return NodeChoices(f"{self.name}.node{node}", tuple(sources.values()), self.keep or len(edges))

    def _chosen(self, operations: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in operations if name not in self.supernet_only)

    def _options(self, cell: CellGenotype) -> list[Option]:
        return [tuple((edge.source, edge.operation) for edge in cell.into(node)) for node in self.graph.nodes]

    def _cell(self, options: Sequence[Option]) -> CellGenotype:
        edges = tuple(
            GenotypeEdge(source, node, operation)
            for node, option in zip(self.graph.nodes, options, strict=True)
            for source, operation in option
        )
        return CellGenotype(self.name, edges, self.concat(edges))


def keep_mistakes(place: str, pairs: Sequence[tuple[int, int]], keep: int | None) -> list[str]:
    """Find nodes that cannot keep so many edges, or could in too many ways.

    Args:
        place: begins each line.
        pairs: (source, target) a candidate edge.
        keep: edges that a node keeps; None: all.
    """
    if keep is None:
        return []
    if keep < 1:
        return [f"{place}: must keep at least 1 edge, got {keep}"]
    lines = []
    for node, count in sorted(Counter(target for _, target in pairs).items()):
        copies = Counter(source for source, target in pairs if target == node)
        if keep > count:
            lines.append(
                f"{place}: must be at most the number of edges into a node ({count} into node {node}), got {keep}"
            )
        elif (ways := count_kept(len(copies), max(copies.values()), keep)) > MAX_KEPT:
            lines.append(f"{place}: a node may choose its inputs in at most {MAX_KEPT} ways, got {ways} at node {node}")
    return lines


def supernet_only_mistakes(place: str, operations: Sequence[str], supernet_only: frozenset[str]) -> list[str]:
    """Find a list of operations that leaves nothing for a genotype."""
    if operations and not set(operations) - supernet_only:
        return [f"{place}: must leave an operation to a genotype, got supernet-only ones alone: {list(operations)}"]
    return []
