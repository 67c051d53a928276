"""One trial while its cell is evaluated: what it costs, what it reports, whether it goes on, what it is worth."""

import math
import threading
from collections.abc import Mapping
from typing import Any

from optuna.trial import Trial

from nasdrop.searchers.evaluators import Evaluation, Evaluator, Pruned, Stopped
from nasdrop.searchers.fidelity import steps
from nasdrop.searchers.goals import told_cost
from nasdrop.searchers.pruning import lags, rivals_of
from nasdrop.searchers.result import Observer
from nasdrop.searchers.samplers import VALUES_WHEN_PRUNED
from nasdrop.searchers.trials import REPORTS
from nasdrop.settings import StudySettings
from nasdrop.space import Genotype


class OverLimit(Exception):
    """This cell costs more than it may; it is not evaluated."""


def early_costs(settings: StudySettings, evaluator: Evaluator) -> list[str]:
    """The costs that are told of each cell before it is evaluated, those that are quickly told first."""
    wanted = {"parameters", *settings.costs, *settings.limits}
    return [name for name in evaluator.known_costs or () if name in wanted]


class Attempt:
    """A trial under way.

    A retry of a lost trial keeps that one's costs, which may have been measured, and its reports, since its training
    goes on.

    Args:
        trial: Optuna's.
        settings: the study's.
        evaluator: tells costs.
        observer: is told of each epoch.
        stop: when set, the trial stops after its epoch.
    """

    def __init__(
        self, trial: Trial, settings: StudySettings, evaluator: Evaluator, observer: Observer, stop: threading.Event
    ) -> None:
        self.trial, self.settings, self.evaluator = trial, settings, evaluator
        self.observer, self.stop, self.epochs = observer, stop, steps(settings)[-1]
        lost = trial.user_attrs.get("retry_of")
        self._kept: Mapping[str, Any] = {}
        if lost is not None:
            self._kept = trial.study.get_trials(deepcopy=False)[lost].user_attrs
        self.costs: dict[str, float] = {}
        self.reports = {int(epoch): value for epoch, value in self._kept.get(REPORTS, {}).items()}

    def tell_early_costs(self, genotype: Genotype) -> None:
        """Tell Optuna what is known of the cell's costs before it is evaluated.

        Raises:
            OverLimit: it costs more than it may.
            Failed: a cost that is wanted is not finite.
        """
        for name in early_costs(self.settings, self.evaluator):
            cost = self._kept[name] if name in self._kept else self.evaluator.cost(genotype, name)
            if name in self.settings.costs or name in self.settings.limits:
                told_cost(self.settings, name, {name: cost})
            elif not math.isfinite(cost):
                continue
            self.costs[name] = cost
            self.trial.set_user_attr(name, cost)
            if reason := self._over_limit(name, cost):
                raise OverLimit(reason)

    def report(self, epoch: int, value: float) -> None:
        """Take the value after an epoch, counted from 1.

        Raises:
            Pruned: the trial lags behind.
            Stopped: it was asked to end.
        """
        if self.settings.costs:  # Optuna takes no reports where there are several objectives
            # A retry that does not go on, but begins anew, reports early epochs again.
            self.reports = {one: known for one, known in self.reports.items() if one < epoch} | {epoch: value}
            self.trial.set_user_attr(REPORTS, {str(one): known for one, known in self.reports.items()})
        else:
            self.trial.report(value, epoch)
        self.observer.epoch_ended(epoch, self.epochs, value)
        if epoch < self.epochs:  # what was trained to its end counts
            if self._lags():
                raise Pruned
            if self.stop.is_set():
                raise Stopped

    def values(self, evaluation: Evaluation) -> list[float]:
        """Value and costs of an evaluation, whose attributes are kept.

        Raises:
            ConfigError: a cost is not told.
            Failed: it is not finite.
        """
        told = {**self.costs, **evaluation.attributes}
        values = [evaluation.value, *(told_cost(self.settings, name, told) for name in self.settings.costs)]
        for key, attribute in evaluation.attributes.items():
            self.trial.set_user_attr(key, attribute)
        late = [name for name in self.settings.limits if name not in self.costs]
        reasons = [self._over_limit(name, told_cost(self.settings, name, told)) for name in late]
        if any(reasons):
            self.trial.set_user_attr("note", "; ".join(filter(None, reasons)))
        return values

    def _lags(self) -> bool:
        """Whether the trial is to stop after its last report."""
        costs, study = self.settings.costs, self.trial.study
        if not costs:
            return self.trial.should_prune()
        rivals = rivals_of(study.get_trials(deepcopy=False), self.trial.number, self.costs, costs)
        if not lags(self.settings, study.study_name, self.trial.number, self.reports, rivals):
            return False
        if self.costs.keys() >= set(costs):
            values = [self.reports[max(self.reports)], *(self.costs[name] for name in costs)]
            self.trial.set_user_attr(VALUES_WHEN_PRUNED, values)
        return True

    def _over_limit(self, name: str, cost: float) -> str:
        """Tell Optuna how far a cost is from its limit, if it has one; what is wrong with it, if anything."""
        if name not in self.settings.limits:
            return ""
        limit = self.settings.limits[name]
        self.trial.set_constraint(name, cost / limit - 1)
        return f"{name} of {cost:g}, at most {limit:g} allowed" if cost > limit else ""
