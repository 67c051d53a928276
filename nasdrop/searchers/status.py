"""How a search stands: its trials, its workers, its best cell, the time that is left."""

import math
import statistics
from collections import Counter
from dataclasses import dataclass

import optuna
from optuna.trial import TrialState

from nasdrop.searchers.result import TrialRecord
from nasdrop.searchers.roster import Roster, Worker
from nasdrop.searchers.trials import counted, finished, record, running
from nasdrop.settings import StudySettings


@dataclass(frozen=True)
class Status:
    """A study at one moment.

    Attributes:
        done: trials that count towards the budget.
        wanted: the budget.
        outcomes: how often each outcome has occurred; `interrupted` counts trials that were asked again.
        running: trial numbers by the name of their worker.
        workers: those that are alive.
        best: the best finished trials, best first.
        process_hours: worked by all workers that there were.
        seconds_left: until the budget of trials is spent at the present pace; None: nobody works, or nothing is known.
    """

    done: int
    wanted: int
    outcomes: dict[str, int]
    running: dict[str, int]
    workers: tuple[Worker, ...]
    best: tuple[TrialRecord, ...]
    process_hours: float
    seconds_left: float | None


def read_status(study: optuna.Study, settings: StudySettings, best: int = 5) -> Status:
    """How a study stands.

    Args:
        study: the study.
        settings: its budget.
        best: how many of the best trials to tell.
    """
    trials, roster = study.get_trials(deepcopy=False), Roster(study)
    entries = roster.workers()
    alive = tuple(worker for worker in entries.values() if not roster.gone(worker))
    records = [record(trial) for trial in finished(trials)]
    done = counted(trials)
    ended = sorted((one for one in records if one.outcome == "done"), key=lambda one: -(one.value or -math.inf))
    seconds = [one.user_attrs["seconds"] for one in done if "seconds" in one.user_attrs]
    left = max(0, settings.trials - len(done))
    queued = sum(trial.state is TrialState.WAITING for trial in trials)
    lost = sum("retry_of" in trial.user_attrs for trial in trials)
    return Status(
        done=len(done),
        wanted=settings.trials,
        outcomes={**Counter(one.outcome for one in records), "interrupted": lost, "queued": queued},
        running={trial.user_attrs["worker"]: trial.number for trial in running(trials) if "worker" in trial.user_attrs},
        workers=alive,
        best=tuple(ended[:best]),
        process_hours=sum(worker.seconds for worker in entries.values()) / 3600,
        seconds_left=left * statistics.fmean(seconds) / len(alive) if seconds and alive else None,
    )
