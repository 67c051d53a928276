"""Our rules against Optuna's own pruners where all cells cost the same, and what costs and retries change."""

import random

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from nasdrop.searchers.pruning import lags, make_pruner, rivals_of
from nasdrop.searchers.trials import REPORTS
from nasdrop.settings import StudySettings

EPOCHS = 9


def settings_of(pruner, **others):
    return StudySettings(**({"pruner": pruner, "epochs": EPOCHS, "min_epochs": 2} | others))


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("pruner", ["none", "median", "successive_halving", "hyperband"])
def test_with_equal_costs_the_decisions_are_optunas(pruner, factor):
    """Two studies of equal name, trials and values: one of a single objective with Optuna's pruner, and ours."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    settings = settings_of(pruner, reduction_factor=factor)
    theirs = optuna.create_study(direction="maximize", pruner=make_pruner(settings), study_name="s")
    ours = optuna.create_study(directions=["maximize", "minimize"], study_name="s")
    rng, decisions = random.Random(1), []
    for number in range(40):
        one, other = theirs.ask(), ours.ask()
        other.set_user_attr("parameters", 7)
        level, reports = rng.random(), {}
        for epoch in range(1, EPOCHS):
            value = level * epoch + rng.random()
            reports[epoch] = value
            one.report(value, epoch)
            other.set_user_attr(REPORTS, {str(at): known for at, known in reports.items()})
            rivals = rivals_of(ours.get_trials(deepcopy=False), number, {"parameters": 7}, ["parameters"])
            stop = lags(settings, "s", number, reports, rivals)
            assert stop == one.should_prune(), (number, epoch)
            decisions.append(stop)
            if stop:
                theirs.tell(one, state=TrialState.PRUNED)
                ours.tell(other, state=TrialState.PRUNED)
                break
        else:
            theirs.tell(one, level)
            ours.tell(other, [level, 7])
    assert any(decisions) == (pruner != "none") and not all(decisions)


def trial(state=TrialState.PRUNED, cost=5, reports=None, **attributes):
    attributes |= {"cost": cost} | ({} if reports is None else {REPORTS: reports})
    return create_trial(state=state, user_attrs=attributes)


def test_rivals_cost_no_more_and_have_reported():
    study = optuna.create_study(directions=["maximize", "minimize"])
    told = {"1": 0.5}
    trials = [
        trial(reports=told),
        trial(reports=told, cost=5.1),
        trial(reports=told, state=TrialState.RUNNING, cost=1),
        trial(reports=None),
        trial(reports=told, state=TrialState.FAIL),
        trial(reports=told, duplicate_of=0),
        trial(reports=told, cost=4),
    ]
    study.add_trials(trials)
    rivals = rivals_of(study.trials, 6, {"cost": 5}, ["cost"])
    assert [rival.number for rival in rivals] == [0, 2]
    assert [rival.number for rival in rivals_of(study.trials, 6, {}, ["joules"])] == [0, 1, 2]  # costs told too late


def test_a_training_that_went_on_elsewhere_is_judged_by_what_it_reports_first():
    """A rung is that of the first report at or after its epoch."""
    settings = settings_of("successive_halving")
    rivals = [trial(reports={"2": 0.5, "4": 0.7}), trial(reports={"3": 0.6})]
    assert lags(settings, "s", 9, {3: 0.55}, rivals)
    assert not lags(settings, "s", 9, {3: 0.65}, rivals)
    assert lags(settings, "s", 9, {2: 0.9, 4: 0.6}, rivals) and not lags(settings, "s", 9, {2: 0.1, 3: 0.1}, rivals)
