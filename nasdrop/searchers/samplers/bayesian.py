"""GraphBayesian: Bayesian optimisation with a Gaussian process on graph features of the canonical cell.

A relative of NASBOWL (arXiv:2006.07556: Weisfeiler-Lehman) and BANANAS (arXiv:1910.11858: paths, mutated candidates).
Several objectives: the expected growth of the hypervolume, by random scalarisations (arXiv:2006.04655).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nasdrop.searchers.samplers.cell_sampler import CellSampler, History
from nasdrop.searchers.samplers.features import Row, Vocabulary, features, squared_distances
from nasdrop.searchers.samplers.growth import Growth
from nasdrop.searchers.samplers.process import Array, GaussianProcess, normal_below, normal_scores
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

    Values count by rank. Cells that still run count as if they come out as expected, so parallel workers spread. Each
    objective has a model of its own, and so has the distance to the limits, if there are any.

    Args:
        space: the cells' space.
        startup: cells drawn far apart before the model is used, at least 2.
        seed: see CellSampler.
    """

    several_objectives = True

    def __init__(self, space: SearchSpace, *, startup: int = 5, seed: int | None = None) -> None:
        super().__init__(space, seed=seed)
        self.startup = max(startup, 2)
        self._features: dict[str, list[Row]] = {}
        self._vocabularies = [Vocabulary() for _ in range(_GROUPS)]
        self._generator = np.random.default_rng(self.rng.getrandbits(64))
        self._processes: dict[str, GaussianProcess] = {}
        self._scales = [1.0] * _GROUPS
        drawn = [space.sample(self.rng) for _ in range(_REFERENCE)]
        squared = self._distances([self._describe(self.canonical(cell), cell) for cell in drawn], _REFERENCE)
        self._scales = [float(np.median(distances[distances > 0])) if distances.any() else 1.0 for distances in squared]

    def reseed_rng(self) -> None:
        """Forget the seed; see CellSampler."""
        super().reseed_rng()
        self._generator = np.random.default_rng()
        self._processes.clear()

    def propose(self, history: History) -> Genotype | None:
        """The best candidate; None where no candidate is unknown."""
        if len(self._features) > _REMEMBERED:
            self._features.clear()
            self._vocabularies = [Vocabulary() for _ in range(_GROUPS)]
        told = {form: tried for form, tried in history.items() if tried.goals}
        if len(told) < self.startup:
            return self._far_from(history)
        growth, forms = Growth(np.array([tried.goals for tried in told.values()]).T, self._generator), list(told)
        if not np.ptp(growth.scores, axis=1).any():  # equal values tell nothing
            return self._far_from(history)
        candidates = self._candidates(history, [forms[place] for place in growth.parents(_PARENTS)])
        if not candidates:
            return None
        kept = _limited(growth.merit())
        running = [form for form, tried in history.items() if tried.running]
        expected = self._expect(history, [forms[place] for place in kept], running, growth.scores[:, kept], candidates)
        gain = growth.expected(*expected) * self._allowed(history, candidates)
        return list(candidates.values())[int(np.argmax(gain))]

    def _expect(
        self,
        history: History,
        forms: Sequence[str],
        running: Sequence[str],
        values: Array,
        candidates: Mapping[str, Genotype],
        name: str = "goal",
    ) -> tuple[Array, Array]:
        """Means and deviations (rows, members, candidates) of what the models of the rows of `values` expect."""
        rows = self._rows(history, [*forms, *running]) + [self._describe(*item) for item in candidates.items()]
        count, known = len(forms), len(forms) + len(running)
        distances = self._distances(rows, known)
        told, seen = [group[:count, :count] for group in distances], [group[:, :known] for group in distances]
        asked = [group[:, known:] for group in distances]
        moments = []
        for number, row in enumerate(values):
            process = self._processes.setdefault(f"{name} {number}", GaussianProcess(_GROUPS, self._generator))
            offset = row.mean()
            if np.ptp(row):
                process.walk(told, row - offset, _STEPS)
            means, deviations = process.posterior(seen, len(running), asked, row - offset)
            moments.append((means + offset, deviations))
        return np.stack([means for means, _ in moments]), np.stack([deviations for _, deviations in moments])

    def _allowed(self, history: History, candidates: Mapping[str, Genotype]) -> Array | float:
        """How probable it is that each candidate is within all limits; 1 while no cell is over one."""
        told = {form: tried.excess for form, tried in history.items() if tried.excess is not None}
        over = np.array([excess > 0 for excess in told.values()], dtype=bool)
        if not over.any():
            return 1.0
        scores = normal_scores(list(told.values()))
        limit = (scores[~over].max(initial=scores.min() - 1) + scores[over].min()) / 2
        kept, forms = _limited(-scores), list(told)
        means, deviations = self._expect(
            history, [forms[place] for place in kept], (), scores[None, kept], candidates, "limit"
        )
        probability: Array = normal_below((limit - means[0]) / deviations[0]).mean(0)
        return probability

    def _far_from(self, history: History) -> Genotype:
        """Of some random cells the one farthest from every known one."""
        drawn = [self.space.sample(self.rng) for _ in range(_DRAWS)]
        if not history:
            return drawn[0]
        rows = self._rows(history, list(history)) + [self._describe(self.canonical(cell), cell) for cell in drawn]
        nearest = np.sum(self._distances(rows, len(history)), axis=0)[:, len(history) :].min(0)
        return drawn[int(np.argmax(nearest))]

    def _candidates(self, history: History, parents: Sequence[str]) -> dict[str, Genotype]:
        """Unknown cells worth a look, by canonical form."""
        drawn = [self.space.sample(self.rng) for _ in range(_RANDOM)]
        for form in parents:
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
