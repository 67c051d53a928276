import math

import pytest

from nasdrop.view.units import count, duration, percent, tick_labels, ticks


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (7, "7"),
        (950, "950"),
        (999, "999"),
        (1000, "1k"),
        (23412, "23.4k"),
        (999_499, "999k"),
        (999_600, "1M"),
        (3_349_342, "3.35M"),
        (535_000_000, "535M"),
        (1.25e9, "1.25G"),
        (12.5, "12.5"),
    ],
)
def test_counts_are_short(value, text):
    assert count(value) == text


def test_percent_and_its_missing_value():
    assert percent(0.98614) == "98.61 %"
    assert percent(0.5, 0) == "50 %"
    assert percent(math.nan) == "–"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0852, "85 ms"),
        (0.9999, "1.0 s"),
        (6.23, "6.2 s"),
        (99.96, "1 min 40 s"),
        (252, "4 min 12 s"),
        (3599.6, "1 h 00 min"),
        (7512, "2 h 05 min"),
        (math.inf, "–"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0, 0.2, 5, [0, 0.05, 0.1, 0.15, 0.2]),
        (0, 1, 6, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.03, 0.97, 3, [0, 0.5, 1]),
        (-5, 5, 3, [-5, 0, 5]),
        (0, 19, 6, [0, 5, 10, 15, 20]),
    ],
)
def test_ticks_are_round_and_cover_the_range(low, high, most, expected):
    assert ticks(low, high, most) == pytest.approx(expected)


def test_ticks_never_exceed_the_number_asked_for():
    for low, high in ((0, 0.003), (1, 1.0001), (-7, 1e6), (0.1, 99.9), (3, 8)):
        for most in range(2, 12):
            found = ticks(low, high, most)
            assert 2 <= len(found) <= most or (most == 2 and len(found) == 3)
            assert found[0] <= low + 1e-9
            assert found[-1] >= high - 1e-9


def test_whole_ticks_have_no_halves():
    for high in range(2, 60):
        assert all(float(tick).is_integer() for tick in ticks(0, high, 8, whole=True))


def test_tick_labels_share_their_decimals():
    assert tick_labels([0, 0.05, 0.1]) == ["0.00", "0.05", "0.10"]
    assert tick_labels([0, 5, 10]) == ["0", "5", "10"]
    assert tick_labels([0, 50_000, 100_000]) == ["0", "50k", "100k"]
    assert tick_labels([1e-9, 2e-9]) == ["1e-09", "2e-09"]
