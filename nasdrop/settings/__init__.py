"""What a user writes in an experiment file, with defaults, ranges and units.

Pydantic models, strict: a quoted number or `true` is not a probability, an unknown key is an error. Names of components
(spaces, data sets, schedules) are plain strings here; the room that owns a component knows its names.
"""

from nasdrop.settings.base import Fraction, PositiveInt, Probability, Rows, Settings
from nasdrop.settings.data import DataSettings
from nasdrop.settings.experiment import CellSettings, Experiment, FinalSettings, Search, search_kind
from nasdrop.settings.gradient import (
    DartsSettings,
    DrnasSettings,
    DropNasSettings,
    FairDartsSettings,
    GdasSettings,
    GradientSettings,
    OneShotSettings,
    PcDartsSettings,
    PDartsSettings,
)
from nasdrop.settings.network import DropSettings, FractalSettings, NetworkSettings
from nasdrop.settings.study import BesideSettings, InheritedSettings, RungSettings, StudySettings, TableSettings
from nasdrop.settings.training import ScoringSettings, SupernetSettings, TrainSettings, WeightSettings

__all__ = [
    "BesideSettings",
    "CellSettings",
    "DartsSettings",
    "DataSettings",
    "DrnasSettings",
    "DropNasSettings",
    "DropSettings",
    "Experiment",
    "FairDartsSettings",
    "FinalSettings",
    "FractalSettings",
    "Fraction",
    "GdasSettings",
    "GradientSettings",
    "InheritedSettings",
    "NetworkSettings",
    "OneShotSettings",
    "PDartsSettings",
    "PcDartsSettings",
    "PositiveInt",
    "Probability",
    "Rows",
    "RungSettings",
    "ScoringSettings",
    "Search",
    "Settings",
    "StudySettings",
    "SupernetSettings",
    "TableSettings",
    "TrainSettings",
    "WeightSettings",
    "search_kind",
]
