"""P-DARTS: stages over deeper and deeper supernets with fewer and fewer candidates (arXiv:1904.12760).

Elements of skip connections of stride 1 drop with a rate that falls within each stage: `nasdrop.drop.Dropout` modules
of the supernet, driven by the schedule "p-darts". At the end skips beyond `most_skips` are taken away.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar

from torch import Tensor

from nasdrop.searchers.gradient.mixture import Alphas
from nasdrop.searchers.gradient.strategy import Strategy
from nasdrop.settings import PDartsSettings
from nasdrop.space import Genotype

NORMAL = "normal"


class PDarts(Strategy[PDartsSettings]):
    """DARTS in stages, with drop on the skips."""

    paper: ClassVar[str] = "Progressive Differentiable Architecture Search, arXiv:1904.12760"

    def read_cell(self, alphas: Alphas, discretize: Callable[[Mapping[str, Tensor]], Genotype]) -> Genotype:
        """DARTS's rule, again and again, each time without the weakest skip, until few enough are left."""
        strengths = {kind: rows.detach().clone() for kind, rows in self.strengths(alphas).items()}
        while True:
            genotype = discretize(strengths)
            weakest = self._weakest_skip(genotype, strengths)
            if weakest is None:
                return genotype
            strengths[NORMAL][weakest] = 0.0

    def _weakest_skip(self, genotype: Genotype, strengths: Mapping[str, Tensor]) -> tuple[int, int] | None:
        """Edge and column of the weakest chosen skip that can be done without, while there are too many."""
        cell = genotype[NORMAL]
        chosen = [edge for edge in cell.edges if edge.operation == "skip_connect"]
        if len(chosen) <= self.settings.most_skips:
            return None
        column = int(self.columns.column(NORMAL, "skip_connect").nonzero()[0])
        places = [
            (float(strengths[NORMAL][edge, column]), edge)
            for edge, ends in enumerate(self.columns.ends[NORMAL])
            if any(ends == (kept.source, kept.target) for kept in chosen)
        ]
        removable = [(strength, edge) for strength, edge in places if strength > 0.0]
        return (min(removable)[1], column) if removable else None
