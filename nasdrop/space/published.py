"""Cells that papers published, as the texts they were published in; `Genotype.read(name)` reads them.

Each was compared with the authors' own repository, which is named beside it, and with copies in other repositories of
the DARTS lineage, but for DROPNAS, which the authors' repository alone has. NASNET_A and AMOEBANET_A are the lineage's
reading of these cells. Fair DARTS's other cells keep fewer edges than two a node, which this text cannot say.
"""

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
        "DARTS, first order, CIFAR-10 (arXiv:1806.09055; quark0/darts)",
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
        "DARTS, second order, CIFAR-10 (arXiv:1806.09055; quark0/darts)",
        "darts",
    ),
    "P_DARTS": Published(
        "Genotype("
        "normal=[('skip_connect', 0), ('dil_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), "
        "('sep_conv_3x3', 1), ('sep_conv_3x3', 3), ('sep_conv_3x3', 0), ('dil_conv_5x5', 4)], "
        "normal_concat=range(2, 6), "
        "reduce=[('avg_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('dil_conv_5x5', 2), "
        "('max_pool_3x3', 0), ('dil_conv_3x3', 1), ('dil_conv_3x3', 1), ('dil_conv_5x5', 3)], "
        "reduce_concat=range(2, 6))",
        "P-DARTS, CIFAR-10 (arXiv:1904.12760; chenxin061/pdarts)",
        "darts",
    ),
    "PC_DARTS": Published(
        "Genotype("
        "normal=[('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 0), ('dil_conv_3x3', 1), "
        "('sep_conv_5x5', 0), ('sep_conv_3x3', 1), ('avg_pool_3x3', 0), ('dil_conv_3x3', 1)], "
        "normal_concat=range(2, 6), "
        "reduce=[('sep_conv_5x5', 1), ('max_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_5x5', 2), "
        "('sep_conv_3x3', 0), ('sep_conv_3x3', 3), ('sep_conv_3x3', 1), ('sep_conv_3x3', 2)], "
        "reduce_concat=range(2, 6))",
        "PC-DARTS, CIFAR-10 (arXiv:1907.05737; yuhuixu1993/PC-DARTS)",
        "darts",
    ),
    "PC_DARTS_IMAGENET": Published(
        "Genotype("
        "normal=[('skip_connect', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 0), ('skip_connect', 1), "
        "('sep_conv_3x3', 1), ('sep_conv_3x3', 3), ('sep_conv_3x3', 1), ('dil_conv_5x5', 4)], "
        "normal_concat=range(2, 6), "
        "reduce=[('sep_conv_3x3', 0), ('skip_connect', 1), ('dil_conv_5x5', 2), ('max_pool_3x3', 1), "
        "('sep_conv_3x3', 2), ('sep_conv_3x3', 1), ('sep_conv_5x5', 0), ('sep_conv_3x3', 3)], "
        "reduce_concat=range(2, 6))",
        "PC-DARTS, ImageNet (arXiv:1907.05737; yuhuixu1993/PC-DARTS)",
        "darts",
    ),
    "GDAS_V1": Published(
        "Genotype("
        "normal=[('skip_connect', 0), ('skip_connect', 1), ('skip_connect', 0), ('sep_conv_5x5', 2), "
        "('sep_conv_3x3', 3), ('skip_connect', 0), ('sep_conv_5x5', 4), ('sep_conv_3x3', 3)], "
        "normal_concat=range(2, 6), "
        "reduce=[('sep_conv_5x5', 0), ('sep_conv_3x3', 1), ('sep_conv_5x5', 2), ('sep_conv_5x5', 1), "
        "('dil_conv_5x5', 2), ('sep_conv_3x3', 1), ('sep_conv_5x5', 0), ('sep_conv_5x5', 1)], "
        "reduce_concat=range(2, 6))",
        "GDAS, CIFAR-10 (arXiv:1910.04465; D-X-Y/AutoDL-Projects)",
        "darts",
    ),
    "DRNAS": Published(
        "Genotype("
        "normal=[('sep_conv_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_3x3', 1), ('sep_conv_3x3', 2), "
        "('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 2), ('dil_conv_5x5', 3)], "
        "normal_concat=range(2, 6), "
        "reduce=[('max_pool_3x3', 0), ('sep_conv_5x5', 1), ('dil_conv_5x5', 2), ('sep_conv_5x5', 1), "
        "('sep_conv_5x5', 1), ('dil_conv_5x5', 3), ('skip_connect', 4), ('sep_conv_5x5', 1)], "
        "reduce_concat=range(2, 6))",
        "DrNAS, CIFAR-10 (arXiv:2006.10355; xiangning-chen/DrNAS)",
        "darts",
    ),
    "DRNAS_IMAGENET": Published(
        "Genotype("
        "normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
        "('sep_conv_3x3', 0), ('dil_conv_3x3', 3), ('skip_connect', 0), ('sep_conv_3x3', 1)], "
        "normal_concat=range(2, 6), "
        "reduce=[('max_pool_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 2), "
        "('sep_conv_3x3', 0), ('sep_conv_3x3', 2), ('sep_conv_3x3', 3), ('sep_conv_3x3', 1)], "
        "reduce_concat=range(2, 6))",
        "DrNAS, ImageNet (arXiv:2006.10355; xiangning-chen/DrNAS)",
        "darts",
    ),
    "DROPNAS": Published(
        "Genotype("
        "normal=[('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
        "('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('dil_conv_5x5', 4), ('dil_conv_3x3', 1)], "
        "normal_concat=range(2, 6), "
        "reduce=[('max_pool_3x3', 0), ('sep_conv_5x5', 1), ('dil_conv_5x5', 2), ('sep_conv_5x5', 1), "
        "('dil_conv_5x5', 3), ('dil_conv_5x5', 2), ('dil_conv_5x5', 3), ('dil_conv_5x5', 4)], "
        "reduce_concat=range(2, 6))",
        "DropNAS, CIFAR-10 (arXiv:2201.11679; wiljohnhong/DropNAS, in its README)",
        "darts",
    ),
    "FAIR_DARTS_D": Published(
        "Genotype("
        "normal=[('sep_conv_3x3', 0), ('sep_conv_5x5', 1), ('dil_conv_3x3', 1), ('max_pool_3x3', 0), "
        "('dil_conv_3x3', 0), ('dil_conv_3x3', 1), ('sep_conv_3x3', 0), ('dil_conv_5x5', 1)], "
        "normal_concat=range(2, 6), "
        "reduce=[('max_pool_3x3', 0), ('sep_conv_5x5', 1), ('avg_pool_3x3', 0), ('dil_conv_5x5', 2), "
        "('dil_conv_3x3', 3), ('avg_pool_3x3', 0), ('avg_pool_3x3', 0), ('skip_connect', 3)], "
        "reduce_concat=range(2, 6))",
        "Fair DARTS d, CIFAR-10 (arXiv:1911.12126; xiaomi-automl/FairDARTS)",
        "darts",
    ),
    "NASNET_A": Published(
        "Genotype("
        "normal=[('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 0), ('sep_conv_3x3', 0), "
        "('avg_pool_3x3', 1), ('skip_connect', 0), ('avg_pool_3x3', 0), ('avg_pool_3x3', 0), "
        "('sep_conv_3x3', 1), ('skip_connect', 1)], "
        "normal_concat=[2, 3, 4, 5, 6], "
        "reduce=[('sep_conv_5x5', 1), ('sep_conv_7x7', 0), ('max_pool_3x3', 1), ('sep_conv_7x7', 0), "
        "('avg_pool_3x3', 1), ('sep_conv_5x5', 0), ('skip_connect', 3), ('avg_pool_3x3', 2), "
        "('sep_conv_3x3', 2), ('max_pool_3x3', 1)], "
        "reduce_concat=[4, 5, 6])",
        "NASNet-A (arXiv:1707.07012), as written in quark0/darts",
        "nasnet",
    ),
    "AMOEBANET_A": Published(
        "Genotype("
        "normal=[('avg_pool_3x3', 0), ('max_pool_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 2), "
        "('sep_conv_3x3', 0), ('avg_pool_3x3', 3), ('sep_conv_3x3', 1), ('skip_connect', 1), "
        "('skip_connect', 0), ('avg_pool_3x3', 1)], "
        "normal_concat=[4, 5, 6], "
        "reduce=[('avg_pool_3x3', 0), ('sep_conv_3x3', 1), ('max_pool_3x3', 0), ('sep_conv_7x7', 2), "
        "('sep_conv_7x7', 0), ('avg_pool_3x3', 1), ('max_pool_3x3', 0), ('max_pool_3x3', 1), "
        "('conv_7x1_1x7', 0), ('sep_conv_3x3', 5)], "
        "reduce_concat=[3, 4, 6])",
        "AmoebaNet-A (arXiv:1802.01548), as written in quark0/darts",
        "nasnet",
    ),
}
