"""The driver with evaluators that cost nothing: budgets, duplicates, pruning, failures, interruption and resumption."""

import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress

import optuna
import pytest

from nasdrop.errors import RunError
from nasdrop.searchers.evaluators import Evaluation, Failed
from nasdrop.searchers.result import Silent
from nasdrop.searchers.samplers import CellSampler
from nasdrop.searchers.storage import open_study
from nasdrop.searchers.study import StudySearch
from nasdrop.settings import StudySettings
from nasdrop.space import SearchSpace

SPACE = SearchSpace.load("tiny")


def value_of(genotype, space=SPACE) -> float:
    """A value that depends on the function of the cell alone."""
    return random.Random(space.canonical(genotype)).random()


def skips_of(genotype) -> int:
    return sum(edge.operation == "skip_connect" for cell in genotype.cells for edge in cell.edges)


class Counting:
    """Reports `epochs` equal values and remembers which cells it was asked for."""

    def __init__(self, epochs=4, fail=lambda genotype: False, space=SPACE):
        self.epochs, self.fail, self.space, self.seen, self.trained = epochs, fail, space, Counter(), 0
        self.charged = Counter()

    def __call__(self, genotype, report):
        self.seen[self.space.canonical(genotype)] += 1
        if self.fail(genotype):
            raise Failed("loss is nan")
        for epoch in range(1, self.epochs + 1):
            self.trained += 1
            report(epoch, value_of(genotype, self.space))
        return Evaluation(value_of(genotype, self.space), {"loss": 0.5})

    known_costs = ("parameters", "skips")

    def cost(self, genotype, name):
        """Seven weights; skip connections, whose number differs."""
        self.charged[self.space.canonical(genotype), name] += 1
        return 7 if name == "parameters" else skips_of(genotype)


class Notes(Silent):
    def __init__(self):
        self.lines, self.records = [], []

    def note(self, line):
        self.lines.append(line)

    def trial_ended(self, record):
        self.records.append(record)


def search(path, evaluator, observer=None, **settings):
    settings = StudySettings(**({"epochs": 4, "trials": 12, "pruner": "none"} | settings))
    observer = observer or Silent()
    study = open_study(path, "s", observer)
    return StudySearch(SPACE, settings, evaluator, study=study, seed=3, observer=observer)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study.journal"


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_the_budget_counts_distinct_cells_and_the_best_is_the_best(path, sampler):
    evaluator, notes = Counting(), Notes()
    result = search(path, evaluator, notes, trials=40, sampler=sampler).run()
    assert sum(evaluator.seen.values()) == len(evaluator.seen) == 40
    assert result.score == max(value_of(record.genotype) for record in result.history)
    assert value_of(result.genotype) == result.score
    for record in notes.records:
        assert record.value == value_of(record.genotype)
        assert record.parameters == 7
        assert (record.outcome == "duplicate") == ("same cell as trial" in record.note)
    assert [record.number for record in result.best(3)] == [
        record.number
        for record in sorted(
            (record for record in result.history if record.outcome == "done"), key=lambda record: -record.value
        )[:3]
    ]


def test_a_second_call_adds_nothing_and_a_larger_budget_goes_on(path):
    evaluator = Counting()
    first = search(path, evaluator).run()
    again = search(path, evaluator).run()
    assert again.history == first.history and sum(evaluator.seen.values()) == 12
    more = search(path, evaluator, trials=15).run()
    assert more.history[: len(first.history)] == first.history
    assert sum(evaluator.seen.values()) == len(evaluator.seen) == 15


def test_equal_seeds_give_equal_searches(tmp_path):
    runs = [search(tmp_path / name, Counting(), trials=15).run() for name in "ab"]
    assert [record.genotype for record in runs[0].history] == [record.genotype for record in runs[1].history]


def test_what_lags_is_pruned(path):
    evaluator = Counting(epochs=8)
    result = search(path, evaluator, trials=30, epochs=8, pruner="successive_halving", min_epochs=2).run()
    outcomes = Counter(record.outcome for record in result.history)
    assert outcomes["pruned"] > 5 and outcomes["done"] >= 1
    assert evaluator.trained < 0.8 * 30 * 8
    pruned = [record for record in result.history if record.outcome == "pruned"]
    assert all(record.epochs in (2, 4) and record.parameters == 7 for record in pruned)
    assert result.score >= max(record.value for record in pruned)


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_the_other_pruners_run(path, pruner):
    result = search(path, Counting(epochs=4), trials=10, pruner=pruner, min_epochs=1).run()
    assert len(result.history) >= 10


