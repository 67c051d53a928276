"""Stages, and which candidates survive a shrinking."""

import dataclasses

import pytest
import torch

from nasdrop.errors import ConfigError
from nasdrop.models.supernet import SuperNet
from nasdrop.searchers.gradient.mixture import Columns
from nasdrop.searchers.gradient.stages import Stage, shrunk, stages
from nasdrop.space import SearchSpace


def test_p_darts_has_its_papers_stages(make_experiment):
    search = make_experiment(strategy="p_darts").search
    assert stages(search) == (Stage(5, 8), Stage(11, 5), Stage(17, 3))
    assert stages(make_experiment().search) == (Stage(3),)


@pytest.mark.parametrize(("settings", "line"), [
    ({"strategy": "p_darts", "stage_cells": [2, 3]}, r"stage_\*: must have one entry a stage, got 2, 3, 3"),
    ({"strategy": "p_darts", "shrink": [[1, 2]]}, "shrink by themselves"),
    ({"strategy": "p_darts", "stage_operations": [3, 5, 8]}, "must not rise"),
    ({"shrink": [[1, 2], [1, 1]]}, "rising epochs and falling n"),
    ({"shrink": [[1]]}, "pairs"),
    ({"shrink": [[2, 1]]}, "within the 2 epochs"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(settings, line, make_experiment):
    with pytest.raises(ConfigError, match=line):
        stages(make_experiment(**settings).search)


def test_the_strongest_stay_and_one_that_a_cell_may_hold_is_among_them():
    space = SearchSpace.load("robust_s3")
    supernet = SuperNet(space, channels=4, num_cells=3)
    columns = Columns.of(supernet)  # none, skip_connect, sep_conv_3x3
    strengths = {kind: torch.tensor([[0.6, 0.1, 0.3]]).repeat(14, 1) for kind in columns.available}
    assert shrunk(columns, strengths, 2, space).available["normal"][0].tolist() == [True, False, True]
    one = shrunk(columns, strengths, 1, space)
    assert one.available["normal"][0].tolist() == [
        False,
        False,
        True,
    ]  # `none` is the strongest and no cell may hold it
    equal = {kind: torch.ones(14, 3) for kind in columns.available}
    assert shrunk(columns, equal, 2, space).available["normal"][3].tolist() == [True, True, False]
    again = shrunk(one, equal, 2, space)  # what is gone does not come back
    assert torch.equal(again.available["normal"], one.available["normal"])
    assert dataclasses.asdict(one)["operations"] == columns.operations
