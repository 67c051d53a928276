"""Canonical forms: cells that compute the same function have the same form.

`canonical_cell` applies exact rules only: zeros are removed, identities collapse, sums are flattened, the convolution
or pooling of zero is zero, parts that the output does not need are ignored, the order of sums and of a concatenation
does not count. Nothing is assumed of a user's own operation.

The form is that of the expression *tree*: a sub-expression that two edges read counts like two separate ones that look
alike. That gives the 4,930 functionally distinct cells of NAS-Bench-201 (arXiv:2001.00326). Weights see more: a
convolution read twice has one set of weights, two convolutions have two. Telling these apart would give 5,260 classes,
and split 326 of the 4,930.
"""

from collections import Counter
from collections.abc import Mapping
from hashlib import blake2b

from nasdrop.errors import GenotypeError
from nasdrop.space.cells import CellGenotype
from nasdrop.space.genotype import Genotype
from nasdrop.space.operations import Family, family

Sum = Counter[str]
"""A node's value: how often it adds each term. Empty: zero."""


def canonical_cell(cell: CellGenotype, num_inputs: int, *, strided: bool = False) -> str:
    """The canonical form of a cell: a digest, equal for cells that compute the same function.

    A term is named by a digest of its operation and of what that reads, so that the form of a deep cell stays small
    although its tree may be huge.

    Args:
        cell: the cell.
        num_inputs: number of its inputs.
        strided: whether edges from the inputs have stride 2; a skip there is a convolution.
    """
    values: dict[int, Sum] = {node: Counter({f"input{node}": 1}) for node in range(num_inputs)}
    last = max([edge.target for edge in cell.edges] + list(cell.concat))
    for node in range(num_inputs, last + 1):
        total: Sum = Counter()
        for edge in cell.into(node):
            total.update(_term(edge.operation, values[edge.source], strided=strided and edge.source < num_inputs))
        values[node] = total
    return _digest(sorted(_text(values[node]) for node in cell.concat))


def nas_bench_201_class(genotype: Genotype) -> str:
    """NAS-Bench-201's own unique string, the cruder rule of its tables: 6,466 classes of 15,625 cells.

    An identity collapses, a zero term stays as "#", and a node counts as zero only where its string equals "#" ("#+#"
    does not), so some cells of equal function get different strings.

    Args:
        genotype: a genotype of one cell with one input.

    Raises:
        GenotypeError: it has several cells, or nodes without edges.
    """
    if len(genotype.cells) != 1:
        raise GenotypeError(f"NAS-Bench-201 class: needs one cell, got {len(genotype.cells)}")
    (cell,) = genotype.cells
    texts = {0: "0"}
    for node in range(1, cell.concat[-1] + 1):
        terms = [_bench_term(edge.operation, texts[edge.source]) for edge in cell.into(node)]
        if not terms:
            raise GenotypeError(f"NAS-Bench-201 class: every node must have an edge, got none into node {node}")
        texts[node] = "+".join(sorted(terms))
    return texts[cell.concat[-1]]


def _term(operation: str, value: Sum, *, strided: bool) -> Mapping[str, int]:
    """What an edge adds to a sum."""
    kind = family(operation)
    if kind is Family.ZERO:
        return {}
    if kind is Family.IDENTITY and not strided:
        return value
    if not value and kind in (Family.IDENTITY, Family.POOLING, Family.CONVOLUTION):
        return {}
    return {_digest([operation, _text(value)]): 1}


def _text(value: Sum) -> str:
    return "+".join(f"{count}*{term}" for term, count in sorted(value.items())) or "0"


def _digest(parts: list[str]) -> str:
    return blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def _bench_term(operation: str, source: str) -> str:
    if operation == "none" or source == "#":
        return "#"
    return source if operation == "skip_connect" else f"({source})@{operation}"
