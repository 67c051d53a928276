"""The fractal block of FractalNet (arXiv:1605.07648) as a cell: its expansion rule, and the columns of such a cell.

f_1(z) = conv(z); f_{c+1}(z) = join[f_c(f_c(z)), conv(z)], nested joins flattened into one. A block of C columns has
2^(C-1) rows; column j, from 0 (the shallowest), has 2^j convolutions, each over 2^(C-1-j) rows. Node r of the cell is
the mean of the convolutions that end in row r, node 0 the block's input: so an edge's length tells its column.
"""

from collections.abc import Sequence

from nasdrop.errors import GenotypeError
from nasdrop.space.cells import CellGenotype, GenotypeEdge

BLOCK = "block"
"""Name of a fractal's one cell."""

MAX_COLUMNS = 10
"""Most columns of a block: 512 convolutions in the deepest one."""

OPERATIONS = ("conv_1x1", "conv_3x3", "conv_3x1_1x3", "dil_conv_3x3", "dil_conv_5x5")
"""What a convolution of a block may be; dropout, batch norm and ReLU come with each."""


def length(column: int, columns: int) -> int:
    """How many rows a convolution of a column spans."""
    return int(2 ** (columns - 1 - column))


def ending_columns(columns: int) -> tuple[tuple[int, ...], ...]:
    """For each row, the columns of which a convolution ends there: 1, 2, 1, 3 of them in a block of three columns."""
    rows = range(1, length(0, columns) + 1)
    return tuple(tuple(c for c in range(columns) if row % length(c, columns) == 0) for row in rows)


def fractal_cell(operations: Sequence[Sequence[str]]) -> CellGenotype:
    """The cell of a block.

    Args:
        operations: for each column, the shallowest first, the operation of each of its 2^j convolutions.

    Raises:
        GenotypeError: a column has another number of operations.
    """
    columns = len(operations)
    wrong = [(c, names) for c, names in enumerate(operations) if len(names) != 2**c]
    if wrong:
        rule = "must have {} operations, got {}"
        raise GenotypeError(*(f"fractal block: column {c} {rule.format(2**c, len(names))}" for c, names in wrong))
    edges = [
        GenotypeEdge(slot * length(c, columns), (slot + 1) * length(c, columns), name)
        for c, names in enumerate(operations)
        for slot, name in enumerate(names)
    ]
    return CellGenotype(BLOCK, tuple(edges), (length(0, columns),))


def column_operations(cell: CellGenotype) -> tuple[tuple[str, ...], ...]:
    """The operations of each column of a fractal cell; `fractal_cell` gives the cell back.

    Raises:
        GenotypeError: the cell is no fractal block.
    """
    columns = len(cell.edges).bit_length()
    rows = length(0, columns)
    spans = {length(c, columns): c for c in range(columns)}
    found: list[list[str]] = [[] for _ in range(columns)]
    for edge in cell.edges:  # held by target: a column's convolutions come in order
        column = spans.get(edge.target - edge.source)
        if column is None or edge.target > rows:
            raise _no_block(cell)
        found[column].append(edge.operation)
    if [len(names) for names in found] != [2**c for c in range(columns)] or fractal_cell(found) != cell:
        raise _no_block(cell)
    return tuple(map(tuple, found))


def _no_block(cell: CellGenotype) -> GenotypeError:
    rule = "must be a fractal block, whose 2^C - 1 edges follow the expansion rule"
    return GenotypeError(f"{cell.name}: {rule}, got {len(cell.edges)} edges and output {list(cell.concat)}")
