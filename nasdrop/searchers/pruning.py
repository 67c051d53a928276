"""Which trials lag so far behind that they stop: Optuna's pruners, and the same rules where there are costs.

Optuna takes no reports where there are several objectives. There a trial keeps its own, and the accuracy decides, among
the trials that cost no more: a small cell does not stop because large ones are better. What was decided follows from
what the study holds, so a resumed search decides like an uninterrupted one.
"""

import math
import statistics
from binascii import crc32
from collections.abc import Mapping, Sequence

from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.trial import FrozenTrial, TrialState

from nasdrop.searchers.fidelity import steps
from nasdrop.searchers.rungs import RungPruner
from nasdrop.searchers.trials import reports_of
from nasdrop.settings import StudySettings

_STARTUP = 5  # finished trials before a median counts, as in Optuna


def make_pruner(settings: StudySettings) -> BasePruner:
    """Optuna's pruner of that name; none where there are costs, see `lags`."""
    first, factor = _first(settings), settings.reduction_factor
    if settings.costs or settings.pruner == "none":
        return NopPruner()
    if settings.pruner == "median":
        return MedianPruner(n_startup_trials=_STARTUP, n_warmup_steps=first - 1)
    if settings.fidelity:
        return RungPruner(steps(settings), factor)
    if settings.pruner == "successive_halving":
        return SuccessiveHalvingPruner(min_resource=first, reduction_factor=factor)
    return HyperbandPruner(min_resource=first, max_resource=settings.epochs, reduction_factor=factor)


def lags(
    settings: StudySettings, study: str, number: int, reports: Mapping[int, float], rivals: Sequence[FrozenTrial]
) -> bool:
    """Whether a trial stops after its last report, by the rule of `search.pruner`.

    Args:
        settings: the rule.
        study: name of the study, by which Hyperband tells brackets apart, as Optuna's does.
        number: of the trial.
        reports: accuracies of the trial by epoch, the last one new.
        rivals: what it is compared with; see `rivals_of`.
    """
    if settings.pruner == "none":
        return False
    if settings.pruner == "median":
        return _below_median(settings, reports, rivals)
    bracket = 0
    if settings.pruner == "hyperband":
        bracket = _bracket(settings, study, number)
        rivals = [rival for rival in rivals if _bracket(settings, study, rival.number) == bracket]
    return _loses(settings, bracket, reports, [reports_of(rival) for rival in rivals])


def rivals_of(
    trials: Sequence[FrozenTrial], number: int, costs: Mapping[str, float], names: Sequence[str]
) -> list[FrozenTrial]:
    """The other trials that have reported and cost no more, as far as costs are known; neither repeats nor failures.

    Args:
        trials: of the study.
        number: of the trial.
        costs: what it costs.
        names: which costs are compared.
    """
    wanted = [name for name in names if name in costs]
    return [
        trial
        for trial in trials
        if trial.number != number
        and trial.state is not TrialState.FAIL
        and "duplicate_of" not in trial.user_attrs
        and reports_of(trial)
        and all(trial.user_attrs.get(name, math.inf) <= costs[name] for name in wanted)
    ]


def _first(settings: StudySettings) -> int:
    return min(settings.min_epochs, settings.epochs)


def _below_median(settings: StudySettings, reports: Mapping[int, float], rivals: Sequence[FrozenTrial]) -> bool:
    """The best value so far is below the median of what finished trials had after as many epochs."""
    epoch = max(reports)
    done = [reports_of(rival) for rival in rivals if rival.state is TrialState.COMPLETE]
    values = [others[epoch] for others in done if epoch in others]
    if len(done) < _STARTUP or epoch < _first(settings) - 1 or not values:
        return False
    return max(reports.values()) < statistics.median(values)


def _loses(
    settings: StudySettings, bracket: int, reports: Mapping[int, float], others: Sequence[Mapping[int, float]]
) -> bool:
    """Asynchronous successive halving (arXiv:1810.05934): a rung is passed by the best 1/reduction_factor at it."""
    epoch, rung = max(reports), _first(settings) * settings.reduction_factor**bracket
    while rung <= epoch:
        if _reached(reports, rung) == epoch:
            here = [values[at] for values in others if (at := _reached(values, rung))]
            ranked = sorted([*here, reports[epoch]], reverse=True)
            if reports[epoch] < ranked[max(len(ranked) // settings.reduction_factor - 1, 0)]:
                return True
        rung *= settings.reduction_factor
    return False


def _reached(reports: Mapping[int, float], rung: int) -> int:
    """The first reported epoch from a rung on; 0: not yet."""
    return min((epoch for epoch in reports if epoch >= rung), default=0)


def _bracket(settings: StudySettings, study: str, number: int) -> int:
    """Hyperband's bracket of a trial (arXiv:1603.06560), drawn as Optuna draws it."""
    factor = settings.reduction_factor
    count = math.floor(math.log(settings.epochs / _first(settings), factor)) + 1
    shares = [math.ceil(count * factor**step / (step + 1)) for step in reversed(range(count))]
    place = crc32(f"{study}_{number}".encode()) % sum(shares)
    return next(bracket for bracket in range(count) if place < sum(shares[: bracket + 1]))
