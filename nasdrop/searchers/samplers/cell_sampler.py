"""CellSampler: what our own samplers share. They see cells, not parameters, and propose none that is known.

They are Optuna samplers: any study whose trials suggest a space's decisions (`suggest_genotype`) can use them, with
other parameters beside, which TPE proposes one by one.
"""

import math
import random
from abc import abstractmethod
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from nasdrop.errors import GenotypeError
from nasdrop.space import Genotype, SearchSpace

VALUES_WHEN_PRUNED = "values_when_pruned"
"""Attribute with what a pruned trial of several objectives was worth, of which Optuna takes no reports."""

_DRAWS = 100  # random cells that may all be known before a space is looked through
_ENUMERABLE = 100_000  # genotypes of the largest space that is looked through
_REMEMBERED = 20_000  # canonical forms that a sampler keeps


@dataclass(frozen=True)
class Tried:
    """A cell that some trial of the study holds.

    Attributes:
        genotype: as the trial described it.
        goals: one number an objective, higher is better; a pruned trial's last report; empty while the trial runs,
            where it failed, and where it is over a limit.
        running: whether its value is still to come.
        excess: the largest constraint, positive over a limit; None where none is told.
    """

    genotype: Genotype
    goals: tuple[float, ...] = ()
    running: bool = False
    excess: float | None = None

    @property
    def score(self) -> float | None:
        """The first goal; None where there is none."""
        return self.goals[0] if self.goals else None

    @property
    def over_limit(self) -> bool:
        """Whether it breaks a constraint of the study."""
        return self.excess is not None and self.excess > 0


History = Mapping[str, Tried]
"""Canonical form -> what is known of that cell, in the order of the trials."""


class CellSampler(BaseSampler):
    """Base of samplers that propose whole cells.

    Args:
        space: the cells' space.
        seed: equal seeds and equal histories give equal proposals; None: from the system.
    """

    several_objectives = False
    """Whether it knows what to do with more than one."""

    def __init__(self, space: SearchSpace, *, seed: int | None = None) -> None:
        self.space = space
        self.rng = random.Random(seed)  # noqa: S311 - reproducible draws, not secrets
        self._independent = TPESampler(multivariate=False, seed=seed)
        self._distributions = distributions(space)
        self._canonical: dict[Genotype, str] = {}
        self._decoded: dict[tuple[object, ...], Genotype | None] = {}

    @abstractmethod
    def propose(self, history: History) -> Genotype | None:
        """The next cell; None, or one that is known, leaves it to chance."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The decisions of the space, always."""
        return dict(self._distributions)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The decisions of a cell that no other trial holds; of any cell where every one is known."""
        if not self.several_objectives:
            self._raise_error_if_multi_objective(study)
        history = self.history(study, trial.number)
        genotype = self.propose(history) if self.space.size > 1 else None
        if genotype is None or self.canonical(genotype) in history:
            genotype = unknown_cell(self.space, history.__contains__, self.rng) or self.space.sample(self.rng)
        values = self.space.encode(genotype)
        return {name: values[name] for name in search_space}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Whatever is searched beside the cell is TPE's, each parameter by itself."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Forget the seed: this sampler is a copy that must not repeat its original."""
        self.rng.seed()
        self._independent.reseed_rng()

    def history(self, study: Study, number: int) -> dict[str, Tried]:
        """Every cell that the other trials hold; a value beats a failure, the first value later ones."""
        signs = [-1.0 if direction == StudyDirection.MINIMIZE else 1.0 for direction in study.directions]
        tried: dict[str, Tried] = {}
        # Not study.get_trials: with Hyperband that leaves out the trials of other brackets.
        for trial in study._storage.get_all_trials(study._study_id, deepcopy=False):
            genotype = None if trial.number == number else self._decode(trial.params)
            if genotype is None:
                continue
            excess = max(trial.constraints.values(), default=None)
            goals = () if excess is not None and excess > 0 else _goals(trial, signs)
            form = self.canonical(genotype)
            known = tried.get(form)
            if known is None or (goals and not known.goals):
                tried.pop(form, None)
                tried[form] = Tried(genotype, goals, trial.state is TrialState.RUNNING, excess)
        return tried

    def canonical(self, genotype: Genotype) -> str:
        """The canonical form, remembered."""
        if genotype not in self._canonical:
            if len(self._canonical) >= _REMEMBERED:
                self._canonical.clear()
            self._canonical[genotype] = self.space.canonical(genotype)
        return self._canonical[genotype]

    def unknown_mutant(self, genotype: Genotype, known: Container[str]) -> Genotype | None:
        """A mutation that is not known, of few steps rather than of many; None where chance finds none."""
        for steps in (1, 1, 1, 2, 3, 4):
            for _ in range(8):
                mutant = genotype
                for _ in range(steps):
                    mutant = self.space.mutate(mutant, self.rng)
                if self.canonical(mutant) not in known:
                    return mutant
        return None

    def _decode(self, params: Mapping[str, Any]) -> Genotype | None:
        """The cell of a trial's parameters; None for a trial of something else, or one that has just begun."""
        values = {name: params[name] for name in self._distributions if name in params}
        key = tuple(values.items())
        if key not in self._decoded:
            try:
                self._decoded[key] = self.space.decode(values)
            except GenotypeError:
                self._decoded[key] = None
        return self._decoded[key]


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """The parameters of a space's cells, as Optuna names them."""
    return {decision.name: CategoricalDistribution(decision.choices) for decision in space.decisions}


def suggest_genotype(trial: Trial, space: SearchSpace) -> Genotype:
    """Ask a trial for a cell, in an objective of your own."""
    return space.decode({name: trial.suggest_categorical(name, choices) for name, choices in space.decisions})


def unknown_cell(space: SearchSpace, is_known: Callable[[str], bool], rng: random.Random) -> Genotype | None:
    """A random cell that is not known; None where there is none, or chance finds none in a large space.

    Args:
        space: the cells' space.
        is_known: asked with canonical forms.
        rng: of the draws.
    """
    for _ in range(_DRAWS):
        genotype = space.sample(rng)
        if not is_known(space.canonical(genotype)):
            return genotype
    if space.size > _ENUMERABLE:
        return None
    left = [genotype for genotype in space.enumerate() if not is_known(space.canonical(genotype))]
    return rng.choice(left) if left else None


def _goals(trial: FrozenTrial, signs: Sequence[float]) -> tuple[float, ...]:
    values: Sequence[float] = ()
    if trial.state is TrialState.COMPLETE:
        values = trial.values
    elif VALUES_WHEN_PRUNED in trial.user_attrs:
        values = trial.user_attrs[VALUES_WHEN_PRUNED]
    elif trial.state is TrialState.PRUNED and trial.intermediate_values:
        values = [trial.intermediate_values[max(trial.intermediate_values)]]
    if len(values) < len(signs) or any(map(math.isnan, values)):
        return ()
    return tuple(sign * value for sign, value in zip(signs, values, strict=True))
