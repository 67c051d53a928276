"""Fair DARTS: every candidate has a sigmoid of its own, driven to 0 or 1 (arXiv:1911.12126).

Skip connections then gain nothing from the losses of others. The cell is read off by DARTS's rule on the sigmoids; the
paper's threshold of 0.85, under which an edge may vanish, has no place in spaces that keep two edges a node.
"""

from typing import ClassVar

import torch
from torch import Tensor

from nasdrop.searchers.gradient.mixture import Alphas, Mixture
from nasdrop.searchers.gradient.strategy import Strategy
from nasdrop.settings import FairDartsSettings


class FairDarts(Strategy[FairDartsSettings]):
    """Independent candidates and the zero-one loss."""

    paper: ClassVar[str] = "Fair DARTS: Eliminating Unfair Advantages in DARTS, arXiv:1911.12126"

    def expected(self, alphas: Alphas) -> Mixture:
        """The sigmoids, 0 where a column is not available."""
        available = self.columns.available
        return Mixture({kind: torch.where(available[kind], alphas[kind].sigmoid(), 0.0) for kind in available})

    def penalty(self, alphas: Alphas) -> Tensor | None:
        """Minus the mean squared distance of the sigmoids from 1/2."""
        flags = torch.cat([available.flatten() for available in self.columns.available.values()])
        values = torch.cat([alphas[kind].flatten() for kind in self.columns.available])
        # Not `values[flags]`: how many those are would have to be known on the host.
        squares = torch.where(flags, (values.sigmoid() - 0.5).square(), 0.0)
        return -self.settings.zero_one_weight * squares.sum() / flags.sum()
