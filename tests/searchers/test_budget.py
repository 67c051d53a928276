from dataclasses import replace

import optuna
import pytest

from nasdrop.searchers.budget import Budget
from nasdrop.searchers.roster import Worker
from nasdrop.settings import StudySettings


@pytest.fixture
def trials():
    study = optuna.create_study(direction="maximize")
    for value in (0.5, 0.9, 0.7):
        study.add_trial(optuna.trial.create_trial(value=value, user_attrs={"genotype": "{}"}))
    study.add_trial(optuna.trial.create_trial(value=0.9, user_attrs={"genotype": "{}", "duplicate_of": 1}))
    return study.trials


def worker(hours):
    return replace(Worker.this(), joined=1000.0, seen=1000.0 + 3600 * hours)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"trials": 3}, "all 3 trials are done"),
        ({"trials": 4}, None),
        ({"target": 0.9}, "a cell of 0.9000 reaches the target of 0.9"),
        ({"target": 0.91}, None),
        ({"timeout_minutes": 2}, "the time limit of 2 minutes is reached"),
        ({"timeout_minutes": 3}, None),
        ({"process_hours": 1.75}, "the workers have used their 1.75 hours"),
        ({"process_hours": 1.76}, None),
        ({"trials": 4, "target": 0.8, "process_hours": 9.0}, "a cell of 0.9000 reaches the target of 0.8"),
    ],
)
def test_whichever_limit_comes_first(trials, settings, reason):
    now = iter([0.0, 150.0])
    budget = Budget(StudySettings(**settings), clock=lambda: next(now))
    assert budget.spent(trials, lambda: [worker(1.5), worker(0.25)]) == reason
