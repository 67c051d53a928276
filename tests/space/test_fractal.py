"""The expansion rule, against the recursion that defines it."""

import pytest

from nasdrop.errors import GenotypeError
from nasdrop.space.cells import CellGenotype, GenotypeEdge
from nasdrop.space.fractal import column_operations, ending_columns, fractal_cell


def by_recursion(level, start=0):
    """(edges, rows) of f_level: f_1 is one edge, f_{c+1} two f_c in a row beside one edge."""
    if level == 1:
        return [(start, start + 1)], 1
    first, rows = by_recursion(level - 1, start)
    second, _ = by_recursion(level - 1, start + rows)
    return [*first, *second, (start, start + 2 * rows)], 2 * rows


@pytest.mark.parametrize("columns", [1, 2, 3, 4, 5])
def test_the_cell_is_the_recursion(columns):
    edges, rows = by_recursion(columns)
    cell = fractal_cell([["conv_3x3"] * 2**column for column in range(columns)])
    assert sorted((edge.source, edge.target) for edge in cell.edges) == sorted(edges)
    assert cell.concat == (rows,)


@pytest.mark.parametrize(("columns", "inputs"), [(1, [1]), (3, [1, 2, 1, 3]), (4, [1, 2, 1, 3, 1, 2, 1, 4])])
def test_joins_follow_the_ruler_sequence(columns, inputs):
    assert [len(ends) for ends in ending_columns(columns)] == inputs


def test_operations_survive_the_cell():
    operations = (("a",), ("b", "c"), ("d", "e", "f", "g"))
    assert column_operations(fractal_cell(operations)) == operations


def test_other_cells_are_no_fractals():
    good = fractal_cell([["a"], ["b", "c"]])
    bad = [
        CellGenotype("block", good.edges[:2], (2,)),
        CellGenotype("block", good.edges, (1,)),
        CellGenotype("block", (*good.edges[:2], GenotypeEdge(0, 3, "a")), (2,)),
        CellGenotype("block", (*good.edges[:2], good.edges[0]), (2,)),
        CellGenotype("normal", good.edges, (2,)),
        CellGenotype("block", (GenotypeEdge(4, 5, "a"),), (5,)),
    ]
    for cell in bad:
        with pytest.raises(GenotypeError, match="must be a fractal block"):
            column_operations(cell)
    with pytest.raises(GenotypeError, match="column 1 must have 2 operations, got 1"):
        fractal_cell([["a"], ["b"]])
