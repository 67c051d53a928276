"""The rung pruner against Optuna's own successive halving, whose rungs it can be given."""

import math
import random

import optuna
import pytest
from optuna.pruners import SuccessiveHalvingPruner
from optuna.trial import TrialState

from nasdrop.searchers.rungs import RungPruner


def outcomes(pruner, direction, seed, factor, trials=60):
    """The step at which each trial of a study is pruned; None where it reaches its end."""
    study = optuna.create_study(direction=direction, pruner=pruner)
    dice, found = random.Random(seed), []
    for _ in range(trials):
        trial, at = study.ask(), None
        for step in range(1, factor**3 + 1):
            trial.report(round(dice.random(), 1), step)  # with ties
            if trial.should_prune():
                at = step
                break
        study.tell(trial, None if at else dice.random(), state=TrialState.PRUNED if at else None)
        found.append(at)
    return found


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize("factor", [2, 3])
def test_at_optunas_rungs_it_decides_as_optuna_does(direction, factor):
    for seed in range(3):
        own = outcomes(RungPruner([factor**rung for rung in range(4)], factor), direction, seed, factor)
        optunas = outcomes(SuccessiveHalvingPruner(min_resource=1, reduction_factor=factor), direction, seed, factor)
        assert own == optunas
        assert {1, factor} <= set(own)


def told(study, step, value, state=TrialState.PRUNED, **attributes):
    trial = study.ask()
    for key, attribute in attributes.items():
        trial.set_user_attr(key, attribute)
    trial.report(value, step)
    study.tell(trial, None if state is not TrialState.COMPLETE else value, state=state)


def test_nothing_is_pruned_between_rungs_and_what_is_no_number_is_pruned_at_one():
    study = optuna.create_study(direction="maximize", pruner=RungPruner([2], 2))
    for value in (0.9, 0.8, 0.7):
        told(study, 2, value)
    trial = study.ask()
    assert not trial.should_prune()
    trial.report(0.0, 1)
    assert not trial.should_prune()
    trial.report(math.nan, 2)
    assert trial.should_prune()


def test_lost_trials_and_duplicates_do_not_compete():
    study = optuna.create_study(direction="maximize", pruner=RungPruner([2], 2))
    told(study, 2, 0.9, state=TrialState.FAIL)
    told(study, 2, 0.8, duplicate_of=0)
    trial = study.ask()
    trial.report(0.5, 2)
    assert not trial.should_prune()  # it is alone, and the first to come goes on
