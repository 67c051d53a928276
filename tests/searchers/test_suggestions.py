"""Settings as Optuna's parameters: every sampler chooses within their ranges, and only those that act."""

import random
from collections import Counter

import optuna
import pytest

from nasdrop.searchers.evaluators import Evaluation
from nasdrop.searchers.result import Silent
from nasdrop.searchers.samplers import SAMPLERS
from nasdrop.searchers.storage import open_study
from nasdrop.searchers.study import StudySearch
from nasdrop.searchers.suggestions import Suggestions
from nasdrop.searchers.trials import counted
from nasdrop.settings import BesideSettings, StudySettings
from nasdrop.space import SearchSpace

SPACE = SearchSpace.load("tiny")
OPTIONS = {
    "drop.mode": ["row", "batch"],
    "drop.p": {"low": 0.0, "high": 0.6, "when": {"drop.mode": "row"}},
    "train.learning_rate": {"low": 1e-3, "high": 1.0, "log": True},
    "train.momentum": {"low": 0.5, "high": 0.9, "step": 0.2},
    "network.channels": {"low": 4, "high": 16, "step": 4},
    "train.batch_size": {"low": 1, "high": 64, "log": True},
}
BESIDE = {key: BesideSettings.model_validate(options) for key, options in OPTIONS.items()}


def check(chosen):
    assert list(chosen) == [key for key in OPTIONS if key != "drop.p" or chosen["drop.mode"] == "row"]
    assert chosen["drop.mode"] in ("row", "batch") and 0 <= chosen.get("drop.p", 0) <= 0.6
    assert 1e-3 <= chosen["train.learning_rate"] <= 1
    assert round((chosen["train.momentum"] - 0.5) / 0.2, 9) in (0, 1, 2)
    assert chosen["network.channels"] in (4, 8, 12, 16)
    assert type(chosen["train.batch_size"]) is int and 1 <= chosen["train.batch_size"] <= 64


def test_random_draws_keep_to_the_ranges_evenly():
    suggestions, dice = Suggestions(BESIDE), random.Random(0)
    drawn = [suggestions.draw(dice) for _ in range(400)]
    for chosen in drawn:
        check(chosen)
    low = sum(chosen["train.learning_rate"] < 10**-1.5 for chosen in drawn)
    assert abs(low - 200) < 4 * (400 * 0.25) ** 0.5  # the middle of the logarithmic scale, within 4 standard errors
    assert set(Counter(chosen["network.channels"] for chosen in drawn)) == {4, 8, 12, 16}


class Valued:
    """A value of the settings alone; remembers what it was asked for."""

    known_costs = ()

    def __init__(self, asked=None, chosen=None):
        self.asked, self.chosen = [] if asked is None else asked, chosen

    def under(self, chosen):
        return Valued(self.asked, chosen)

    def __call__(self, genotype, report):
        self.asked.append((SPACE.canonical(genotype), tuple(self.chosen.items())))
        return Evaluation(1 - abs(self.chosen.get("drop.p", 0.6) - 0.2))


def search(path, evaluator, beside=OPTIONS, **settings):
    settings = StudySettings(**({"trials": 25, "epochs": 1, "pruner": "none", "beside": beside} | settings))
    study = open_study(path, "s", Silent())
    return StudySearch(SPACE, settings, evaluator, study=study, seed=3, observer=Silent())


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_chooses_settings_beside_the_cell(tmp_path, sampler, caplog):
    optuna.logging.enable_propagation()
    evaluator = Valued()
    trials = 14 if sampler == "gp" else 25
    result = search(tmp_path / "s.journal", evaluator, sampler=sampler, trials=trials).run()
    optuna.logging.disable_propagation()
    assert len(evaluator.asked) == len(set(evaluator.asked)) == trials
    for _, chosen in evaluator.asked:
        check(dict(chosen))
    best = result.best(1)[0]
    assert result.chosen == best.chosen and best.value == 1 - abs(best.chosen.get("drop.p", 0.6) - 0.2)
    assert not [line for line in caplog.messages if "ndependent" in line]


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_no_cell_is_tried_twice_under_equal_settings_and_an_exhausted_choice_ends(tmp_path, sampler):
    """A space with one cell and six different settings: six trials count, and the search ends."""
    evaluator = Valued()
    beside = {"drop.mode": ["row", "batch"], "network.channels": [1, 2, 3]}
    found = search(tmp_path / "s.journal", evaluator, beside=beside, trials=50, sampler=sampler)
    found.space = one_cell()
    found._distributions = {}
    found.run()
    assert len(evaluator.asked) == len(set(evaluator.asked)) == 6
    assert len(counted(found.trials())) == 6


def one_cell():
    """A stand-in for a space of one genotype."""

    class Space:
        size = 1
        cell = SPACE.sample(random.Random(0))
        canonical = staticmethod(SPACE.canonical)

        def decode(self, values):
            return self.cell

        def encode(self, genotype):
            return {}

        def sample(self, dice):
            return self.cell

        def enumerate(self):
            return iter([self.cell])

    return Space()


def test_a_retried_trial_has_the_settings_of_the_lost_one(tmp_path):
    first = search(tmp_path / "s.journal", Valued(), trials=1)
    trial = first.study.ask(first._distributions)
    trial.set_user_attr("worker", "gone")
    chosen = Suggestions(BESIDE).suggest(trial)
    first.study.enqueue_trial(trial.params, user_attrs={"retry_of": trial.number, "deaths": 1})
    first.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    evaluator = Valued()
    search(tmp_path / "s.journal", evaluator, trials=1).run()
    ((_, again),) = evaluator.asked
    assert dict(again) == chosen
