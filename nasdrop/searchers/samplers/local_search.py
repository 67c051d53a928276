"""Local search over neighbouring cells (arXiv:2004.08996): step to the first better one, start anew where none is.

The state is the study's history alone, so a loaded study goes on where it was.
"""

from nasdrop.searchers.samplers.cell_sampler import CellSampler, History, Tried
from nasdrop.space import Genotype, SearchSpace


class LocalSearch(CellSampler):
    """Hill climbing with restarts.

    Args:
        space: the cells' space.
        starts: random cells before each climb, which begins at the best of them.
        seed: see CellSampler.
    """

    def __init__(self, space: SearchSpace, *, starts: int = 10, seed: int | None = None) -> None:
        super().__init__(space, seed=seed)
        self.starts = starts
        self._around: dict[str, dict[str, Genotype]] = {}

    def propose(self, history: History) -> Genotype | None:
        """An unknown neighbour of the present cell; None where a climb has yet to begin."""
        current = self._current(history)
        if current is None:
            return None
        around = self._neighbours(current)
        unknown = [genotype for form, genotype in around.items() if form not in history]
        return self.rng.choice(unknown) if unknown else None

    def _current(self, history: History) -> Tried | None:
        """Replay the trials: the best cell of the last climb; None while its starts are drawn, or at its end."""
        current: Tried | None = None
        seen: set[str] = set()
        draws = 0
        for form, tried in history.items():
            if current is not None and self._neighbours(current).keys() <= seen:
                current, draws = None, 0
            seen.add(form)
            if tried.score is None:
                continue
            draws += 1
            if current is None or current.score is None or tried.score > current.score:
                current = tried
        return current if draws >= self.starts else None

    def _neighbours(self, tried: Tried) -> dict[str, Genotype]:
        """The neighbours by their canonical forms, remembered."""
        form = self.canonical(tried.genotype)
        if form not in self._around:
            self._around[form] = {self.canonical(other): other for other in self.space.neighbours(tried.genotype)}
        return self._around[form]
