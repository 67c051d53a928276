"""Regularised evolution (arXiv:1802.01548): a tournament among the youngest cells, whose winner is mutated."""

from nasdrop.searchers.samplers.cell_sampler import CellSampler, History
from nasdrop.space import Genotype, SearchSpace


class RegularisedEvolution(CellSampler):
    """Evolution in which the oldest cell dies, not the worst.

    Args:
        space: the cells' space.
        population: cells alive: so many are drawn at random first, then each new one replaces the oldest.
        tournament: cells drawn from the population, of which the best is the parent.
        seed: see CellSampler.
    """

    def __init__(
        self, space: SearchSpace, *, population: int = 30, tournament: int = 10, seed: int | None = None
    ) -> None:
        super().__init__(space, seed=seed)
        self.population, self.tournament = population, tournament

    def propose(self, history: History) -> Genotype | None:
        """A mutant of the winner; None until there is a population."""
        scored = [(tried.score, tried.genotype) for tried in history.values() if tried.score is not None]
        if len(scored) < self.population:
            return None
        contestants = self.rng.sample(scored[-self.population :], min(self.tournament, self.population))
        _, parent = max(contestants, key=lambda contestant: contestant[0])
        return self.unknown_mutant(parent, history)
