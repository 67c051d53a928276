"""A pruner that stops a trial at a rung unless it is among the best that came so far (arXiv:1810.05934).

Optuna's own puts its rungs at powers of the reduction factor; here they lie where the experiment has them.
"""

import math
from collections.abc import Collection

from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState


class RungPruner(BasePruner):
    """Asynchronous successive halving over given rungs.

    Args:
        steps: of `trial.report`, at which a trial may be pruned; nothing is pruned between them.
        reduction_factor: of n trials that have come to a rung the best n / reduction_factor go on, at least one.
    """

    def __init__(self, steps: Collection[int], reduction_factor: int) -> None:
        self.steps, self.reduction_factor = frozenset(steps), reduction_factor

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial, which has just reported, is not among the best at its rung."""
        step = trial.last_step
        if step is None or step not in self.steps:
            return False
        sign = -1.0 if study.direction is StudyDirection.MINIMIZE else 1.0
        value = sign * trial.intermediate_values[step]
        if math.isnan(value):
            return True
        others = [
            sign * other.intermediate_values[step]
            for other in study.get_trials(deepcopy=False)
            if _came(other, trial, step)
        ]
        ranked = sorted([value, *(one for one in others if not math.isnan(one))], reverse=True)
        return value < ranked[max(1, len(ranked) // self.reduction_factor) - 1]


def _came(other: FrozenTrial, trial: FrozenTrial, step: int) -> bool:
    """Whether another trial has come to a rung: one that was lost, or repeats another, is not counted beside it."""
    counts = other.state is not TrialState.FAIL and "duplicate_of" not in other.user_attrs
    return counts and other.number != trial.number and step in other.intermediate_values
