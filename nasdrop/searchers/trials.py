"""What the trials of a study mean: which count, which repeat another, which holds a cell.

A trial carries, as user attributes, `worker` (who runs it), `canonical` (its cell in canonical form and the settings
beside it, hashed), `chosen` (those settings, if any are searched),
`genotype` (from when it is decided whose the cell is), `duplicate_of`, `retry_of`, `deaths` (workers that this cell has
outlived), `seconds`, `note` (why the cell failed, or which limit it is over), and its costs, such as `parameters`. How
far it is over each limit, as a share of it, is a constraint of the trial; one over a limit that is known before
training is pruned without a report.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from optuna import Study
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from nasdrop.searchers.result import Outcome, TrialRecord
from nasdrop.searchers.roster import Roster
from nasdrop.space import Genotype

REPORTS = "reports"
"""Attribute with the reports of a trial of several objectives, which Optuna does not take."""

_OUTCOMES: dict[TrialState, Outcome] = {TrialState.COMPLETE: "done", TrialState.PRUNED: "pruned"}


def replaced(trials: Iterable[FrozenTrial]) -> set[int]:
    """Numbers of the trials whose cell was queued again because their worker was gone."""
    return {trial.user_attrs["retry_of"] for trial in trials if "retry_of" in trial.user_attrs}


def finished(trials: Sequence[FrozenTrial]) -> Iterator[FrozenTrial]:
    """Finished trials, in order; those replaced by a retry and those given back untouched are left out."""
    again = replaced(trials)
    for trial in trials:
        if "genotype" in trial.user_attrs and trial.number not in again and trial.state.is_finished():
            yield trial


def counted(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Trials that count towards the budget: finished, neither replaced nor a duplicate nor turned away by a limit."""
    return [trial for trial in finished(trials) if "duplicate_of" not in trial.user_attrs and not turned_away(trial)]


def over_limit(trial: FrozenTrial) -> bool:
    """Whether a cell costs more than it may."""
    return any(excess > 0 for excess in trial.constraints.values())


def turned_away(trial: FrozenTrial) -> bool:
    """Whether a cell was not evaluated, since it costs more than it may."""
    return trial.state is TrialState.PRUNED and over_limit(trial)


def running(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Trials that are under way and may yet count: neither replaced nor a duplicate."""
    again = replaced(trials)
    under_way = (trial for trial in trials if trial.state is TrialState.RUNNING and trial.number not in again)
    return [trial for trial in under_way if "duplicate_of" not in trial.user_attrs]


def ahead(trials: Sequence[FrozenTrial], number: int) -> list[FrozenTrial]:
    """Trials under way before which trial `number` gives way: lower ones, and those whose cell is settled."""
    return [trial for trial in running(trials) if trial.number < number or "genotype" in trial.user_attrs]


def best_value(trials: Sequence[FrozenTrial]) -> float:
    """The highest value of a trial that ran to its end within all limits; minus infinity if none has."""
    values = [trial.values[0] for trial in trials if trial.state is TrialState.COMPLETE and not over_limit(trial)]
    return max(values, default=-math.inf)


def holder(trials: Sequence[FrozenTrial], number: int, canonical: str) -> tuple[FrozenTrial | None, bool]:
    """Which other trial has the cell that trial `number` has drawn.

    A trial first shows its cell to all (`canonical`), then looks, then settles (`genotype`). So of two that draw a cell
    at once at least one sees the other: the higher number gives way, the lower one waits until the other has settled.

    Args:
        trials: of the study, read after `canonical` was written.
        number: who asks.
        canonical: its cell.

    Returns:
        The trial that has evaluated the cell or is doing so, if any; and whether a higher number that has the cell too
        has not settled yet, so that one must ask again.
    """
    contested = False
    for trial in trials:
        attributes = trial.user_attrs
        if attributes.get("canonical") != canonical or trial.number in _lineage(trials, number):
            continue
        if trial.state in _OUTCOMES or (trial.state is TrialState.FAIL and "note" in attributes):
            return trial, False
        if trial.state is TrialState.RUNNING and "duplicate_of" not in attributes:
            if trial.number < number or "genotype" in attributes:
                return trial, False
            contested = True
    return None, contested


def retire_lost(study: Study, trials: Sequence[FrozenTrial], roster: Roster, patience: float) -> list[int]:
    """Queue the cells of trials whose worker is gone, and end those trials; their numbers.

    Queueing comes first, so that a kill in between loses no cell. Two processes that retire one trial at once queue its
    cell twice, which costs a duplicate and no training. A duplicate is only ended, and so is a trial that nobody has
    signed, unless it is a queued one: what it was queued for would be lost with it.

    Args:
        study: where to queue them.
        trials: of the study.
        roster: who is gone.
        patience: seconds for which a trial may be without a worker's name, since it is created first and signed next.
    """
    lost = [trial for trial in trials if trial.state is TrialState.RUNNING]
    if not lost:
        return []
    queued, workers = replaced(trials), roster.workers()
    retired = []
    for trial in lost:
        worker = workers.get(trial.user_attrs.get("worker", ""))
        if not (roster.gone(worker) if worker else roster.unchanged(trial.number, "unsigned", patience)):
            continue
        params = trial.params if worker else trial.system_attrs.get("fixed_params")  # of one that was queued itself
        if params and trial.number not in queued and "duplicate_of" not in trial.user_attrs:
            deaths = trial.user_attrs.get("deaths", 0) + (worker is not None and not worker.left)
            study.enqueue_trial(params, user_attrs={"retry_of": trial.number, "deaths": deaths})
        with suppress(UpdateFinishedTrialError):
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        retired.append(trial.number)
    return retired


def reports_of(trial: FrozenTrial) -> dict[int, float]:
    """Values by the epoch after which they were reported."""
    if REPORTS not in trial.user_attrs:
        return trial.intermediate_values
    return {int(epoch): value for epoch, value in trial.user_attrs[REPORTS].items()}


def record(trial: FrozenTrial) -> TrialRecord:
    """A finished trial in plain values."""
    attributes, reports = trial.user_attrs, reports_of(trial)
    outcome: Outcome = "over_limit" if over_limit(trial) else _OUTCOMES.get(trial.state, "failed")
    note = str(attributes.get("note", ""))
    if "duplicate_of" in attributes:
        outcome, note = "duplicate", f"same cell as trial {attributes['duplicate_of']}"
    return TrialRecord(
        number=trial.number,
        outcome=outcome,
        genotype=Genotype.from_json(attributes["genotype"]),
        value=trial.values[0] if trial.state is TrialState.COMPLETE else reports.get(max(reports, default=0)),
        epochs=max(reports, default=0),
        parameters=int(attributes.get("parameters", 0)),
        seconds=float(attributes.get("seconds", 0.0)),
        note=note,
        costs=tuple(trial.values[1:]) if trial.state is TrialState.COMPLETE else (),
        chosen=attributes.get("chosen", {}),
    )


def _lineage(trials: Sequence[FrozenTrial], number: int) -> set[int]:
    """A trial's number, and those of the trials that it is a retry of."""
    found = {number}
    while (number := trials[number].user_attrs.get("retry_of", -1)) >= 0:
        found.add(number)
    return found