def test_a_failed_cell_is_a_failed_trial_not_a_failed_search(path):
    cells = []

    def every_third(genotype):
        cells.append(genotype)
        return len(cells) % 3 == 0

    result = search(path, Counting(fail=every_third)).run()
    failed = [record for record in result.history if record.outcome == "failed"]
    assert len(failed) == 4
    assert {(record.value, record.note) for record in failed} == {(None, "loss is nan")}


def test_a_search_in_which_all_fail_says_why(path):
    with pytest.raises(RunError, match="no trial ran to its end: loss is nan") as caught:
        search(path, Counting(fail=lambda genotype: True)).run()
    assert caught.value.exit_code == 1


SMALL = """
name = "small"
source = "this test"
skeleton = "darts"
"""
CELL = """
[cells.{name}]
inputs = 2
nodes = 1
keep = 2
output = "all"
operations = ["skip_connect", "sep_conv_3x3"]
"""


def test_a_small_space_is_exhausted_not_searched_forever(path, tmp_path):
    (tmp_path / "small.toml").write_text(SMALL + CELL.format(name="normal") + CELL.format(name="reduction"))
    space = SearchSpace.load(str(tmp_path / "small.toml"))
    classes = {space.canonical(genotype) for genotype in space.enumerate()}
    assert len(classes) == space.size == 16
    notes, evaluator = Notes(), Counting(epochs=1, space=space)
    settings = StudySettings(epochs=1, trials=17, pruner="none", sampler="random")
    study = open_study(path, "s", notes)
    result = StudySearch(space, settings, evaluator, study=study, seed=0, observer=notes).run()
    assert {space.canonical(record.genotype) for record in result.history} == classes
    assert sum(evaluator.seen.values()) == 16
    assert "exhausted" in notes.lines[-1]


def test_the_time_limit_stops_before_the_next_trial(path):
    notes = Notes()
    search(path, Counting(), notes).run()
    limited = search(path, Counting(), notes, trials=1000, timeout_minutes=1e-9)
    assert len(limited.run().history) == len(search(path, Counting()).result().history)
    assert "time limit" in notes.lines[-1]


def test_an_interrupted_trial_is_asked_again_first_and_counts_once(path):
    class Interrupted(Counting):
        def __call__(self, genotype, report):
            if sum(self.seen.values()) == 5:
                self.last = genotype
                report(1, 0.5)
                raise KeyboardInterrupt
            return super().__call__(genotype, report)

    broken = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        search(path, broken).run()
    notes, evaluator = Notes(), Counting()
    result = search(path, evaluator, notes).run()
    assert notes.lines == ["trial 5 was interrupted; its cell, if it had one, goes first"]
    assert notes.records[0].genotype == broken.last
    assert sum(broken.seen.values()) + sum(evaluator.seen.values()) == 12
    assert 5 not in {record.number for record in result.history}


KILLED = """
import os, random, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import test_study
from nasdrop.searchers.result import Silent

class Killed(test_study.Counting):
    def __call__(self, genotype, report):
        report(1, 0.1)
        if sum(self.seen.values()) == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(genotype, report)

test_study.search(Path(sys.argv[1]), Killed()).run()
"""


def test_kill_9_in_the_middle_of_trials_loses_and_repeats_nothing(path):
    here = str(__file__).rpartition("/")[0]
    for after in (1, 2, 3):
        done = subprocess.run([sys.executable, "-c", KILLED, str(path), str(after), here], check=False)
        assert done.returncode == -signal.SIGKILL
    evaluator = Counting()
    result = search(path, evaluator).run()
    finished = [record for record in result.history if record.outcome != "duplicate"]
    assert len(finished) == 12
    assert len({SPACE.canonical(record.genotype) for record in finished}) == 12
    assert sum(evaluator.seen.values()) == 12 - (1 + 2 + 3)
    states = Counter(trial.state for trial in search(path, evaluator).study.trials)
    assert states[optuna.trial.TrialState.RUNNING] == states[optuna.trial.TrialState.WAITING] == 0


