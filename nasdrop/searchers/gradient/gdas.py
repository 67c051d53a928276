"""GDAS: one candidate an edge, drawn by a straight-through Gumbel softmax of falling temperature (arXiv:1910.04465).

One draw serves all cells of a kind. What was not drawn is not computed, so the alphas learn from the drawn candidate
alone, through its softmax; the authors' code also adds the other weights, which are 0, to the node's sum as numbers.
"""

from typing import ClassVar

import torch
from torch import Tensor

from nasdrop.searchers.gradient.mixture import Alphas, Mixture, Moment, chosen_columns
from nasdrop.searchers.gradient.strategy import Strategy
from nasdrop.settings import GdasSettings


class Gdas(Strategy[GdasSettings]):
    """Samples one path a step."""

    paper: ClassVar[str] = "Searching for a Robust Neural Architecture in Four GPU Hours, arXiv:1910.04465"
    samples: ClassVar[bool] = True

    def mix(self, alphas: Alphas, moment: Moment) -> Mixture:
        """One candidate an edge, with weight exactly 1 and the gradient of its soft weight."""
        temperature = self.temperature(moment)
        hard, soft = {}, {}
        for kind, available in self.columns.available.items():
            logits = alphas[kind].masked_fill(~available, float("-inf")).log_softmax(-1)
            soft[kind] = ((logits + gumbel(logits)) / temperature).softmax(-1)
            drawn = soft[kind].detach().argmax(-1, keepdim=True)
            hard[kind] = torch.zeros_like(soft[kind]).scatter(-1, drawn, 1.0)
        weights = {kind: hard[kind] + (soft[kind] - soft[kind].detach()) for kind in hard}
        return Mixture(weights, {kind: chosen_columns(chosen.bool()) for kind, chosen in hard.items()})

    def expected(self, alphas: Alphas) -> Mixture:
        """The strongest candidate of each edge: weights were trained for one at a time, never for a blend."""
        strongest = {}
        for kind, weights in super().expected(alphas).weights.items():
            strongest[kind] = torch.zeros_like(weights).scatter(-1, weights.argmax(-1, keepdim=True), 1.0)
        return Mixture(strongest, {kind: chosen_columns(chosen.bool()) for kind, chosen in strongest.items()})

    def strengths(self, alphas: Alphas) -> dict[str, Tensor]:
        """The softmax, as in DARTS."""
        return dict(super().expected(alphas).weights)

    def temperature(self, moment: Moment) -> float:
        """Linear in e / (E - 1)."""
        first, final = self.settings.first_temperature, self.settings.final_temperature
        return first + (final - first) * moment.epoch / max(1, moment.epochs - 1)


def gumbel(like: Tensor) -> Tensor:
    """Standard Gumbel noise of a tensor's shape; drawn on the CPU, so that every device sees the same."""
    return -torch.empty(like.shape, dtype=like.dtype).exponential_().log().to(like.device)
