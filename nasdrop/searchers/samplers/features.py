"""What two cells have in common, counted in three ways: their paths, their sub-graphs (Weisfeiler-Lehman), their edges.

Only what reaches the output counts. Identities are passed through and zeros left out, so paths and sub-graphs are the
same for cells of equal function; edges also tell where an operation sits.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import log1p

import numpy as np
from numpy.typing import NDArray

from nasdrop.space import CellGenotype, CellSpace, Family, Genotype, GenotypeEdge, SearchSpace
from nasdrop.space.operations import family

Counts = Mapping[str, float]
Features = tuple[Counts, Counts, Counts]
"""Paths, sub-graphs, edges."""

Row = tuple[NDArray[np.intp], NDArray[np.float64]]
"""Counts as arrays: the numbers of their names, and the counts."""

_LONGEST = 4  # operations of a path that are told apart, counted from its end
_ROUNDS = 3  # depths at which sub-graphs are compared: an operation alone, with what it reads, with what that reads

_Term = int | tuple[int, GenotypeEdge]
"""An input, or an edge that computes something, with its place among the live edges."""


def features(space: SearchSpace, genotype: Genotype) -> Features:
    """The three counts of a genotype; of counts that grow with depth, the logarithm of 1 + n."""
    paths: dict[str, float] = {}
    graphs: dict[str, float] = {}
    edges: dict[str, float] = {}
    for name, cell_space in space.cells.items():
        cell = genotype[name]
        live = live_edges(cell_space, cell)
        for held, counts in (
            (paths, _paths(cell_space, cell, live)),
            (graphs, _subgraphs(cell_space, cell, live)),
        ):
            held.update({f"{name}:{key}": log1p(count) for key, count in counts.items()})
        edges.update({f"{name}:{key}": float(count) for key, count in Counter(map(_text, live)).items()})
    if not space.cells:  # a fractal: every edge counts, and so do its options
        edges.update({_text(edge): 1.0 for cell in genotype.cells for edge in cell.edges})
        edges.update({f"{name}={text}": 1.0 for name, text in genotype.options})
    return paths, graphs, edges


def live_edges(space: CellSpace, cell: CellGenotype) -> list[GenotypeEdge]:
    """The edges through which something comes from an input to the output."""
    edges = [edge for edge in cell.edges if family(edge.operation) is not Family.ZERO]
    reached = set(range(space.graph.num_inputs))
    for edge in edges:  # in the order of their targets
        if edge.source in reached:
            reached.add(edge.target)
    needed = set(cell.concat)
    for edge in reversed(edges):
        if edge.target in needed:
            needed.add(edge.source)
    return [edge for edge in edges if edge.source in reached and edge.target in needed]


class Vocabulary:
    """Numbers the names of one kind of counts, so that a row is two arrays: numbers and counts."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def row(self, counts: Counts) -> Row:
        """The arrays of some counts; names that are new get the next numbers."""
        numbers = [self._numbers.setdefault(name, len(self._numbers)) for name in counts]
        return np.array(numbers, dtype=np.intp), np.fromiter(counts.values(), float)


def squared_distances(rows: Sequence[Row], count: int) -> NDArray[np.float64]:
    """Squared Euclidean distances (count, rows) of the first `count` rows to all."""
    used, columns = np.unique(np.concatenate([numbers for numbers, _ in rows]), return_inverse=True)
    matrix = np.zeros((len(rows), len(used)))
    lengths = [len(numbers) for numbers, _ in rows]
    matrix[np.repeat(np.arange(len(rows)), lengths), columns] = np.concatenate([counts for _, counts in rows])
    norms = (matrix * matrix).sum(1)
    distances: NDArray[np.float64] = norms[:count, None] + norms - 2 * matrix[:count] @ matrix.T
    return np.maximum(distances, 0.0)


def _paths(space: CellSpace, cell: CellGenotype, live: Sequence[GenotypeEdge]) -> Counter[str]:
    """How many paths from an input to the output read so, by their last operations."""
    inputs = range(space.graph.num_inputs)
    ending: dict[int, Counter[tuple[str, ...]]] = defaultdict(Counter)
    ending.update({node: Counter({(f"input{node}",): 1}) for node in inputs})
    for edge in live:
        step = () if space.is_identity(edge) else (edge.operation,)
        for path, count in ending[edge.source].items():
            ending[edge.target][(path + step)[-_LONGEST - 1 :]] += count
    total: Counter[str] = Counter()
    for node in cell.concat:
        for path, count in ending[node].items():
            total[">".join(path)] += count
    return total


def _subgraphs(space: CellSpace, cell: CellGenotype, live: Sequence[GenotypeEdge]) -> Counter[str]:
    """How often each operation occurs with what it reads, that with what it reads, and so on, counted as in a tree."""
    inputs = range(space.graph.num_inputs)
    terms: dict[int, Counter[_Term]] = defaultdict(Counter)
    terms.update({node: Counter({node: 1}) for node in inputs})
    computing: list[tuple[int, GenotypeEdge]] = []
    for number, edge in enumerate(live):
        if space.is_identity(edge):
            terms[edge.target].update(terms[edge.source])
        else:
            terms[edge.target][(number, edge)] += 1
            computing.append((number, edge))
    times: Counter[_Term] = Counter()
    for node in cell.concat:
        times.update(terms[node])
    for key in reversed(computing):  # what reads an edge comes after it
        for below, count in terms[key[1].source].items():
            times[below] += count * times[key]
    labels: dict[_Term, str] = {node: f"input{node}" for node in inputs}
    labels.update({key: key[1].operation for key in computing})
    total: Counter[str] = Counter()
    for depth in range(_ROUNDS):
        for term, count in times.items():
            total[f"{depth}:{labels[term]}"] += count
        read = {key: terms[key[1].source] for key in computing}
        labels.update({key: f"{key[1].operation}({_reading(read[key], dict(labels))})" for key in computing})
    return total


def _reading(terms: Counter[_Term], labels: Mapping[_Term, str]) -> str:
    return "+".join(sorted(f"{count}*{labels[key]}" for key, count in terms.items()))


def _text(edge: GenotypeEdge) -> str:
    return f"{edge.source}>{edge.target}:{edge.operation}"