def most_skips(path, evaluator, most, **settings):
    """A search in which a cell may have so many skip connections."""
    return search(path, evaluator, limits={"skips": most}, **settings)


@pytest.mark.parametrize("sampler", ["random", "tpe", "bayesian", "evolution", "local_search", "nsga2"])
def test_cells_over_a_limit_are_never_evaluated_and_do_not_count(path, sampler):
    evaluator = Counting()
    result = most_skips(path, evaluator, 0.5, trials=15, sampler=sampler).run()
    outcomes = Counter(record.outcome for record in result.history)
    assert outcomes["done"] == 15 == len(evaluator.seen) and outcomes["over_limit"] > 0
    for record in result.history:
        assert (skips_of(record.genotype) > 0.5) == (record.outcome == "over_limit") or record.outcome == "duplicate"
        if record.outcome == "over_limit":
            assert record.value is None and record.note == f"skips of {skips_of(record.genotype)}, at most 0.5 allowed"
    assert skips_of(result.genotype) == 0


def test_limits_are_optunas_constraints(path):
    found = most_skips(path, Counting(), 2, trials=10, sampler="random")
    found.run()
    states = {}
    for trial in found.study.trials:
        skips = skips_of(SPACE.decode(trial.params))
        assert trial.constraints == {"skips": skips / 2 - 1}
        states.setdefault(trial.state, set()).add(skips > 2)
    assert states == {optuna.trial.TrialState.COMPLETE: {False}, optuna.trial.TrialState.PRUNED: {True}}


def test_limits_with_several_objectives_keep_what_is_over_off_the_front(path):
    settings = StudySettings(
        epochs=4, trials=20, pruner="none", sampler="tpe", costs=("skips",), limits={"skips": 1}, startup_trials=5
    )
    study = open_study(path, "s", Silent(), 1)
    result = StudySearch(SPACE, settings, Counting(), study=study, seed=3, observer=Silent()).run()
    assert any(record.outcome == "over_limit" for record in result.history)
    assert {record.costs for record in result.front()} <= {(0.0,), (1.0,)}
    assert len(result.best(99)) == 20


def test_a_limit_on_what_only_an_evaluation_tells(path):
    """The cell has been evaluated, so it counts; it is no best cell."""

    class Late(Counting):
        known_costs = None

        def __call__(self, genotype, report):
            value = super().__call__(genotype, report).value
            return Evaluation(value, {"joules": 100 * value})

    evaluator = Late()
    result = search(path, evaluator, limits={"joules": 60.0}, sampler="bayesian").run()
    assert len(evaluator.seen) == 12 and result.score <= 0.6
    over = [record for record in result.history if record.outcome == "over_limit"]
    assert over and all(record.value > 0.6 and "joules of" in record.note for record in over)
    assert len(over) + len(result.best(99)) == 12
    more = search(path, evaluator, limits={"joules": 60.0}, sampler="bayesian", target=0.99, trials=14).run()
    assert len(more.history) >= 14  # a value over the limit reaches no target


def test_limits_that_leave_nothing_end_the_search(path, monkeypatch):
    monkeypatch.setattr("nasdrop.searchers.study._TURNED_AWAY_IN_A_ROW", 8)
    notes, evaluator = Notes(), Counting()
    with pytest.raises(RunError, match=r"no trial ran to its end: 8 cells were over search\.limits"):
        search(path, evaluator, notes, limits={"parameters": 6.9}, sampler="evolution").run()
    assert not evaluator.seen and notes.lines == ["8 cells in a row were over search.limits: no more are tried"]


def test_costs_are_told_once_a_cell_also_after_an_interruption(path):
    class Interrupted(Counting):
        def __call__(self, genotype, report):
            if sum(self.seen.values()) == 3:
                raise KeyboardInterrupt
            return super().__call__(genotype, report)

    broken, evaluator = Interrupted(), Counting()
    with pytest.raises(KeyboardInterrupt):
        most_skips(path, broken, 9).run()
    result = most_skips(path, evaluator, 9).run()
    charged = broken.charged + evaluator.charged
    assert set(charged.values()) == {1} and {name for _, name in charged} == {"parameters", "skips"}
    assert all(record.parameters == 7 for record in result.history)


