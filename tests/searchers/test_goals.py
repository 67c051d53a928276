"""Costs and limits that nobody tells, and what a sampler cannot do, are said before anything runs."""

import math

import pytest

from nasdrop.errors import ConfigError
from nasdrop.searchers.evaluators import Failed
from nasdrop.searchers.goals import check_goals, limits_text, told_cost
from nasdrop.settings import StudySettings

KNOWN = ("parameters", "multiply_adds", "latency")


def test_every_mistake_is_told_at_once():
    settings = StudySettings(costs=("latncy", "joules", "joules"), limits={"paramters": 1e6}, sampler="evolution")
    with pytest.raises(ConfigError) as caught:
        check_goals(settings, KNOWN)
    assert list(caught.value.lines) == [
        "search.costs: must be a cost that the evaluator tells, got 'latncy'; did you mean 'latency'?",
        *2 * ["search.costs: must be a cost that the evaluator tells, got 'joules'; "
              "known: latency, multiply_adds, parameters"],
        "search.limits: must be a cost that the evaluator tells, got 'paramters'; did you mean 'parameters'?",
        "search.costs: must differ from each other, got ['latncy', 'joules', 'joules']",
        "search.sampler: must know several objectives where there are costs, got 'evolution'; "
        "known: bayesian, gp, nsga2, nsga3, random, tpe",
    ]  # fmt: skip


def test_what_is_right_passes():
    check_goals(StudySettings(costs=("latency",), limits={"parameters": 1e6}, sampler="tpe"), KNOWN)
    check_goals(StudySettings(limits={"latency": 0.1}, sampler="evolution"), KNOWN)
    check_goals(StudySettings(costs=("joules",), sampler="nsga2"), None)  # an evaluation will show it


def test_what_an_evaluation_tells():
    settings = StudySettings(costs=("joules",), limits={"degrees": 90.0})
    assert told_cost(settings, "joules", {"joules": 3, "name": "x"}) == 3.0
    with pytest.raises(ConfigError, match=r"search.limits: must be .* got 'degrees'; known: joules"):
        told_cost(settings, "degrees", {"joules": 3, "name": "x"})
    with pytest.raises(Failed, match="its joules must be finite, got nan"):
        told_cost(settings, "joules", {"joules": math.nan})


def test_limits_in_words():
    assert limits_text(StudySettings()) == ""
    settings = StudySettings(limits={"parameters": 1e6, "latency": 0.002})
    assert limits_text(settings) == "; parameters at most 1e+06; latency at most 0.002"
