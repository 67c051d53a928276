"""PC-DARTS: a part of the channels goes through the candidates, and edges are normalised (arXiv:1907.05737).

A second softmax over the edges that enter a node multiplies the mixture of each edge; it steadies the choice of edges,
which partial channels make noisy. The channels are the supernet's affair (`partial_channels`).
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from nasdrop.searchers.gradient.mixture import Alphas, Columns, Mixture
from nasdrop.searchers.gradient.strategy import Strategy
from nasdrop.settings import PcDartsSettings


class PcDarts(Strategy[PcDartsSettings]):
    """DARTS with a weight an edge."""

    paper: ClassVar[str] = "PC-DARTS: Partial Channel Connections for Memory-Efficient DARTS, arXiv:1907.05737"

    def __init__(self, settings: PcDartsSettings, columns: Columns) -> None:
        super().__init__(settings, columns)
        self._same_node: dict[str, Tensor] = {}
        for kind, available in columns.available.items():
            self.extra[kind] = nn.Parameter((1e-3 * torch.randn(len(available))).to(available.device))
            targets = torch.tensor([target for _, target in columns.ends[kind]])
            self._same_node[kind] = (targets[:, None] == targets[None, :]).to(available.device)

    def expected(self, alphas: Alphas) -> Mixture:
        """Softmax over an edge's candidates, and softmax over the edges of a node."""
        mixture = super().expected(alphas)
        return mixture._replace(edges={kind: self.edge_weights(kind) for kind in mixture.weights})

    def strengths(self, alphas: Alphas) -> dict[str, Tensor]:
        """The product of both."""
        return {kind: rows * self.edge_weights(kind)[:, None] for kind, rows in super().strengths(alphas).items()}

    def edge_weights(self, kind: str) -> Tensor:
        """Beta of each edge, (E,); those of a node sum to 1."""
        return torch.where(self._same_node[kind], self.extra[kind][None, :], float("-inf")).softmax(-1).diagonal()
