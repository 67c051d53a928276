import math

import pytest

from nasdrop.errors import InputError
from nasdrop.view.chart import Chart, Series, learning_curves, rate_over_depth, rate_over_time, silent_nodes, trade_off


def test_a_point_that_is_not_finite_breaks_the_line():
    series = Series("a", ((0, 1), (1, math.nan), (2, 3), (3, 4), (math.inf, 5)))
    assert list(series.pieces()) == [[(0, 1)], [(2, 3), (3, 4)]]


@pytest.mark.parametrize("points", [(), ((math.nan, 1.0),)])
def test_a_chart_without_points_is_refused(points):
    with pytest.raises(InputError, match="loss: needs a point with finite x and y, got none"):
        Chart("loss", (Series("a", points),))


def test_limits_cover_all_series_and_the_range_asked_for():
    chart = Chart("", (Series("a", ((1, 0.5),)), Series("b", ((3, 0.25), (4, 0.75)))), y_range=(0, 0.6))
    assert chart.x_limits == (1, 4)
    assert chart.y_limits == (0, 0.75)


@pytest.mark.parametrize(("value", "expected"), [(0.0, (0.0, 1.0)), (0.5, (0.45, 0.55)), (-2.0, (-2.2, -1.8))])
def test_one_value_gets_some_room(value, expected):
    chart = Chart("", (Series("a", ((0, value), (1, value))),))
    assert chart.y_limits == pytest.approx(expected)


def test_rate_over_time_spans_the_epochs():
    chart = rate_over_time({"linear": [0.0, 0.1, 0.2]}, epochs=50)
    assert chart.series[0].points == ((0, 0.0), (25, 0.1), (50, 0.2))
    assert (chart.x_label, chart.y_limits) == ("epoch", (0.0, 0.2))
    assert rate_over_time({"linear": [0.0, 0.1]}, epochs=1).x_label == "progress"
    assert rate_over_time({"once": [0.3]}, epochs=50).series[0].points == ((0, 0.3),)


def test_rate_over_depth_counts_cells():
    chart = rate_over_depth({"last epoch": [0.05, 0.1, 0.15]})
    assert chart.series[0].points == ((0, 0.05), (1, 0.1), (2, 0.15))
    assert chart.counts


def test_silent_nodes_start_at_zero():
    assert silent_nodes({"two inputs": [0.01, 0.04]}, epochs=20).y_limits == (0.0, 0.04)


def test_learning_curves_pass_over_what_a_record_lacks():
    records = [
        {"epoch": 1, "valid/accuracy": 0.5, "note": "x"},
        {"epoch": 2, "valid/accuracy": None, "train/loss": 1.5},
        {"epoch": True, "valid/accuracy": 0.6},
        {"epoch": 3, "valid/accuracy": 1},
    ]
    names = {"valid/accuracy": "accuracy", "train/loss": "loss", "missing": "missing"}
    chart = learning_curves(iter(records), names, title="run")
    assert [series.name for series in chart.series] == ["accuracy", "loss"]
    assert chart.series[0].points == ((1, 0.5), (3, 1))
    with pytest.raises(InputError, match="run: needs a point"):
        learning_curves(records, {"missing": "missing"}, title="run")


def test_whole_numbers_are_recognised():
    assert Chart("", (Series("a", ((1, 0.5), (7, 1.5))),)).counts
    assert not Chart("", (Series("a", ((0, 0.5), (1, 1.5))),)).counts
    assert not Chart("", (Series("a", ((0, 0.5), (2.5, 1.5))),)).counts


def test_a_legend_is_for_names_that_say_something():
    point = ((0, 1),)
    assert not Chart("loss", (Series("loss", point),)).named
    assert not Chart("loss", (Series("", point),)).named
    assert Chart("loss", (Series("train", point),)).named
    assert Chart("", (Series("", point), Series("", point))).named


def test_a_trade_off_joins_the_front_alone():
    chart = trade_off([(1.0, 0.5), (3.0, 0.9), (2.0, 0.4)], [(3.0, 0.9), (1.0, 0.5)], x_label="ms", y_label="accuracy")
    front, tried = chart.series
    assert front.points == ((1.0, 0.5), (3.0, 0.9))
    assert list(tried.pieces()) == [[(1.0, 0.5)], [(3.0, 0.9)], [(2.0, 0.4)]]
