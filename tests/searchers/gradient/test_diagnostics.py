"""The gauges, and the words that a user reads when something is wrong."""

import math

import pytest
import torch

from nasdrop.models.supernet import SuperNet
from nasdrop.searchers.gradient import diagnostics
from nasdrop.searchers.gradient.mixture import Columns
from nasdrop.searchers.gradient.report import SearchEpoch
from nasdrop.space import Genotype, SearchSpace


@pytest.fixture
def columns():
    return Columns.of(SuperNet(SearchSpace.load("robust_s1"), channels=4, num_cells=3))


def test_flat_shares_have_the_entropy_of_their_number(columns):
    strengths = {kind: torch.ones(flags.shape) for kind, flags in columns.available.items()}
    shares = diagnostics.shares(strengths, columns)
    assert diagnostics.entropy(shares)["normal"] == pytest.approx(math.log(2))  # S1 has two candidates an edge
    skips = sum("skip_connect" in edge.operations for edge in SearchSpace.load("robust_s1").cells["normal"].graph.edges)
    assert diagnostics.skip_shares(shares, columns)["normal"] == pytest.approx(0.5 * skips / 14)
    assert diagnostics.largest_change(shares, shares) == 0.0


def test_sure_shares_have_no_entropy(columns):
    sure = {
        kind: torch.nn.functional.one_hot(flags.float().argmax(1), flags.shape[1]).float()
        for kind, flags in columns.available.items()
    }
    assert diagnostics.entropy(diagnostics.shares(sure, columns)) == {"normal": 0.0, "reduction": 0.0}


def test_changes_count_the_edges_that_are_new():
    first, second = Genotype.read("DARTS_V1"), Genotype.read("DARTS_V2")
    assert diagnostics.changes(first, first) == 0
    expected = sum(len(set(a.edges) - set(b.edges)) for a, b in zip(first.cells, second.cells, strict=True))
    assert diagnostics.changes(first, second) == expected > 0
    assert diagnostics.skips(second) == {"normal": 2, "reduction": 3}


def said(history, last=False, learns=True):
    return list(diagnostics.warnings(history, learns=learns, last=last))


def test_a_collapse_is_told_when_it_begins_and_at_the_end(make_report):
    assert said([make_report(0, skips=5)]) == []
    (line,) = said([make_report(0, skips=5), make_report(1, skips=6)])
    assert line.startswith("epoch 2: the normal cell collapses: 6 of its 8 edges are skip connections")
    assert said([make_report(0, skips=6), make_report(1, skips=7)]) == []
    assert len(said([make_report(0, skips=6), make_report(1, skips=7)], last=True)) == 1
    assert said([make_report(0, skips=2, kept=2)]) == []  # two edges are no cell to speak of
    assert said([make_report(0, skips=8)], learns=False) == []


def test_alphas_that_stand_still_are_told_at_the_end(make_report):
    assert said([make_report(0, moved=0.001)]) == []
    (line,) = said([make_report(0, moved=0.001)], last=True)
    assert "the alphas did not move" in line and "0.001" in line
    assert said([make_report(0, moved=0.5)], last=True) == []


def test_a_report_survives_its_checkpoint(make_report):
    first = make_report(3, eigenvalue=0.25)
    again = SearchEpoch.from_state(first.state())
    assert again.replayed and again.valid == first.valid and again.facts() == first.facts()
    assert first.facts()["skips"] == "0/8" and first.facts()["eigenvalue"] == "0.2500"
