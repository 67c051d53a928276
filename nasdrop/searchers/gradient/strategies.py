"""All strategies by name: the names that `search.strategy` knows."""

from typing import Any

from nasdrop.searchers.gradient.darts import Darts
from nasdrop.searchers.gradient.drnas import Drnas
from nasdrop.searchers.gradient.drop_nas import DropNas
from nasdrop.searchers.gradient.fair_darts import FairDarts
from nasdrop.searchers.gradient.gdas import Gdas
from nasdrop.searchers.gradient.mixture import Columns
from nasdrop.searchers.gradient.one_shot import OneShot
from nasdrop.searchers.gradient.p_darts import PDarts
from nasdrop.searchers.gradient.pc_darts import PcDarts
from nasdrop.searchers.gradient.strategy import Strategy
from nasdrop.settings import GradientSettings, OneShotSettings
from nasdrop.space import SearchSpace

STRATEGIES: dict[str, type[Strategy[Any]]] = {
    "darts": Darts,
    "gdas": Gdas,
    "pc_darts": PcDarts,
    "drnas": Drnas,
    "p_darts": PDarts,
    "drop_nas": DropNas,
    "fair_darts": FairDarts,
    "one_shot": OneShot,
}


def make_strategy(settings: GradientSettings, columns: Columns, space: SearchSpace) -> Strategy[Any]:
    """The strategy that the settings are of."""
    if isinstance(settings, OneShotSettings):
        return OneShot(settings, columns, space)
    return STRATEGIES[settings.strategy](settings, columns)