def test_the_last_trial_of_the_budget_is_asked_again_too(tmp_path):
    """A lost trial does not take the place of its own retry."""

    class Interrupted(Counting):
        def __call__(self, genotype, report):
            if sum(self.seen.values()) == 11:
                self.last = genotype
                raise KeyboardInterrupt
            return super().__call__(genotype, report)

    broken = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "study.journal", broken).run()
    result = search(tmp_path / "study.journal", Counting()).run()
    kept = [record.genotype for record in result.history if record.outcome != "duplicate"]
    assert len(kept) == 12 and broken.last in kept


def two_goals(path, evaluator, observer=None, **settings):
    """Accuracy against skip connections, pruned after two and four of eight epochs."""
    asked = {"epochs": 8, "trials": 30, "pruner": "successive_halving", "costs": ("skips",), "startup_trials": 5}
    settings = StudySettings(**({**asked, "sampler": "random"} | settings))
    observer = observer or Silent()
    study = open_study(path, "s", observer, 1)
    return StudySearch(SPACE, settings, evaluator, study=study, seed=3, observer=observer)


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2", "bayesian"])
def test_pruning_with_several_objectives(path, sampler):
    """Only what has a rival that costs no more stops; nothing that stopped is on the front, or best."""
    evaluator = Counting(epochs=8)
    found = two_goals(path, evaluator, sampler=sampler)
    result = found.run()
    pruned = [record for record in result.history if record.outcome == "pruned"]
    assert len(pruned) > 3 and evaluator.trained < 0.9 * 30 * 8 and len(evaluator.seen) == 30
    cells = [record for record in result.history if record.outcome in ("done", "pruned")]
    for record in pruned:
        assert record.epochs in (2, 4) and record.value == value_of(record.genotype)
        earlier = [one for one in cells if skips_of(one.genotype) <= skips_of(record.genotype)]
        assert any(one.value > record.value for one in earlier)
    assert not {record.number for record in pruned} & {record.number for record in result.front()}
    assert {trial.number for trial in found.study.best_trials} >= {record.number for record in result.front()}
    lagging = [trial for trial in found.study.trials if "values_when_pruned" in trial.user_attrs]
    assert {trial.number for trial in lagging} >= {record.number for record in pruned}
    assert all(
        list(trial.user_attrs["values_when_pruned"])[1] == skips_of(SPACE.decode(trial.params)) for trial in lagging
    )


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_the_other_pruners_with_several_objectives(path, pruner):
    result = two_goals(path, Counting(epochs=8), pruner=pruner, trials=40).run()
    assert {record.outcome for record in result.history} >= {"done", "pruned"}


def test_an_interruption_changes_no_decision_with_several_objectives(tmp_path):
    """Trials that are stopped after each epoch and go on from there end like those that run through."""

    class Continuing(Counting):
        """Keeps where each training stands, as checkpoints do, and is interrupted twice a training."""

        def __init__(self):
            super().__init__(epochs=8)
            self.at = Counter()

        def __call__(self, genotype, report):
            form = SPACE.canonical(genotype)
            for epoch in range(self.at[form] + 1, 9):
                self.at[form] = epoch
                report(epoch, value_of(genotype))
                if epoch in (1, 3):
                    raise KeyboardInterrupt
            return Evaluation(value_of(genotype))

    class InOrder(CellSampler):
        """The same cells in the same order, whatever becomes of them."""

        several_objectives = True
        cells = tuple(SPACE.sample(random.Random(number)) for number in range(40))

        def propose(self, history):
            return next(cell for cell in self.cells if self.canonical(cell) not in history)

    def started(path, evaluator):
        search = two_goals(path, evaluator)
        search.study.sampler = InOrder(SPACE)
        return search

    through, broken, again = started(tmp_path / "a", Counting(epochs=8)).run(), Continuing(), None
    while again is None:
        with suppress(KeyboardInterrupt):
            again = started(tmp_path / "b", broken).run()
    ends = [
        {SPACE.canonical(one.genotype): (one.outcome, one.epochs) for one in run.history if one.outcome != "duplicate"}
        for run in (through, again)
    ]
    assert ends[0] == ends[1] and {outcome for outcome, _ in ends[0].values()} == {"done", "pruned"}
