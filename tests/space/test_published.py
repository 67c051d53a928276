import pytest

from nasdrop.space import PUBLISHED, Genotype, SearchSpace


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_cell_belongs_to_its_space(name):
    published = PUBLISHED[name]
    genotype = Genotype.read(name)
    SearchSpace.load(published.space).validate(genotype)
    assert genotype.space == published.space
    assert "arXiv" in published.paper


@pytest.mark.parametrize(("name", "droppable", "identity"), [("DARTS_V1", 100, 60), ("DARTS_V2", 118, 42)])
def test_droppable_and_identity_edges_of_twenty_cells(name, droppable, identity):
    space, genotype = SearchSpace.load("darts"), Genotype.read(name)
    kinds = ["reduction" if cell in (6, 13) else "normal" for cell in range(20)]
    identities = [space.cells[kind].is_identity(edge) for kind in kinds for edge in genotype[kind].edges]
    assert (identities.count(False), identities.count(True)) == (droppable, identity)


def test_operations_of_the_second_order_cell():
    normal = Genotype.read("DARTS_V2")["normal"]
    assert [edge.operation for edge in normal.edges].count("skip_connect") == 2
    assert normal.into(5) == ((0, 5, "skip_connect"), (2, 5, "dil_conv_3x3"))
