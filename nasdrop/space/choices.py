"""NodeChoices: everything one node of a cell may be. A genotype is one option of each node, chosen independently.

An option is the node's kept edges as sorted (source, operation) pairs: a multiset, for an edge may be kept twice.
Decisions describe an option with few categorical parameters: one for the tuple of kept inputs, one an operation slot.
Slots stand for the kept inputs in their order; where edges have operation lists of their own, one stands for each edge.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, combinations_with_replacement, groupby, permutations, product
from math import comb, prod
from typing import NamedTuple, TypeVar

from nasdrop.errors import GenotypeError, suggest

Option = tuple[tuple[int, str], ...]
Kept = tuple[int, ...]
Item = TypeVar("Item")


class Decision(NamedTuple):
    """A categorical parameter of a space: its name and what it may be."""

    name: str
    choices: tuple[str, ...]


class Source(NamedTuple):
    """An earlier node that a node may read: with which operations, and up to how often."""

    node: int
    operations: tuple[str, ...]
    copies: int = 1


@dataclass(frozen=True)
class NodeChoices:
    """The options of one node.

    Args:
        name: begins the names of its decisions, for instance "normal.node2".
        sources: the nodes it may read, in order; copies above 1 need the same operations at every source.
        keep: how many edges an option has.
    """

    name: str
    sources: tuple[Source, ...]
    keep: int

    @cached_property
    def kept(self) -> tuple[Kept, ...]:
        """Every multiset of inputs that an option may keep."""
        if all(source.copies == 1 for source in self.sources):
            return tuple(combinations([source.node for source in self.sources], self.keep))
        copies = {source.node: source.copies for source in self.sources}
        pool = combinations_with_replacement(copies, self.keep)
        return tuple(kept for kept in pool if all(kept.count(node) <= copies[node] for node in set(kept)))

    @cached_property
    def size(self) -> int:
        """Number of options."""
        return sum(self._weights)

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """The parameters of an option; what has one choice only is not a decision."""
        inputs = Decision(f"{self.name}.inputs", tuple(_join(kept) for kept in self.kept))
        slots = (Decision(name, choices) for name, choices in self._slots.items())
        return tuple(decision for decision in (inputs, *slots) if len(decision.choices) > 1)

    def enumerate(self) -> Iterator[Option]:
        """Every option once."""
        for kept in self.kept:
            for runs in product(*(self._runs(node, copies) for node, copies in _counted(kept))):
                yield tuple(edge for run in runs for edge in run)

    def sample(self, rng: random.Random) -> Option:
        """An option, each equally likely."""
        (kept,) = rng.choices(self.kept, weights=self._weights)
        edges: list[tuple[int, str]] = []
        for node, copies in _counted(kept):
            operations = self._sorted_operations[node]
            # A uniform multiset: so many of n + m - 1 positions, each less the number chosen before it.
            positions = sorted(rng.sample(range(len(operations) + copies - 1), copies))
            edges += [(node, operations[position - before]) for before, position in enumerate(positions)]
        return tuple(edges)

    def problem(self, option: Option) -> str:
        """Why edges are no option of this node, or "" where they are one."""
        kept = tuple(sorted(node for node, _ in option))
        if len(kept) != self.keep:
            return f"must keep {self.keep} edges, got {len(kept)}"
        if kept not in self._kept_set:
            return f"must keep inputs among {self._inputs_text()}, got {_join(kept)}"
        for node, operation in option:
            if operation not in self._operations[node]:
                rule = f"must have a candidate operation on the edge from {node}, got {operation!r}"
                return f"{rule}; {suggest(operation, self._operations[node])}"
        return ""

    def encode(self, option: Option) -> dict[str, str]:
        """The decisions of an option; a slot of an edge that is not kept shows its first choice."""
        option = tuple(sorted(option))
        values = {name: choices[0] for name, choices in self._slots.items()}
        values |= {self._slot(index, node): operation for index, (node, operation) in enumerate(option)}
        values[f"{self.name}.inputs"] = _join(tuple(node for node, _ in option))
        return {decision.name: values[decision.name] for decision in self.decisions}

    def decode(self, values: Mapping[str, str]) -> Option:
        """The option of a set of decisions.

        Raises:
            GenotypeError: a decision is missing, or its value is none of its choices.
        """
        kept = self.kept[0]
        if len(self.kept) > 1:
            value = chosen(f"{self.name}.inputs", values, tuple(_join(kept) for kept in self.kept))
            kept = tuple(int(node) for node in value.split("+"))
        names = [self._slot(index, node) for index, node in enumerate(kept)]
        operations = [chosen(name, values, self._slots[name]) for name in names]
        return tuple(sorted(zip(kept, operations, strict=True)))

    def moves(self, option: Option) -> list[tuple[Option, ...]]:
        """The options at distance one, by the decision that changes; only decisions that have another choice.

        A slot of an edge that is newly kept may take any of its operations.
        """
        changes = [
            tuple(
                tuple(sorted((*option[:index], (node, operation), *option[index + 1 :])))
                for operation in self._operations[node]
                if operation != chosen
            )
            for index, (node, chosen) in enumerate(option)
        ]
        current = tuple(node for node, _ in option)
        inputs = [move for kept in self.kept if kept != current for move in self._moved(option, kept)]
        return [move for move in (tuple(dict.fromkeys(inputs)), *changes) if move]

    def _moved(self, option: Option, kept: Kept) -> Iterator[Option]:
        if self._by_edge:
            chosen = dict(option)
            lists = [(chosen[node],) if node in chosen else self._operations[node] for node in kept]
            yield from (tuple(zip(kept, operations, strict=True)) for operations in product(*lists))
            return
        # Slots of equal inputs may be read in any order: each reading is an encoding of the same option.
        runs = [[operation for _, operation in run] for _, run in groupby(option, key=lambda edge: edge[0])]
        for orders in product(*(sorted(set(permutations(run))) for run in runs)):
            flat = (operation for order in orders for operation in order)
            yield tuple(sorted(zip(kept, flat, strict=True)))

    @cached_property
    def _operations(self) -> dict[int, tuple[str, ...]]:
        return {source.node: source.operations for source in self.sources}

    @cached_property
    def _sorted_operations(self) -> dict[int, tuple[str, ...]]:
        return {source.node: tuple(sorted(source.operations)) for source in self.sources}

    @cached_property
    def _kept_set(self) -> frozenset[Kept]:
        return frozenset(self.kept)

    @cached_property
    def _by_edge(self) -> bool:
        """Whether each edge has a slot of its own: lists differ, or all edges are kept."""
        copies = any(source.copies > 1 for source in self.sources)
        return not copies and (len(self.kept) == 1 or len(set(self._operations.values())) > 1)

    @cached_property
    def _slots(self) -> dict[str, tuple[str, ...]]:
        if self._by_edge:
            return {self._slot(0, source.node): source.operations for source in self.sources}
        return {self._slot(index, 0): self.sources[0].operations for index in range(self.keep)}

    def _slot(self, index: int, node: int) -> str:
        return f"{self.name}.from{node}" if self._by_edge else f"{self.name}.operation{index + 1}"

    @cached_property
    def _weights(self) -> tuple[int, ...]:
        """Number of options an entry of `kept`."""
        return tuple(
            prod(comb(len(self._operations[node]) + copies - 1, copies) for node, copies in _counted(kept))
            for kept in self.kept
        )

    def _runs(self, node: int, copies: int) -> Iterator[Option]:
        for operations in combinations_with_replacement(self._sorted_operations[node], copies):
            yield tuple((node, operation) for operation in operations)

    def _inputs_text(self) -> str:
        return ", ".join(
            f"{source.node}" + (f" (up to {source.copies} times)" if source.copies > 1 else "")
            for source in self.sources
        )


def chosen(name: str, values: Mapping[str, str], choices: tuple[str, ...]) -> str:
    """The value of a decision, which need not be given where there is one choice only.

    Raises:
        GenotypeError: it is missing, or none of the choices.
    """
    if len(choices) == 1:
        return choices[0]
    if name not in values:
        raise GenotypeError(f"decision {name}: is required")
    if values[name] not in choices:
        rule = f"must be one of its choices, got {values[name]!r}; {suggest(str(values[name]), choices)}"
        raise GenotypeError(f"decision {name}: {rule}")
    return values[name]


def count_kept(num_sources: int, copies: int, keep: int) -> int:
    """At most so many multisets of inputs: told before they are built."""
    return comb(num_sources, keep) if copies == 1 else comb(num_sources + keep - 1, keep)


def combined(parts: Sequence[Callable[[], Iterator[Item]]]) -> Iterator[tuple[Item, ...]]:
    """Every tuple of one item a part; like itertools.product, but nothing is held in memory."""
    if not parts:
        yield ()
        return
    for head in parts[0]():
        for tail in combined(parts[1:]):
            yield (head, *tail)


def _counted(kept: Kept) -> Iterator[tuple[int, int]]:
    """(node, how often it is kept), in order."""
    for node, run in groupby(kept):
        yield node, sum(1 for _ in run)


def _join(kept: Kept) -> str:
    return "+".join(str(node) for node in kept)
