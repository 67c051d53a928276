"""Growth of a best value and of a hypervolume, against the area of a staircase and against what cannot grow."""

import math

import numpy as np
import pytest

from nasdrop.searchers.samplers import growth
from nasdrop.searchers.samplers.growth import Growth
from nasdrop.searchers.samplers.process import normal_scores

VALUES = np.array([[1.0, 2.0, 3.0, 4.0, 2.5, 1.5], [9.0, 8.5, 5.0, 1.0, 3.0, 8.0]])


def area(points, worst):
    """What points (n, 2) dominate above `worst`."""
    total, low = 0.0, worst[1]
    for x, y in sorted(map(tuple, points), reverse=True):
        if y > low:
            total += (x - worst[0]) * (y - low)
            low = y
    return total


@pytest.fixture
def fine(monkeypatch):
    monkeypatch.setattr(growth, "_DIRECTIONS", 40_000)


def test_one_objective_is_its_best_value():
    found = Growth(VALUES[:1], np.random.default_rng(0))
    assert found.parents(3) == [3, 2, 4] and np.array_equal(found.merit(), normal_scores(VALUES[0]))
    best = found.scores.max()
    means, certain = np.array([[[best - 1, best, best + 0.5]]]), np.full((1, 1, 3), 1e-9)
    assert found.expected(means, certain) == pytest.approx([0, 0, 0.5], abs=1e-8)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_reach_in_all_directions_is_the_hypervolume(fine, monkeypatch, share):
    """The area within a radius r(angle) is the integral of r² / 2 over the quarter circle: π / 4 of its mean."""
    monkeypatch.setattr(growth, "_IN_VALUES", share)
    found = Growth(VALUES, np.random.default_rng(0))
    points = (VALUES if share else found.scores).T
    low, high = points.min(0), points.max(0)
    worst = low - 0.1 * (high - low)
    squares = found._reached.max(1) ** 2
    expected = area(points, worst) / np.prod(high - worst)
    assert math.pi / 4 * squares.mean() == pytest.approx(expected, abs=5 * squares.std() / 200)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_what_is_certain_grows_the_hypervolume_by_its_own_part(fine, monkeypatch, share):
    monkeypatch.setattr(growth, "_IN_VALUES", share)
    monkeypatch.setattr(growth, "_SAMPLES", 1)
    found = Growth(VALUES, np.random.default_rng(0))
    places = [(2, 1), (4, 5), (5, 4)]  # of the candidate's first and second objective among the known scores
    candidates = np.array([[found.scores[0][a], found.scores[1][b]] for a, b in places]).T
    gains = found.expected(candidates[:, None], np.zeros((2, 1, 3)))
    points = (VALUES if share else found.scores).T
    low, high = points.min(0), points.max(0)
    worst = low - 0.1 * (high - low)
    base = area(points, worst)
    for (a, b), gain in zip(places, gains, strict=True):
        new = np.array([points[a, 0], points[b, 1]])
        growth_of_area = (area([*points, new], worst) - base) / np.prod(high - worst)
        assert math.pi / 4 * gain == pytest.approx(growth_of_area, abs=0.01)
    assert gains[0] > 0.05 and gains[2] == 0  # the last one is dominated


def test_parents_lie_on_the_front_and_merit_is_highest_there():
    found = Growth(VALUES, np.random.default_rng(3))
    assert set(found.parents(30)) <= {0, 1, 2, 3}
    assert set(np.argsort(-found.merit())[:2]) <= {0, 1, 2, 3}


def test_an_objective_of_equal_values_adds_nothing():
    found = Growth(np.array([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]), np.random.default_rng(0))
    gains = found.expected(np.array([[[0.0, 3.0]], [[0.0, 0.0]]]), np.full((2, 1, 2), 1e-6))
    assert np.all(np.isfinite(gains))
