"""DropNAS: candidates drop in two groups, the softmax is over those that stay, one level (arXiv:2201.11679).

The drop is PathDrop's policy "groups": `[drop] policy = "groups", mode = "batch", p = 3e-5`; the supernet renormalises.
After a step the kept alphas are shifted together, so that their share of the whole softmax is what it was: a candidate
that was not computed neither wins nor loses by it.
"""

from typing import ClassVar

import torch

from nasdrop.models.supernet import masked_softmax
from nasdrop.searchers.gradient.mixture import Alphas
from nasdrop.searchers.gradient.strategy import Strategy
from nasdrop.settings import DropNasSettings


class DropNas(Strategy[DropNasSettings]):
    """One level, with grouped operation dropout."""

    paper: ClassVar[str] = "DropNAS: Grouped Operation Dropout for Differentiable Architecture Search, arXiv:2201.11679"
    one_level: ClassVar[bool] = True

    @torch.no_grad()
    def after_step(self, alphas: Alphas, before: Alphas, kept: Alphas) -> None:
        """Shift the kept alphas of each edge by log of (share before / dropped share before) / (the same after)."""
        for kind, available in self.columns.available.items():
            old, new = _odds(before[kind], available, kept[kind]), _odds(alphas[kind], available, kept[kind])
            shift = (old / new).log()[:, None]
            partly = (available & ~kept[kind]).any(-1, keepdim=True)
            alphas[kind].add_(torch.where(kept[kind] & partly, shift, 0.0))


def _odds(alphas: torch.Tensor, available: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """The kept candidates' share of an edge's softmax over that of the dropped ones, (E,)."""
    weights = masked_softmax(alphas, available)
    return (weights * kept).sum(-1) / (weights * ~kept).sum(-1)
