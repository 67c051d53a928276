"""GraphBayesian: Bayesian optimisation with a Gaussian process on graph features of the canonical cell.

A relative of NASBOWL (arXiv:2006.07556: Weisfeiler-Lehman) and BANANAS (arXiv:1910.11858: paths, mutated candidates).
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nasdrop.searchers.samplers.cell_sampler import CellSampler, History
from nasdrop.searchers.samplers.features import Row, Vocabulary, features, squared_distances
from nasdrop.searchers.samplers.process import Array, GaussianProcess, expected_improvement, normal_scores
from nasdrop.space import Genotype, SearchSpace

_GROUPS = 3
_REFERENCE = 50  # random cells that tell a typical distance
_DRAWS = 20  # random cells of which a start takes the one farthest from all that are known
_PARENTS = 3  # best cells, whose surroundings are looked at
_NEIGHBOURS = 48  # most neighbours of each
_MUTANTS = 16  # cells two steps away from each
_RANDOM = 64
_MOST = 400  # cells that the process holds: the best half and the latest half of more
_STEPS = 6  # of the walk of hyperparameters, a suggestion
_REMEMBERED = 10_000


class GraphBayesian(CellSampler):
    """The cell of highest expected improvement among neighbours and mutants of the best cells and random ones.

    Values count by rank. Cells that still run count as if they come out as expected, so parallel workers spread.

    Args:
        space: the cells' space.
        startup: cells drawn far apart before the model is used, at least 2.
        seed: see CellSampler.
    """

    def __init__(self, space: SearchSpace, *, startup: int = 5, seed: int | None = None) -> None:
        super().__init__(space, seed=seed)
        self.startup = max(startup, 2)
        self._features: dict[str, list[Row]] = {}
        self._vocabularies = [Vocabulary() for _ in range(_GROUPS)]
        self._process = GaussianProcess(_GROUPS, np.random.default_rng(self.rng.getrandbits(64)))
        self._scales = [1.0] * _GROUPS
        drawn = [space.sample(self.rng) for _ in range(_REFERENCE)]
        squared = self._distances([self._describe(self.canonical(cell), cell) for cell in drawn], _REFERENCE)
        self._scales = [float(np.median(distances[distances > 0])) if distances.any() else 1.0 for distances in squared]

    def reseed_rng(self) -> None:
        """Forget the seed; see CellSampler."""
        super().reseed_rng()
        self._process.rng = np.random.default_rng()

    def propose(self, history: History) -> Genotype | None:
        """The best candidate; None where no candidate is unknown."""
        if len(self._features) > _REMEMBERED:
            self._features.clear()
            self._vocabularies = [Vocabulary() for _ in range(_GROUPS)]
        scored = [(tried.score, form) for form, tried in history.items() if tried.score is not None]
        if len(scored) < self.startup:
            return self._far_from(history)
        scored += [(-math.inf, form) for form, tried in history.items() if tried.over_limit]
        scores = normal_scores([score for score, _ in scored])
        kept = _limited(scores)
        values = scores[kept] - scores[kept].mean()
        if not np.ptp(values):  # equal values tell nothing
            return self._far_from(history)
        forms = [scored[place][1] for place in kept]
        running = [form for form, tried in history.items() if tried.running]
        candidates = self._candidates(history, [scored[place][1] for place in np.argsort(-scores, kind="stable")])
        if not candidates:
            return None
        rows = self._rows(history, [*forms, *running]) + [self._describe(*item) for item in candidates.items()]
        count, known = len(forms), len(forms) + len(running)
        distances = self._distances(rows, known)
        self._process.walk([group[:count, :count] for group in distances], values, _STEPS)
        means, deviations = self._process.posterior(
            [group[:, :known] for group in distances], len(running), [group[:, known:] for group in distances], values
        )
        improvement = expected_improvement(means, deviations, values.max())
        return list(candidates.values())[int(np.argmax(improvement))]

    def _far_from(self, history: History) -> Genotype:
        """Of some random cells the one farthest from every known one."""
        drawn = [self.space.sample(self.rng) for _ in range(_DRAWS)]
        if not history:
            return drawn[0]
        rows = self._rows(history, list(history)) + [self._describe(self.canonical(cell), cell) for cell in drawn]
        nearest = np.sum(self._distances(rows, len(history)), axis=0)[:, len(history) :].min(0)
        return drawn[int(np.argmax(nearest))]

    def _candidates(self, history: History, ranked: Sequence[str]) -> dict[str, Genotype]:
        """Unknown cells worth a look, by canonical form."""
        drawn = [self.space.sample(self.rng) for _ in range(_RANDOM)]
        for form in ranked[:_PARENTS]:
            parent = history[form].genotype
            around = self.space.neighbours(parent)
            drawn += self.rng.sample(around, min(_NEIGHBOURS, len(around)))
            drawn += [self.space.mutate(other, self.rng) for other in self.rng.choices(around, k=_MUTANTS)]
        forms = {self.canonical(genotype): genotype for genotype in drawn}
        return {form: genotype for form, genotype in forms.items() if form not in history}

    def _rows(self, history: History, forms: Sequence[str]) -> list[list[Row]]:
        return [self._describe(form, history[form].genotype) for form in forms]

    def _describe(self, form: str, genotype: Genotype) -> list[Row]:
        """The features of a cell, remembered."""
        if form not in self._features:
            groups = zip(self._vocabularies, features(self.space, genotype), strict=True)
            self._features[form] = [vocabulary.row(counts) for vocabulary, counts in groups]
        return self._features[form]

    def _distances(self, rows: Sequence[list[Row]], count: int) -> list[Array]:
        """Distances (count, rows) of the first rows to all, a group each, in units of a typical one."""
        return [
            squared_distances([row[group] for row in rows], count) / self._scales[group] for group in range(_GROUPS)
        ]


def _limited(scores: Array) -> NDArray[np.intp]:
    """Places of the cells that the process holds."""
    if len(scores) <= _MOST:
        return np.arange(len(scores))
    best = np.argsort(-scores, kind="stable")[: _MOST // 2]
    latest = np.setdiff1d(np.arange(len(scores)), best)[-_MOST // 2 :]
    return np.sort(np.concatenate([best, latest]))
