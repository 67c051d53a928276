"""What a study wants beside a high value: low costs, and none over its limit."""

import math
from collections.abc import Collection, Mapping

from nasdrop.errors import ConfigError, suggest
from nasdrop.searchers.evaluators import Failed
from nasdrop.searchers.samplers import ONE_OBJECTIVE, SAMPLERS
from nasdrop.settings import StudySettings


def check_goals(settings: StudySettings, known: Collection[str] | None) -> None:
    """Check that costs and limits can be told, and that the sampler takes so many objectives.

    Args:
        settings: names them.
        known: what the evaluator tells; None: the first evaluation will show it.

    Raises:
        ConfigError: all mistakes, one line each.
    """
    asked = [("search.costs", name) for name in settings.costs] + [("search.limits", name) for name in settings.limits]
    lines = [unknown_cost(place, name, known) for place, name in asked if known is not None and name not in known]
    if len(set(settings.costs)) < len(settings.costs):
        lines.append(f"search.costs: must differ from each other, got {list(settings.costs)!r}")
    if settings.costs and settings.sampler in ONE_OBJECTIVE:
        several = ", ".join(sorted(SAMPLERS.keys() - ONE_OBJECTIVE))
        lines.append(
            f"search.sampler: must know several objectives where there are costs, got {settings.sampler!r}; "
            f"known: {several}"
        )
    if lines:
        raise ConfigError(*lines)


def unknown_cost(place: str, name: str, known: Collection[str]) -> str:
    """The line for a cost that nobody tells."""
    return f"{place}: must be a cost that the evaluator tells, got {name!r}; {suggest(name, known)}"


def told_cost(settings: StudySettings, name: str, told: Mapping[str, object]) -> float:
    """A cost of `search.costs` or `search.limits`, out of all that is told of a cell.

    Raises:
        ConfigError: it is not told.
        Failed: it is not finite for this cell.
    """
    cost = told.get(name)
    if not isinstance(cost, int | float):
        place = "search.costs" if name in settings.costs else "search.limits"
        raise ConfigError(unknown_cost(place, name, [key for key in told if isinstance(told[key], int | float)]))
    if not math.isfinite(cost):
        raise Failed(f"its {name} must be finite, got {cost}")
    return float(cost)


def limits_text(settings: StudySettings) -> str:
    """The limits as the end of a line, empty where there are none: `; parameters at most 1e+06`."""
    return "".join(f"; {name} at most {limit:g}" for name, limit in settings.limits.items())
