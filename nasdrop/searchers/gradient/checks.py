"""What settings of a search by gradient must fit each other, asked before anything runs."""

from nasdrop.errors import ConfigError
from nasdrop.searchers.gradient.strategies import STRATEGIES
from nasdrop.settings import GradientSettings
from nasdrop.train.ranks import Ranks


def check(settings: GradientSettings, ranks: Ranks) -> None:
    """Refuse settings that contradict each other.

    Raises:
        ConfigError: all mistakes, one line each.
    """
    lines = []
    if settings.batch_size % ranks.world_size:
        rule = f"must be divisible by the {ranks.world_size} processes"
        lines.append(f"search.batch_size: {rule}, got {settings.batch_size}")
    if settings.warmup_epochs >= settings.epochs:
        lines.append(f"search.warmup_epochs: must be below search.epochs, got {settings.warmup_epochs}")
    if settings.stop_ratio and not settings.hessian_epochs:
        lines.append("search.stop_ratio: needs eigenvalues: set search.hessian_epochs, got 0")
    if settings.hessian_epochs and STRATEGIES[settings.strategy].samples:
        lines.append(
            f"search.hessian_epochs: {settings.strategy} draws its mixture anew in each step, so its loss has no one "
            f"Hessian; must be 0, got {settings.hessian_epochs}"
        )
    if lines:
        raise ConfigError(*lines)
