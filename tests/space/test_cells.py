from nasdrop.space import CellGenotype, GenotypeEdge
from nasdrop.space.cells import loose_ends


def test_equal_cells_are_equal_values_whatever_the_order():
    one = CellGenotype("normal", ((1, 2, "b"), (0, 2, "a"), (0, 3, "a"), (0, 3, "a")), (3, 2))
    other = CellGenotype("normal", [(0, 3, "a"), (0, 2, "a"), (0, 3, "a"), (1, 2, "b")], [2, 3])
    assert one == other
    assert hash(one) == hash(other)
    assert one.edges[1] == GenotypeEdge(1, 2, "b")
    assert one.concat == (2, 3)
    assert one.into(3) == (GenotypeEdge(0, 3, "a"), GenotypeEdge(0, 3, "a"))


def test_loose_ends_are_the_nodes_that_nobody_reads():
    edges = [GenotypeEdge(0, 2, "a"), GenotypeEdge(2, 3, "a"), GenotypeEdge(1, 4, "a")]
    assert loose_ends(edges) == (3, 4)
