"""Who proposes the next cell: our own samplers and Optuna's, chosen by `[search] sampler`.

Optuna's CMA-ES is not among them: it has no categorical parameters, and a cell has no others.
"""

import warnings
from collections.abc import Callable, Mapping

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, NSGAIIISampler, NSGAIISampler, RandomSampler, TPESampler

from nasdrop.searchers.samplers.bayesian import GraphBayesian
from nasdrop.searchers.samplers.cell_sampler import (
    VALUES_WHEN_PRUNED,
    CellSampler,
    distributions,
    suggest_genotype,
    unknown_cell,
)
from nasdrop.searchers.samplers.evolution import RegularisedEvolution
from nasdrop.searchers.samplers.local_search import LocalSearch
from nasdrop.space import SearchSpace

__all__ = [
    "ONE_OBJECTIVE",
    "SAMPLERS",
    "VALUES_WHEN_PRUNED",
    "CellSampler",
    "GraphBayesian",
    "LocalSearch",
    "RegularisedEvolution",
    "distributions",
    "suggest_genotype",
    "unknown_cell",
]


def _nsga3(seed: int | None) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # what the user chose by name needs no warning
        return NSGAIIISampler(seed=seed)


SAMPLERS: Mapping[str, Callable[[SearchSpace, int, int | None], BaseSampler]] = {
    "bayesian": lambda space, startup, seed: GraphBayesian(space, seed=seed),
    "evolution": lambda space, startup, seed: RegularisedEvolution(space, seed=seed),
    "local_search": lambda space, startup, seed: LocalSearch(space, seed=seed),
    "tpe": lambda space, startup, seed: TPESampler(n_startup_trials=startup, seed=seed),
    "gp": lambda space, startup, seed: GPSampler(n_startup_trials=startup, seed=seed, warn_independent_sampling=False),
    "nsga2": lambda space, startup, seed: NSGAIISampler(seed=seed),
    "nsga3": lambda space, startup, seed: _nsga3(seed),
    "random": lambda space, startup, seed: RandomSampler(seed=seed),
}
"""Name -> builder, called with the space, the number of random trials before Optuna's models are used, and a seed."""

ONE_OBJECTIVE = frozenset({"evolution", "local_search"})
"""Samplers that refuse a study of several objectives."""
