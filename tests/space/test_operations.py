from nasdrop.space import KNOWN, OPERATIONS, Family, SearchSpace
from nasdrop.space.operations import family


def test_families():
    assert set(OPERATIONS) == KNOWN
    assert family("none") is Family.ZERO
    assert family("skip_connect") is Family.IDENTITY
    assert family("max_pool_7x7") is Family.POOLING
    assert family("nor_conv_1x1") is Family.CONVOLUTION
    assert family("noise") is Family.NOISE


def test_nothing_is_assumed_of_an_unknown_name():
    assert family("my_own") is Family.OWN


def test_every_known_operation_is_used_by_a_shipped_space(spaces):
    used = {name for space in spaces.values() for cell in space.cells.values() for name in cell.operations}
    assert used == KNOWN


def test_nasnet_has_the_papers_thirteen():
    operations = SearchSpace.load("nasnet").cells["normal"].operations
    assert len(operations) == 13
    assert sorted(name for name in operations if "pool" in name) == [
        "avg_pool_3x3",
        "max_pool_3x3",
        "max_pool_5x5",
        "max_pool_7x7",
    ]
