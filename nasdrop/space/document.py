"""Our own JSON of a genotype: versioned, with a schema, one edge a line."""

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from nasdrop.config import validate
from nasdrop.errors import ConfigError, GenotypeError
from nasdrop.settings import Settings
from nasdrop.space.cells import CellGenotype, GenotypeEdge
from nasdrop.space.tokens import MAX_NODE, excerpt

_MAX_LINES = 10  # of one error
_MAX_LINE = 300  # characters
_MAX_KEYS = 20  # of one object: more can only be meant to keep us busy

Options = tuple[tuple[str, str], ...]
Node = Annotated[int, Field(ge=0, le=MAX_NODE)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$", max_length=100)]


class EdgeDocument(Settings):
    """A kept edge."""

    source: Node = Field(description="the earlier node; inputs are numbered first")
    target: Node = Field(description="the node whose sum the edge enters")
    operation: Name


class CellDocument(Settings):
    """A discovered cell."""

    name: Name
    concat: list[Node] = Field(min_length=1, max_length=MAX_NODE, description="nodes concatenated into the output")
    edges: list[EdgeDocument] = Field(min_length=1, max_length=10 * MAX_NODE)


class GenotypeDocument(Settings):
    """A genotype file."""

    format: Literal["nasdrop-genotype"]
    version: Literal[1]
    space: str = Field(max_length=100, description="name of the search space that the cells belong to")
    options: dict[Name, Annotated[str, Field(max_length=200)]] = Field(
        {}, max_length=_MAX_KEYS, description="what it says beside its cells, such as a fractal's widths"
    )
    cells: list[CellDocument] = Field(min_length=1, max_length=10)


def schema() -> dict[str, Any]:
    """The JSON schema of a genotype file."""
    return GenotypeDocument.model_json_schema()


def write_json(space: str, cells: Sequence[CellGenotype], options: Options = ()) -> str:
    """The JSON text of a genotype."""
    extra = f' "options": {json.dumps(dict(options))},' if options else ""
    head = f'{{"format": "nasdrop-genotype", "version": 1, "space": {json.dumps(space)},{extra} "cells": ['
    body = ",\n".join(_cell_text(cell) for cell in cells)
    return f"{head}\n{body}\n]}}\n"


def read_json(text: str, place: str) -> tuple[str, tuple[CellGenotype, ...], Options]:
    """Read the JSON text of a genotype.

    Args:
        text: the JSON.
        place: begins an error's lines.

    Returns:
        The space's name, the cells and the options.

    Raises:
        GenotypeError: the text is not JSON, breaks the schema, or its cells contradict themselves.
    """
    try:
        tree = json.loads(text, object_pairs_hook=_object)
    except ValueError as error:
        raise GenotypeError(f"{place}: not valid JSON: {error}") from None
    except RecursionError:
        raise GenotypeError(f"{place}: not valid JSON: nested too deeply") from None
    if not isinstance(tree, dict):
        raise GenotypeError(f"{place}: must be a JSON object, got {excerpt(tree)}")
    try:
        document = validate(GenotypeDocument, tree, place)
    except ConfigError as error:
        raise GenotypeError(*_shortened(error.lines)) from None
    lines = list(_contradictions(document, place))
    if lines:
        raise GenotypeError(*_shortened(lines))
    return document.space, tuple(_cell(cell) for cell in document.cells), tuple(document.options.items())


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs[: _MAX_KEYS + 1])
    if len(tree) < len(pairs):
        raise ValueError("an object has a key twice, or too many keys")
    return tree


def _cell_text(cell: CellGenotype) -> str:
    edges = ",\n".join(f"    {json.dumps(edge._asdict())}" for edge in cell.edges)
    return f'  {{"name": {json.dumps(cell.name)}, "concat": {list(cell.concat)}, "edges": [\n{edges}\n  ]}}'


def _cell(cell: CellDocument) -> CellGenotype:
    edges = tuple(GenotypeEdge(edge.source, edge.target, edge.operation) for edge in cell.edges)
    return CellGenotype(cell.name, edges, tuple(cell.concat))


def _contradictions(document: GenotypeDocument, place: str) -> Iterator[str]:
    names = [cell.name for cell in document.cells]
    for number, cell in enumerate(document.cells):
        at = f"{place}: cells.{number}"
        if cell.name in names[:number]:
            yield f"{at}.name: each cell must be given once, got {cell.name!r} again"
        for index, edge in enumerate(cell.edges):
            if edge.source >= edge.target:
                yield f"{at}.edges.{index}: must lead to a later node, got {edge.source} -> {edge.target}"
        last = max(edge.target for edge in cell.edges)
        if max(cell.concat) > last or len(set(cell.concat)) < len(cell.concat):
            yield f"{at}.concat: must name nodes 0 to {last}, each once, got {excerpt(cell.concat)}"


def _shortened(lines: Sequence[str]) -> Iterator[str]:
    for line in lines[:_MAX_LINES]:
        yield line if len(line) <= _MAX_LINE else f"{line[:_MAX_LINE]}..."
    if len(lines) > _MAX_LINES:
        yield f"and {len(lines) - _MAX_LINES} more mistakes"
