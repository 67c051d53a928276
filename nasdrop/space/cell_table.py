"""Reads one `[cells.<name>]` table of a search-space file into a CellSpace."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import Field

from nasdrop.config import validate
from nasdrop.errors import ConfigError, suggest
from nasdrop.settings import PositiveInt, Settings
from nasdrop.space.cell_space import CellSpace, Output, keep_mistakes, supernet_only_mistakes
from nasdrop.space.graph import CellGraph, Edge, graph_mistakes, operation_mistakes

_PAIR = re.compile(r"\s*(\d{1,3})\s*->\s*(\d{1,3})\s*", re.ASCII)


class Rules(NamedTuple):
    """What a skeleton asks of its cells."""

    cells: tuple[str, ...]
    inputs: int
    outputs: tuple[Output, ...]


SKELETONS: dict[str, Rules] = {
    "darts": Rules(("normal", "reduction"), 2, ("all", "last", "loose")),
    "nas_bench_201": Rules(("normal",), 1, ("last",)),
}


class CellTable(Settings):
    """A cell as the file writes it."""

    inputs: int = Field(ge=1, le=8, description="input nodes, numbered from 0")
    nodes: int = Field(ge=1, le=64, description="intermediate nodes, numbered after the inputs")
    keep: PositiveInt | None = Field(None, description="edges that a node keeps; left out: all")
    repeat: bool = Field(default=False, description="a node may keep one edge several times")
    output: Output = Field("all", description="all nodes, the last one, or the loose ends")
    operations: list[str] = Field([], description="candidates of every edge; an edge leads from each earlier node")
    supernet_only: list[str] = Field([], description="operations that a genotype never holds")
    edges: dict[str, list[str]] = Field({}, description="instead of operations: '0 -> 2' = its own candidates")


def read_cell(
    name: str, tree: object, place: str, skeleton: str, known: Collection[str]
) -> tuple[CellSpace | None, list[str]]:
    """Read a cell's table.

    Args:
        name: the cell's name.
        tree: what the file holds under it.
        place: begins each line, file and key.
        skeleton: what surrounds the cell; an unknown one asks nothing.
        known: the names of all operations.

    Returns:
        The cell, or None where there are mistakes, and the mistakes.
    """
    table, lines = _validated(tree, place)
    if table is None:
        return None, lines
    lines += _skeleton_mistakes(table, place, skeleton)
    lines += _operation_mistakes(table, place, known)
    lines += _choice_mistakes(table, place)
    edges = dict(_listed_edges(table, place, lines)) if table.edges else dict(_all_edges(table, place))
    pairs = [(edge.source, edge.target) for edge in edges.values()]
    lines += graph_mistakes(f"{place}.edges" if table.edges else place, table.inputs, table.nodes, pairs, list(edges))
    inside = range(table.inputs, table.inputs + table.nodes)
    lines += keep_mistakes(f"{place}.keep", [pair for pair in pairs if pair[1] in inside], table.keep)
    if lines:
        return None, lines
    graph = CellGraph(table.inputs, table.nodes, tuple(edges.values()))
    return CellSpace(name, graph, table.keep, table.output, frozenset(table.supernet_only)), []


def _validated(tree: object, place: str) -> tuple[CellTable | None, list[str]]:
    """The table, and its mistakes; an unknown key is one that does not keep the rest from being checked."""
    if not isinstance(tree, Mapping):
        return None, [f"{place}: must be a table, got {tree!r}"]
    known = CellTable.model_fields
    lines = [f"{place}.{key}: unknown key; {suggest(key, known)}" for key in tree if key not in known]
    rest: dict[str, Any] = {key: value for key, value in tree.items() if key in known}
    try:
        return validate(CellTable, rest, place), lines
    except ConfigError as error:
        return None, lines + [line.replace(f"{place}: ", f"{place}.", 1) for line in error.lines]


def _skeleton_mistakes(table: CellTable, place: str, skeleton: str) -> Iterator[str]:
    rules = SKELETONS.get(skeleton)
    if rules and table.inputs != rules.inputs:
        yield f"{place}.inputs: must be {rules.inputs} in skeleton {skeleton!r}, got {table.inputs}"
    if rules and table.output not in rules.outputs:
        wanted = " or ".join(map(repr, rules.outputs))
        yield f"{place}.output: must be {wanted} in skeleton {skeleton!r}, got {table.output!r}"


def _operation_mistakes(table: CellTable, place: str, known: Collection[str]) -> Iterator[str]:
    lists = {f"{place}.edges.{key!r}": names for key, names in table.edges.items()}
    if table.operations or not lists:
        lists[f"{place}.operations"] = table.operations
    used = {name for names in lists.values() for name in names}
    for at, names in lists.items():
        yield from operation_mistakes(at, names, known)
        yield from supernet_only_mistakes(at, names, frozenset(table.supernet_only))
    for index, name in enumerate(table.supernet_only):
        if name not in used:
            rule = f"must be an operation of the cell, got {name!r}; {suggest(name, used)}"
            yield f"{place}.supernet_only[{index}]: {rule}"


def _choice_mistakes(table: CellTable, place: str) -> Iterator[str]:
    if table.edges and table.operations:
        yield f"{place}.operations: must be left out where edges have lists of their own, got {table.operations}"
    if table.edges and table.repeat:
        yield f"{place}.repeat: must be left out where edges have lists of their own, got true"
    if table.repeat and table.keep is None:
        yield f"{place}.keep: is required where repeat = true"


def _all_edges(table: CellTable, place: str) -> Iterator[tuple[str, Edge]]:
    """An edge from every earlier node to each node; as often as it may be kept."""
    copies = table.keep or 1 if table.repeat else 1
    for target in range(table.inputs, table.inputs + table.nodes):
        for source in range(target):
            for copy in range(copies):
                yield f"{place}.{source}.{target}.{copy}", Edge(source, target, tuple(table.operations))


def _listed_edges(table: CellTable, place: str, lines: list[str]) -> Iterator[tuple[str, Edge]]:
    """The edges that the file lists; keys that are none go to `lines`."""
    seen: dict[tuple[int, int], str] = {}
    for key, operations in table.edges.items():
        at = f"{place}.edges.{key!r}"
        match = _PAIR.fullmatch(key)
        if match is None:
            lines.append(f"{at}: must read 'source -> target', got {key!r}")
            continue
        pair = int(match[1]), int(match[2])
        if pair in seen:
            lines.append(f"{at}: each edge must be listed once, got it as {seen[pair]!r} too")
            continue
        seen[pair] = key
        yield at, Edge(*pair, tuple(operations))
