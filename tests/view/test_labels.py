import pytest

from nasdrop.errors import GenotypeError
from nasdrop.space.genotype import CellGenotype, GenotypeEdge
from nasdrop.space.operations import OPERATIONS
from nasdrop.view.labels import FAMILIES, family, input_labels, num_inputs
from nasdrop.view.palette import FAMILY_DARK, FAMILY_LIGHT


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("sep_conv_7x7", "sep"),
        ("dil_conv_3x3", "dil"),
        ("conv_3x1_1x3", "conv"),
        ("nor_conv_1x1", "conv"),
        ("avg_pool_3x3", "pool"),
        ("skip_connect", "skip"),
        ("none", "none"),
        ("noise", "noise"),
        ("blur", "user"),
        ("my_sep_conv_3x3", "user"),
    ],
)
def test_families(operation, expected):
    assert family(operation) == expected


def test_every_shipped_operation_has_a_family_of_its_own():
    assert all(family(operation) != "user" for operation in OPERATIONS)


def test_every_family_has_colours_in_both_themes():
    assert set(FAMILIES) == set(FAMILY_LIGHT) == set(FAMILY_DARK)


def test_inputs_are_named():
    two = CellGenotype("normal", (GenotypeEdge(0, 2, "none"), GenotypeEdge(1, 2, "none")), (2,))
    assert num_inputs(two) == 2
    assert input_labels(two) == ("cell k−2", "cell k−1")
    assert input_labels(two, ["a", "b"]) == ("a", "b")
    assert input_labels(CellGenotype("c", (GenotypeEdge(0, 1, "none"),), (1,))) == ("input",)
    assert input_labels(CellGenotype("empty", (), ())) == ()


def test_wrong_number_of_names_is_refused():
    cell = CellGenotype("normal", (GenotypeEdge(0, 2, "none"),), (2,))
    with pytest.raises(GenotypeError, match=r"input_names: one name for each of the 2 inputs of 'normal', got \['a'\]"):
        input_labels(cell, ["a"])
