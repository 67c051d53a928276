"""What settings of a search by gradient must fit each other, asked before anything runs."""

from collections.abc import Iterator

import torch

from nasdrop.errors import ConfigError
from nasdrop.searchers.gradient.strategies import STRATEGIES
from nasdrop.settings import DartsSettings, GradientSettings
from nasdrop.train.ranks import Ranks


def check(settings: GradientSettings, ranks: Ranks, device: torch.device) -> None:
    """Refuse settings that contradict each other, or that this device cannot follow.

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
    if settings.cuda_graph:
        lines += _recorded(settings, ranks, device)
    if settings.compile != "none":
        lines += [f"search.compile: {rule}, got {settings.compile!r}" for rule in _compiled(settings)]
    if lines:
        raise ConfigError(*lines)


def _recorded(settings: GradientSettings, ranks: Ranks, device: torch.device) -> Iterator[str]:
    """Why steps cannot be recorded."""
    if device.type != "cuda":
        yield f"search.cuda_graph: needs a CUDA device, got {str(device)!r}"
    if ranks.world_size > 1:
        yield f"search.cuda_graph: needs one process, got {ranks.world_size}"
    if settings.layout == "packed":
        rule = "the packed layout's tables come from the host; search.layout must be auto, grouped or reference"
        yield f"search.cuda_graph: {rule}, got 'packed'"
    if _is_second_order(settings):
        yield "search.cuda_graph: only steps of first order are recorded; search.order must be 1, got 2"
    if STRATEGIES[settings.strategy].samples:
        yield f"search.cuda_graph: {settings.strategy} draws its mixture on the host; must be false, got true"


def _compiled(settings: GradientSettings) -> Iterator[str]:
    """Why passes cannot be compiled."""
    if settings.cuda_graph:
        yield "must be none with search.cuda_graph"
    if STRATEGIES[settings.strategy].samples:
        yield f"{settings.strategy} computes another graph in each step; must be none"
    if _is_second_order(settings) or settings.hessian_epochs:
        yield "a compiled pass cannot be differentiated twice; must be none with order = 2 or hessian_epochs"


def _is_second_order(settings: GradientSettings) -> bool:
    return isinstance(settings, DartsSettings) and settings.order == 2
