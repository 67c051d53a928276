import math

import pytest

from nasdrop.view.chart import Chart, Series, rate_over_time
from nasdrop.view.chart_text import ASCII_MARKS, MARKS, chart_glyphs, chart_text, sparkline


@pytest.fixture
def two():
    times = [i / 100 for i in range(101)]
    curves = {"linear": [0.2 * t for t in times], "cosine": [0.1 - 0.1 * math.cos(math.pi * t) for t in times]}
    return rate_over_time(curves, epochs=50)


def body(chart, **options):
    """The lines between the axes, without the y axis: strings."""
    lines = chart_text(chart, **options).splitlines()
    return [line[i + 1 :] for line in lines for i in [max(line.find(c) for c in "┤│")] if i > 0]


def test_known_values_stand_on_their_ticks():
    line = Chart("", (Series("", ((0, 0.0), (10, 1.0))),))
    lines = chart_text(line, width=40, height=9).splitlines()
    assert lines[0].startswith(" 1.0┤")
    assert lines[4].startswith(" 0.5┤")
    assert lines[8].startswith(" 0.0┤")
    area = body(line, width=40, height=9)
    assert area[8][0] not in " "
    assert area[0].rstrip()[-1] not in " "
    assert len(area[0]) == 35
    for row, text in enumerate(area):
        drawn = [column for column, character in enumerate(text) if character != " "]
        middle = (8 - row) / 8 * 34
        assert abs(sum(drawn) / len(drawn) - middle) <= 2.5


def test_a_constant_is_one_line_at_its_height():
    area = body(Chart("", (Series("", ((0, 0.2), (5, 0.2))),), y_range=(0, 0.4)), width=50, height=9)
    assert [row for row, text in enumerate(area) if text.strip()] == [4]
    assert set(area[4]) <= set("⠤⠄")


def test_a_jump_is_drawn(two):
    jump = Chart("", (Series("", ((0, 0), (5, 0), (5, 1), (10, 1))),))
    area = body(jump, width=50, height=8)
    assert all(text.strip() for text in area)


@pytest.mark.parametrize("ascii_only", [False, True])
def test_lines_are_bounded(two, ascii_only):
    for width in (32, 60, 80, 120):
        text = chart_text(two, width=width, ascii_only=ascii_only)
        assert max(map(len, text.splitlines())) <= width
        assert text.isascii() or not ascii_only
    assert max(map(len, chart_text(two, width=5).splitlines())) <= 32
    long = Chart("t" * 99, (Series("n" * 99, ((0, 1),)), Series("m" * 99, ((1, 2),))), "x" * 99, "y" * 99)
    assert max(map(len, chart_text(long, ascii_only=ascii_only).splitlines())) <= 80


def test_there_is_no_escape_sequence(two):
    assert "\x1b" not in chart_text(two)


@pytest.mark.parametrize(("ascii_only", "marks"), [(False, MARKS), (True, ASCII_MARKS)])
def test_every_series_has_its_mark_on_the_curve_and_in_the_legend(two, ascii_only, marks):
    text = chart_text(two, ascii_only=ascii_only)
    assert text.splitlines()[-1] == f"  {marks[0]} linear  {marks[1]} cosine"
    above = "\n".join(text.splitlines()[:-1])
    assert above.count(marks[0]) >= 3
    assert above.count(marks[1]) >= 3


def test_equal_curves_are_both_seen():
    same = rate_over_time({"a": [0.0, 0.2], "b": [0.0, 0.2], "c": [0.0, 0.2]}, epochs=10)
    text = "\n".join(chart_text(same).splitlines()[:-1])
    assert all(mark in text for mark in MARKS[:3])


def test_glyphs_know_their_series(two):
    owners = {glyph.series for row in chart_glyphs(two) for glyph in row}
    assert owners == {None, 0, 1}


def test_a_single_point_is_a_mark():
    text = chart_text(Chart("", (Series("", ((3, 0.5),)),)))
    assert text.count(MARKS[0]) == 1


def test_the_x_axis_names_its_ticks(two):
    lines = chart_text(two).splitlines()
    assert lines[-3].split() == ["0", "10", "20", "30", "40", "50"]
    assert lines[-2].strip() == "epoch"
    ticks = [column for column, character in enumerate(lines[-4]) if character == "┬"]
    assert len(ticks) == 6
    assert [lines[-3][column - 1 : column + 2].strip()[:2] for column in ticks[1:]] == ["10", "20", "30", "40", "50"]


def test_epochs_have_no_halves():
    def labels(high):
        chart = Chart("", (Series("", ((0.0, 0.0), (high, 1.0))),), "epoch")
        return chart_text(chart).splitlines()[-2].split()

    assert labels(19.0) == ["0", "5", "10", "15"]
    assert labels(10.0) == ["0", "2", "4", "6", "8", "10"]
    assert labels(2.0) == ["0", "1", "2"]
    assert labels(1.0) == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]


@pytest.mark.parametrize(
    ("values", "width", "line"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], 20, "▁▂▃▄▅▆▇█"),
        ([1, 1, 1], 20, "▁▁▁"),
        ([0, 0, 7, 7], 2, "▁█"),
        ([math.nan, 0, math.inf, 7], 20, "▁█"),
        ([], 20, ""),
    ],
)
def test_sparklines(values, width, line):
    assert sparkline(values, width) == line


def test_sparklines_in_ascii():
    assert sparkline(range(100), 8, ascii_only=True) == "_.-~=+*#"
