"""The field's texts of a genotype: DARTS's `Genotype(normal=[...], ...)` and NAS-Bench-201's `|op~0|+|op~0|op~1|`.

Both grammars have a fixed depth, so they are read by a tokenizer and a few functions without recursion: no text is ever
evaluated, and no nesting can exhaust the stack.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from nasdrop.errors import GenotypeError, suggest
from nasdrop.space.cells import CellGenotype, GenotypeEdge
from nasdrop.space.tokens import MAX_NODE, Tokens, excerpt

DARTS_START = re.compile(r"(?:\s|#[^\n]*\n)*+(?:[A-Za-z_]\w*+\s*+=\s*+){0,2}Genotype\s*\(")
"""What a DARTS text begins with; `DARTS_V2 = Genotype(` too, and comments before it."""

_INPUTS = 2  # of every cell that the DARTS text can hold
_EDGES = 2  # a node keeps, likewise
_MAX_LINES = 10  # of one error
_CELLS = {"normal": "normal", "reduce": "reduction"}
_UNUSED = ("connectN", "connects")  # parts that AutoDL-Projects writes beside the cells, as None
_BENCH_TERM = re.compile(r"([A-Za-z_][\w.-]{0,99})~(\d{1,3})", re.ASCII)


def read_darts(text: str, place: str) -> tuple[CellGenotype, ...]:
    """Read `Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), reduce=..., reduce_concat=...)`.

    Args:
        text: the text, with or without a name and `=` in front.
        place: begins an error's line.

    Returns:
        The normal and the reduction cell.

    Raises:
        GenotypeError: the text is not of that form.
    """
    start = DARTS_START.match(text)
    tokens = Tokens(text, place, start.end() if start else 0)
    if not start:
        tokens.fail("must begin with Genotype(")
    pairs, concats = _parts(tokens, place)
    missing = [name for name in _CELLS if name not in pairs] + [f"{n}_concat" for n in _CELLS if n not in concats]
    if missing:
        raise GenotypeError(*(f"{place}: {key} is required" for key in missing))
    return tuple(_darts_cell(key, pairs[key], concats[key], place) for key in _CELLS)


def write_darts(cells: Sequence[CellGenotype]) -> str:
    """Write the DARTS text.

    Raises:
        GenotypeError: the text cannot hold these cells; it needs a normal and a reduction cell, two edges a node.
    """
    by_name = {cell.name: cell for cell in cells}
    if set(by_name) != set(_CELLS.values()) or len(cells) != len(_CELLS):
        raise GenotypeError(f"DARTS text: holds a normal and a reduction cell, got {', '.join(c.name for c in cells)}")
    parts = []
    for key, name in _CELLS.items():
        cell = by_name[name]
        targets = [edge.target for edge in cell.edges]
        if targets != [_INPUTS + index // _EDGES for index in range(len(targets))] or len(targets) % _EDGES:
            raise GenotypeError(
                f"DARTS text: holds two edges a node, got a {name} cell with edges into nodes {excerpt(targets)}"
            )
        edges = ", ".join(f"('{edge.operation}', {edge.source})" for edge in cell.edges)
        run = all(after == before + 1 for before, after in pairwise(cell.concat))
        concat = f"range({cell.concat[0]}, {cell.concat[-1] + 1})" if run else str(list(cell.concat))
        parts.append(f"{key}=[{edges}], {key}_concat={concat}")
    return f"Genotype({', '.join(parts)})"


def read_nas_bench_201(text: str, place: str) -> tuple[CellGenotype, ...]:
    """Read `|nor_conv_3x3~0|+|none~0|skip_connect~1|+...`; node i lists its inputs 0 to i - 1 in order.

    Raises:
        GenotypeError: the text is not of that form.
    """
    edges: list[GenotypeEdge] = []
    node = 0
    for node, part in enumerate(_bench_parts(text.strip(), place), start=1):
        terms = part[1:-1].split("|", node) if len(part) > 1 and part[0] == part[-1] == "|" else []
        if len(terms) != node:
            rule = f"node {node} must read |operation~0|... with one term an earlier node"
            raise GenotypeError(f"{place}: {rule}, got {excerpt(part)}")
        for source, term in enumerate(terms):
            match = _BENCH_TERM.fullmatch(term)
            if not match or int(match[2]) != source:
                raise GenotypeError(f"{place}: node {node} must hold operation~{source} here, got {excerpt(term)}")
            edges.append(GenotypeEdge(source, node, match[1]))
    return (CellGenotype("normal", tuple(edges), (node,)),)


def write_nas_bench_201(cells: Sequence[CellGenotype]) -> str:
    """Write the NAS-Bench-201 text.

    Raises:
        GenotypeError: the text cannot hold these cells; it needs one cell with one input, whose nodes read every
            earlier node once and whose last node is the output.
    """
    if len(cells) != 1:
        raise GenotypeError(f"NAS-Bench-201 text: holds one cell, got {', '.join(cell.name for cell in cells)}")
    (cell,) = cells
    last = max((edge.target for edge in cell.edges), default=0)
    pairs = [(edge.source, edge.target) for edge in cell.edges]
    if not last or pairs != [(s, t) for t in range(1, last + 1) for s in range(t)] or cell.concat != (last,):
        raise GenotypeError(
            "NAS-Bench-201 text: every node must read each earlier node once and the last must be the output, "
            f"got edges {excerpt(pairs)} and output {excerpt(cell.concat)}"
        )
    nodes = ("".join(f"|{edge.operation}~{edge.source}" for edge in cell.into(node)) for node in range(1, last + 1))
    return "+".join(f"{node}|" for node in nodes)


def _parts(tokens: Tokens, place: str) -> tuple[dict[str, list[tuple[str, int]]], dict[str, tuple[int, ...]]]:
    """`normal=..., normal_concat=..., ...)` in any order: the edges and the concat of each key."""
    pairs: dict[str, list[tuple[str, int]]] = {}
    concats: dict[str, tuple[int, ...]] = {}
    while not tokens.accept(")"):
        key = tokens.name()
        cell, is_concat = key.removesuffix("_concat"), key.endswith("_concat")
        if key in _UNUSED:
            tokens.expect("=")
            if not tokens.accept_none():
                tokens.fail(f"must have None here: no {key} can be read")
        elif cell not in _CELLS:
            known = [name + end for name in _CELLS for end in ("", "_concat")]
            raise GenotypeError(f"{place}: unknown part {key!r}; {suggest(key, known)}")
        elif cell in (concats if is_concat else pairs):
            raise GenotypeError(f"{place}: {key} must be given once, got it twice")
        else:
            tokens.expect("=")
            if is_concat:
                concats[cell] = _concat(tokens)
            else:
                pairs[cell] = _pairs(tokens)
        if not tokens.accept(","):
            tokens.expect(")")
            break
    tokens.end()
    return pairs, concats


def _pairs(tokens: Tokens) -> list[tuple[str, int]]:
    """`[('sep_conv_3x3', 0), ...]`, or grouped by node, `[(('sep_conv_3x3', 0), ('sep_conv_3x3', 1)), ...]`."""
    pairs = []
    close = tokens.open()
    while not tokens.accept(close):
        end = tokens.open()
        if inner := tokens.accept_open():
            pairs += _rest_of_node(tokens, inner, end)
        else:
            pairs.append(_rest_of_pair(tokens, end))
        if not tokens.accept(","):
            tokens.expect(close)
            break
    return pairs


def _rest_of_node(tokens: Tokens, inner: str, close: str) -> list[tuple[str, int]]:
    """`'sep_conv_3x3', 0), ('sep_conv_3x3', 1))`: as many edges as a node keeps, or later ones would slip."""
    pairs = [_rest_of_pair(tokens, inner)]
    for _ in range(_EDGES - 1):
        tokens.expect(",")
        pairs.append(_rest_of_pair(tokens, tokens.open()))
    tokens.accept(",")
    tokens.expect(close)
    return pairs


def _rest_of_pair(tokens: Tokens, close: str) -> tuple[str, int]:
    """`'sep_conv_3x3', 0)`."""
    operation = tokens.operation()
    tokens.expect(",")
    node = tokens.node()
    tokens.accept(",")
    tokens.expect(close)
    return operation, node


def _concat(tokens: Tokens) -> tuple[int, ...]:
    """`range(2, 6)`, `[2, 3, 4, 5]` or `(2, 3, 4, 5)`."""
    if tokens.accept_range():
        tokens.expect("(")
        first = tokens.node()
        tokens.expect(",")
        stop = tokens.node()
        tokens.expect(")")
        return tuple(range(first, stop))
    nodes = []
    close = tokens.open()
    while not tokens.accept(close):
        nodes.append(tokens.node())
        if not tokens.accept(","):
            tokens.expect(close)
            break
    return tuple(nodes)


def _darts_cell(key: str, pairs: list[tuple[str, int]], concat: tuple[int, ...], place: str) -> CellGenotype:
    lines = []
    if not pairs or len(pairs) % _EDGES:
        lines.append(f"{place}: {key} must hold two edges a node, got {len(pairs)} edges")
    edges = [GenotypeEdge(s, _INPUTS + index // _EDGES, operation) for index, (operation, s) in enumerate(pairs)]
    for index, edge in enumerate(edges):
        if edge.source >= edge.target:
            lines.append(f"{place}: {key}[{index}] must come from a node before node {edge.target}, got {edge.source}")
    last = max((edge.target for edge in edges), default=0)
    if not concat or max(concat) > last or len(set(concat)) < len(concat):
        lines.append(f"{place}: {key}_concat must name nodes 0 to {last}, each once, got {excerpt(list(concat))}")
    if lines:
        raise GenotypeError(*lines[:_MAX_LINES])
    return CellGenotype(_CELLS[key], tuple(edges), concat)


def _bench_parts(text: str, place: str) -> list[str]:
    parts = text.split("+", MAX_NODE)
    if len(parts) > MAX_NODE:
        raise GenotypeError(f"{place}: must have at most {MAX_NODE} nodes, got {excerpt(text)}")
    return parts
