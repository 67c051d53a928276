"""Drop regularisers for any PyTorch model: the dropout family, drop path, schedules, and paths of a whole network."""

from nasdrop.drop.branch import StochasticDepth, drop_branch
from nasdrop.drop.checks import Finding, check_paths
from nasdrop.drop.functional import (
    alpha_dropout,
    drop_path,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)
from nasdrop.drop.modules import AlphaDropout, Dropout, Dropout1d, Dropout2d, Dropout3d, DropPath, FeatureAlphaDropout
from nasdrop.drop.paths import Draw, Path, PathDrop
from nasdrop.drop.policies import OPERATION_GROUPS, POLICIES, Policy
from nasdrop.drop.presets import PRESETS, Preset, make_schedule, preset
from nasdrop.drop.schedule import CLOCKS, CURVES, DEPTHS, Schedule, rate_grid
from nasdrop.drop.scheduler import DropScheduler

__all__ = [
    "CLOCKS",
    "CURVES",
    "DEPTHS",
    "OPERATION_GROUPS",
    "POLICIES",
    "PRESETS",
    "AlphaDropout",
    "Draw",
    "DropPath",
    "DropScheduler",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "FeatureAlphaDropout",
    "Finding",
    "Path",
    "PathDrop",
    "Policy",
    "Preset",
    "Schedule",
    "StochasticDepth",
    "alpha_dropout",
    "check_paths",
    "drop_branch",
    "drop_path",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
    "make_schedule",
    "preset",
    "rate_grid",
]
