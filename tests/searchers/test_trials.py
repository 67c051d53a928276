"""Who keeps a cell that two have drawn, and what becomes of a trial whose worker is gone."""

import itertools

import optuna
import pytest
from optuna.trial import TrialState

from nasdrop.searchers.roster import Roster
from nasdrop.searchers.trials import ahead, counted, finished, holder, retire_lost, running

CELL = {"canonical": "cell"}
SETTLED = CELL | {"genotype": "{}"}


@pytest.fixture
def study():
    return optuna.create_study(direction="maximize")


def add(study, state=TrialState.RUNNING, value=None, **attributes):
    study.add_trial(optuna.trial.create_trial(state=state, value=value, user_attrs=attributes))
    return len(study.trials) - 1


def held(study, number):
    other, contested = holder(study.trials, number, "cell")
    return (other and other.number), contested


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"state": TrialState.COMPLETE, "value": 1.0, **SETTLED}, (0, False)),
        ({"state": TrialState.PRUNED, "value": 1.0, **SETTLED}, (0, False)),
        ({"state": TrialState.FAIL, **SETTLED, "note": "diverged"}, (0, False)),
        ({"state": TrialState.FAIL, **SETTLED}, (None, False)),  # interrupted, or given back
        ({"state": TrialState.WAITING, **CELL}, (None, False)),
        ({"canonical": "another"}, (None, False)),
        ({}, (None, False)),  # still drawing: it will look after it has shown its cell
        (CELL, (0, False)),
        (SETTLED, (0, False)),
        ({**SETTLED, "duplicate_of": 7}, (None, False)),  # has given way itself
    ],
)
def test_a_lower_number(study, other, expected):
    add(study, **other)
    assert held(study, add(study, **CELL)) == expected


@pytest.mark.parametrize(("other", "expected"), [(CELL, (None, True)), (SETTLED, (1, False)), ({}, (None, False))])
def test_a_higher_number_keeps_the_cell_only_if_it_has_settled(study, other, expected):
    mine = add(study, **CELL)
    add(study, **other)
    assert held(study, mine) == expected


def test_a_retry_is_not_held_up_by_what_it_is_a_retry_of(study):
    add(study, **SETTLED)
    add(study, **SETTLED, retry_of=0)
    assert held(study, add(study, **CELL, retry_of=1)) == (None, False)


@pytest.mark.parametrize("order", sorted(set(itertools.permutations("AAABBB"))))
def test_of_two_at_once_exactly_one_keeps_the_cell_in_every_order(study, order):
    """Two workers in three steps each, show, look, settle, in all 20 orders; who must look again does so."""
    numbers = {"A": add(study), "B": add(study)}
    steps, kept = {"A": 0, "B": 0}, []
    queue = list(order)
    for _ in range(20):
        name = queue.pop(0) if queue else min((n for n in steps if steps[n] < 3), default=None)
        if name is None:
            break
        trial = study.trials[numbers[name]]
        if steps[name] == 1 and held(study, numbers[name])[1]:
            queue.append(name)  # look again, after the other's next step
            continue
        if steps[name] == 1:
            (kept.append(name) if held(study, numbers[name])[0] is None else give_way(study, trial))
        key, value = (("canonical", "cell"), ("looked", True), ("genotype", "{}"))[steps[name]]
        steps[name] += 1
        if study.trials[numbers[name]].state is TrialState.RUNNING:
            study._storage.set_trial_user_attr(trial._trial_id, key, value)
    assert len(kept) == 1


def test_a_queued_trial_gives_way_to_a_later_one_that_has_settled(study):
    """Queued before and asked after it: else both would take the last vacancy."""
    queued, later, waiting = add(study), add(study, genotype="{}"), add(study)
    assert [trial.number for trial in ahead(study.trials, queued)] == [later]
    assert [trial.number for trial in ahead(study.trials, waiting)] == [queued, later]


def give_way(study, trial):
    study.tell(trial.number, state=TrialState.FAIL)


def test_the_cells_of_the_lost_are_queued_once_and_count_once(study):
    roster = Roster(study)
    distribution = {"edge": optuna.distributions.CategoricalDistribution(("a", "b"))}
    with roster.joined() as worker:
        trial = study.ask(distribution)
        trial.set_user_attr("worker", worker.name)
        trial.set_user_attr("genotype", "{}")
        assert retire_lost(study, study.trials, roster, patience=30) == []  # alive
    assert retire_lost(study, study.trials, roster, patience=30) == [0]
    assert retire_lost(study, study.trials, roster, patience=30) == []
    again = study.ask(distribution)
    assert again.params == trial.params and again.user_attrs == {"retry_of": 0, "deaths": 0}  # it had signed off
    assert list(finished(study.trials)) == [] == counted(study.trials)


def test_a_trial_without_a_worker_is_lost_after_a_while(study):
    now = [0.0]
    roster = Roster(study, clock=lambda: now[0])
    study.ask()
    assert retire_lost(study, study.trials, roster, patience=30) == []
    now[0] = 31
    assert retire_lost(study, study.trials, roster, patience=30) == [0]
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]  # it had drawn nothing, so nothing is queued


def test_a_queued_trial_that_was_killed_before_it_was_signed_is_queued_again(study):
    now = [0.0]
    roster = Roster(study, clock=lambda: now[0])
    study.enqueue_trial({"edge": "b"}, user_attrs={"retry_of": 7, "deaths": 1})
    study.ask()  # and its worker is killed here
    assert retire_lost(study, study.trials, roster, patience=30) == []
    now[0] = 31
    assert retire_lost(study, study.trials, roster, patience=30) == [0]
    again = study.ask({"edge": optuna.distributions.CategoricalDistribution(("a", "b"))})
    assert again.params == {"edge": "b"} and again.user_attrs == {"retry_of": 0, "deaths": 1}


def test_a_duplicate_whose_worker_was_killed_is_ended_and_not_queued(study):
    roster = Roster(study)
    with roster.joined() as worker:
        trial = study.ask()
        trial.set_user_attr("worker", worker.name)
        trial.set_user_attr("duplicate_of", 3)
    retire_lost(study, study.trials, roster, patience=30)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]


def test_what_was_replaced_is_not_under_way(study):
    """Killed between queueing a cell again and ending its trial: it must not take the place of its own retry."""
    study.ask()
    study.enqueue_trial({}, user_attrs={"retry_of": 0})
    assert running(study.trials) == []
