"""Reads a search space's TOML file; every mistake of the file is reported at once, with the key it stands under.

Data only: no expressions, no inheritance, no includes.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from pydantic import Field

from nasdrop.config import read_toml, validate
from nasdrop.errors import ConfigError, SpaceError, suggest
from nasdrop.settings import Settings
from nasdrop.space.cell_space import CellSpace
from nasdrop.space.cell_table import SKELETONS, read_cell
from nasdrop.space.operations import KNOWN

CellSkeleton = Literal["darts", "nas_bench_201"]
Skeleton = CellSkeleton | Literal["fractal"]
Result = TypeVar("Result")


class OwnOperation(NamedTuple):
    """A user's operation, as data: nothing here imports it."""

    name: str
    module: str
    attribute: str
    file: Path

    def __str__(self) -> str:
        return f"{self.module}:{self.attribute}"


class SpaceTable(Settings):
    """A search-space file, but for its cells."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100, description="what genotypes call the space")
    source: str = Field("", description="the paper")
    skeleton: CellSkeleton = Field(description="what surrounds the cells")
    operations: dict[str, str] = Field({}, description="operations of one's own: name = 'module:attribute'")


@dataclass(frozen=True)
class SpaceFile:
    """What a search-space file says."""

    name: str
    source: str
    skeleton: CellSkeleton
    cells: tuple[CellSpace, ...]
    own_operations: tuple[OwnOperation, ...]


def read_space_file(path: Path) -> SpaceFile:
    """Read a search space's file.

    Raises:
        SpaceError: every mistake of the file, one line each.
    """
    lines: list[str] = []
    tree = _kept(lines, lambda: read_toml(path))
    if tree is None:
        raise SpaceError(*lines)
    if tree.get("skeleton") == "fractal":
        raise SpaceError(f"{path}: must be a space of cells, got skeleton 'fractal', which load_space reads")
    own = _own_operations(path, tree.get("operations"), lines)
    known = KNOWN | {operation.name for operation in own}
    cells = _cells(str(path), tree.pop("cells", None), str(tree.get("skeleton")), known, lines)
    head = _kept(lines, lambda: validate(SpaceTable, tree, str(path)))
    names = {name for cell in cells for name in cell.operations}
    lines += [f"{path}: operations.{op.name}: is used in no cell" for op in own if not lines and op.name not in names]
    if lines or head is None:
        raise SpaceError(*lines)
    return SpaceFile(head.name, head.source, head.skeleton, tuple(cells), tuple(own))


def _kept(lines: list[str], read: Callable[[], Result]) -> Result | None:
    """What `read` returns; its mistakes go to `lines`."""
    try:
        return read()
    except ConfigError as error:
        lines += error.lines
        return None


def _own_operations(path: Path, table: object, lines: list[str]) -> list[OwnOperation]:
    if not isinstance(table, dict):
        return []  # absent, or not a table, which validation reports
    own = []
    for name, reference in table.items():
        place = f"{path}: operations.{name}"
        if not isinstance(reference, str):
            continue  # validation reports it
        module, _, attribute = reference.partition(":")
        file = path.parent / f"{module}.py"
        if not name.isidentifier() or not name.isascii():
            lines.append(f"{place}: an operation's name must be letters, digits and _, got {name!r}")
        elif name in KNOWN:
            lines.append(f"{place}: must not take the name of a known operation, got {name!r}")
        elif not (module.isidentifier() and attribute.isidentifier()):
            lines.append(f"{place}: must read 'module:attribute', got {reference!r}")
        elif not file.is_file():
            lines.append(f"{place}: its module must lie beside the space's file, got {reference!r} and no {file}")
        own.append(OwnOperation(name, module, attribute, file))
    return own


def _cells(path: str, tables: object, skeleton: str, known: Collection[str], lines: list[str]) -> list[CellSpace]:
    if not isinstance(tables, dict):
        lines.append(f"{path}: cells: is required, a table [cells.<name>] for each cell")
        return []
    rules = SKELETONS.get(skeleton)
    names = rules.cells if rules else tuple(tables)
    lines += [f"{path}: cells.{name}: unknown cell; {suggest(name, names)}" for name in tables if name not in names]
    lines += [f"{path}: cells.{name}: is required by skeleton {skeleton!r}" for name in names if name not in tables]
    cells = []
    for name in names:
        if name in tables:
            cell, mistakes = read_cell(name, tables[name], f"{path}: cells.{name}", skeleton, known)
            lines += mistakes
            cells += [cell] if cell else []
    return cells
