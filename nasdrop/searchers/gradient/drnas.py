"""DrNAS: the mixture is drawn from a Dirichlet distribution whose concentration is learned (arXiv:2006.10355).

The concentration is elu(alpha) + 1. Its distance from the flat Dirichlet is held by the weight decay of the alphas
(the authors' default, "l2"): alpha = 0 is concentration 1. Their progressive scheme is `search.shrink`, without the
widening of the partial channels.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Dirichlet
from torch.nn import functional

from nasdrop.models.supernet import masked_softmax
from nasdrop.searchers.gradient.mixture import Alphas, Mixture, Moment
from nasdrop.searchers.gradient.strategy import Strategy
from nasdrop.settings import DrnasSettings

_LEAST = 1e-4  # elu(alpha) + 1 falls to 0, where a Dirichlet is not defined


class Drnas(Strategy[DrnasSettings]):
    """Samples a mixture a step."""

    paper: ClassVar[str] = "DrNAS: Dirichlet Neural Architecture Search, arXiv:2006.10355"
    samples: ClassVar[bool] = True

    def mix(self, alphas: Alphas, moment: Moment) -> Mixture:
        """One reparametrised draw, the same for all cells of a kind."""
        weights = {}
        for kind, concentration in self._concentrations(alphas).items():
            available = self.columns.available[kind]
            rows = [
                torch.zeros_like(row).masked_scatter(flags, Dirichlet(row[flags], validate_args=False).rsample())
                for row, flags in zip(concentration, available, strict=True)
            ]
            weights[kind] = torch.stack(rows)
        return Mixture(weights)

    def expected(self, alphas: Alphas) -> Mixture:
        """The mean of the distribution."""
        concentrations = self._concentrations(alphas)
        return Mixture({kind: rows / rows.sum(-1, keepdim=True) for kind, rows in concentrations.items()})

    def strengths(self, alphas: Alphas) -> dict[str, Tensor]:
        """The softmax of the alphas, as the authors read a cell off."""
        available = self.columns.available
        return {kind: masked_softmax(alphas[kind], available[kind]) for kind in available}

    def _concentrations(self, alphas: Alphas) -> dict[str, Tensor]:
        return {
            kind: torch.where(available, functional.elu(alphas[kind]) + 1 + _LEAST, 0.0)
            for kind, available in self.columns.available.items()
        }
