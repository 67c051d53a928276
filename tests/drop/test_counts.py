"""Counts add up over draws of different sizes and come back from a saved state."""

import torch

from nasdrop.drop import Draw, Path, PathDrop
from nasdrop.drop.counts import Counts


def make() -> Counts:
    return Counts(PathDrop([Path("a", 0, 0, 1.0), Path("b", 0, 0, 1.0)]))


def test_shares_are_weighted_by_rows() -> None:
    counts = make()
    counts.add(Draw(torch.tensor([[0.0, 2.0], [0.0, 2.0]])))
    counts.add(Draw(torch.tensor([[0.0, 2.0, 0.0, 2.0, 2.0, 2.0], [2.0, 2.0, 2.0, 2.0, 2.0, 2.0]])))
    assert counts.dropped() == [3 / 8, 1 / 8]
    assert counts.silent() == 1 / 8
    assert counts.columns() == []


def test_nothing_counted() -> None:
    counts = make()
    assert (counts.dropped(), counts.silent(), counts.columns()) == ([], 0.0, [])
    counts.add(Draw(None))
    assert counts.dropped() == []


def test_state() -> None:
    counts, other = make(), make()
    counts.add(Draw(torch.tensor([[0.0, 2.0], [0.0, 0.0]])))
    other.load_state_dict(counts.state_dict())
    for each in (counts, other):
        each.add(Draw(torch.tensor([[2.0, 2.0], [2.0, 2.0]])))
        assert each.dropped() == [1 / 4, 2 / 4]
        assert each.silent() == 1 / 4
    counts.reset()
    assert counts.dropped() == []
