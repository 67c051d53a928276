"""Cells that papers published, as the texts they were published in; `Genotype.read(name)` reads them."""

from typing import NamedTuple


class Published(NamedTuple):
    """A published genotype: its text, where it comes from, and the search space that it belongs to."""

    text: str
    paper: str
    space: str


PUBLISHED: dict[str, Published] = {
    "DARTS_V1": Published(
        "Genotype("
        "normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), ('sep_conv_3x3', 1), "
        "('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 2)], "
        "normal_concat=range(2, 6), "
        "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), "
        "('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], "
        "reduce_concat=range(2, 6))",
        "DARTS, first order, CIFAR-10 (arXiv:1806.09055)",
        "darts",
    ),
    "DARTS_V2": Published(
        "Genotype("
        "normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
        "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
        "normal_concat=range(2, 6), "
        "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), "
        "('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
        "reduce_concat=range(2, 6))",
        "DARTS, second order, CIFAR-10 (arXiv:1806.09055)",
        "darts",
    ),
}
