"""What a search passes through: stages, each with a supernet of its own, and the shrinking of its candidates."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from nasdrop.errors import ConfigError
from nasdrop.searchers.gradient.mixture import Columns
from nasdrop.settings import GradientSettings, PDartsSettings
from nasdrop.space import SearchSpace


@dataclass(frozen=True)
class Stage:
    """One supernet's part of a search.

    Attributes:
        num_cells: of the supernet.
        operations: most candidates of an edge, chosen by the stage before; 0: all.
    """

    num_cells: int
    operations: int = 0


def stages(settings: GradientSettings) -> tuple[Stage, ...]:
    """The stages, each of `settings.epochs` epochs.

    Raises:
        ConfigError: the lists of P-DARTS differ in length, or candidates come back; `shrink` does not rise and fall.
    """
    if not isinstance(settings, PDartsSettings):
        _check_shrink(settings)
        return (Stage(settings.num_cells),)
    lists = (settings.stage_cells, settings.stage_operations, settings.stage_skip_drop)
    if len({len(values) for values in lists}) != 1 or not lists[0]:
        got = ", ".join(str(len(values)) for values in lists)
        raise ConfigError(f"search.stage_*: must have one entry a stage, got {got}")
    if settings.shrink:
        raise ConfigError("search.shrink: the stages of p_darts shrink by themselves; use stage_operations")
    if any(later > earlier for earlier, later in pairwise(settings.stage_operations)):
        raise ConfigError(f"search.stage_operations: must not rise, got {list(settings.stage_operations)!r}")
    return tuple(
        Stage(cells, operations)
        for cells, operations in zip(settings.stage_cells, settings.stage_operations, strict=True)
    )


def _check_shrink(settings: GradientSettings) -> None:
    pairs = [list(pair) for pair in settings.shrink]
    fits = all(len(pair) == 2 for pair in pairs)
    if not fits or any(b[0] <= a[0] or b[1] >= a[1] for a, b in pairwise(pairs)):
        raise ConfigError(f"search.shrink: must be pairs [epoch, n] of rising epochs and falling n, got {pairs!r}")
    if pairs and pairs[-1][0] >= settings.epochs:
        raise ConfigError(f"search.shrink: must lie within the {settings.epochs} epochs, got {pairs[-1]!r}")


def shrunk(columns: Columns, strengths: Mapping[str, Tensor], count: int, space: SearchSpace) -> Columns:
    """The columns with the `count` strongest candidates of each edge; one that a cell may hold is always among them."""
    available = {}
    for kind, flags in columns.available.items():
        forbidden = space.cells[kind].supernet_only
        allowed = [name not in forbidden for name in columns.operations[kind]]
        rows = [
            _strongest(row, flag, allowed, count)
            for row, flag in zip(strengths[kind].tolist(), flags.tolist(), strict=True)
        ]
        available[kind] = torch.tensor(rows, device=flags.device)
    return replace(columns, available=available)


def _strongest(strengths: list[float], available: list[bool], allowed: list[bool], count: int) -> list[bool]:
    """Flags of the strongest `count` columns; among equals the lower one."""
    ranked = sorted((column for column, flag in enumerate(available) if flag), key=lambda column: -strengths[column])
    kept = ranked[:count]
    if not any(allowed[column] for column in kept):
        kept[-1] = next(column for column in ranked if allowed[column])
    return [column in kept for column in range(len(strengths))]
