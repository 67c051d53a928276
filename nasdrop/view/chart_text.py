"""Charts for a terminal, in plain characters: readable at 80 columns, in a pipe and without colour.

Lines are made of braille dots, two by four a character; where there are several, each carries a mark of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from nasdrop.view.chart import Chart, Point, Series
from nasdrop.view.svg import shorten
from nasdrop.view.units import tick_labels, ticks

MARKS = "●▲■◆○△□◇"
ASCII_MARKS = "*ox#@%&="

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.-~=+*#"
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


@dataclass(frozen=True)
class Glyph:
    """One character, and the curve it belongs to (None: axes and words)."""

    character: str
    series: int | None = None


@dataclass(frozen=True)
class _Look:
    """The characters to draw with."""

    marks: str
    line: str
    tick: str
    corner: str
    rule: str
    below: str
    ellipsis: str


_UNICODE = _Look(MARKS, "│", "┤", "└", "─", "┬", "…")
_ASCII = _Look(ASCII_MARKS, "|", "+", "+", "-", "+", "...")


def chart_text(chart: Chart, *, width: int = 80, height: int = 16, ascii_only: bool = False) -> str:
    """The chart as lines of text, none longer than `width`.

    Args:
        chart: what to draw.
        width: longest line, in characters; at least 32.
        height: lines between the axes; at least 4.
        ascii_only: for terminals that show nothing else.
    """
    rows = chart_glyphs(chart, width=width, height=height, ascii_only=ascii_only)
    return "\n".join("".join(glyph.character for glyph in row).rstrip() for row in rows) + "\n"


def chart_glyphs(chart: Chart, *, width: int = 80, height: int = 16, ascii_only: bool = False) -> list[list[Glyph]]:
    """The chart as rows of glyphs, for who colours them; arguments as `chart_text` has them."""
    width, height = max(width, 32), max(height, 4)
    look = _ASCII if ascii_only else _UNICODE
    y_ticks = ticks(*chart.y_limits, most=max(height // 3, 2))
    low, high = y_ticks[0], y_ticks[-1]
    shown = zip(y_ticks, tick_labels(y_ticks), strict=True)
    labels = {round((high - value) / (high - low) * (height - 1)): label for value, label in shown}
    margin = max(map(len, labels.values())) + 1
    canvas = _Canvas(width - margin - 1, height, chart.x_limits, (low, high))
    for index, series in enumerate(chart.series):
        canvas.draw(series, index, look.marks[index % len(look.marks)], every_cell=ascii_only)
    if not ascii_only:
        canvas.mark(len(chart.series), look.marks)
    rows = [_plain(chart.title, width, look)] if chart.title else []
    if chart.y_label:
        rows.append(_plain(chart.y_label, width, look))
    for number, line in enumerate(canvas.rows()):
        edge = look.tick if number in labels else look.line
        rows.append([*map(Glyph, f"{labels.get(number, ''):>{margin}}{edge}"), *line])
    rows += _x_axis(chart, width, margin, look)
    return rows + (_legend(chart, width, look) if chart.named else [])


def sparkline(values: Sequence[float], width: int = 20, *, ascii_only: bool = False) -> str:
    """A curve of one line: the mean of each of `width` equal shares of the values, as bars of eight heights."""
    finite = [value for value in values if value == value and abs(value) != float("inf")]
    if not finite:
        return ""
    columns = min(width, len(finite))
    shares = [finite[i * len(finite) // columns : (i + 1) * len(finite) // columns] for i in range(columns)]
    means = [sum(share) / len(share) for share in shares]
    low, high = min(means), max(means)
    blocks = _ASCII_BLOCKS if ascii_only else _BLOCKS
    scale = (len(blocks) - 1) / (high - low) if high > low else 0.0
    return "".join(blocks[round((mean - low) * scale)] for mean in means)


class _Canvas:
    """The plotting area: dots and the cells that each curve passes."""

    def __init__(self, width: int, height: int, x_limits: Point, y_limits: Point) -> None:
        self._width, self._height = width, height
        self._x, self._y = x_limits, y_limits
        self._dots = [[0] * width for _ in range(height)]
        self._owners: list[list[int | None]] = [[None] * width for _ in range(height)]
        self._marks: dict[tuple[int, int], str] = {}
        self._passed: list[list[tuple[int, int]]] = []

    def draw(self, series: Series, index: int, mark: str, *, every_cell: bool) -> None:
        """Draw a curve: dots, or its mark in every cell it passes. A curve of one point is a mark."""
        passed: dict[tuple[int, int], None] = {}
        for piece in series.pieces():
            dots = [self._dot(point) for point in piece]
            for dot in (dot for start, end in pairwise(dots) for dot in _between(start, end)):
                self._set(dot, index, passed)
            if len(dots) == 1:
                self._set(dots[0], index, passed)
                self._marks[dots[0][1] // 4, dots[0][0] // 2] = mark
        self._passed.append(list(passed))
        if every_cell:
            self._marks.update(dict.fromkeys(passed, mark))

    def mark(self, count: int, marks: str) -> None:
        """Put each curve's mark on it at intervals, no two curves in one column; a single curve needs none."""
        if count < 2:
            return
        period = max(4 * count, 12)
        for index, passed in enumerate(self._passed):
            start = (2 * index + 1) * period // (2 * count)
            columns = {column: (row, column) for row, column in passed if column % period == start}
            for cell in columns.values() or passed[:1]:
                self._marks[cell] = marks[index % len(marks)]
                self._owners[cell[0]][cell[1]] = index

    def rows(self) -> list[list[Glyph]]:
        """The finished lines."""
        return [[self._glyph(row, column) for column in range(self._width)] for row in range(self._height)]

    def _glyph(self, row: int, column: int) -> Glyph:
        owner = self._owners[row][column]
        if owner is None:
            return Glyph(" ")
        return Glyph(self._marks.get((row, column)) or chr(0x2800 + self._dots[row][column]), owner)

    def _dot(self, point: Point) -> tuple[int, int]:
        """Where a point falls, in dots; a value on a tick falls into the tick's row."""
        x = (point[0] - self._x[0]) / (self._x[1] - self._x[0]) * 2 * (self._width - 1)
        y = (self._y[1] - point[1]) / (self._y[1] - self._y[0]) * 4 * (self._height - 1)
        return int(x + 0.5), int(y + 2)

    def _set(self, dot: tuple[int, int], index: int, passed: dict[tuple[int, int], None]) -> None:
        row, column = dot[1] // 4, dot[0] // 2
        self._dots[row][column] |= _DOTS[dot[1] % 4][dot[0] % 2]
        self._owners[row][column] = index
        passed[row, column] = None


def _between(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """The dots of a straight line, both ends included."""
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [
        (start[0] + round((end[0] - start[0]) * i / steps), start[1] + round((end[1] - start[1]) * i / steps))
        for i in range(steps + 1)
    ]


def _x_axis(chart: Chart, width: int, margin: int, look: _Look) -> list[list[Glyph]]:
    """The axis with its ticks, their labels below, the axis's name below them."""
    low, high = chart.x_limits
    room = width - margin - 1
    marks = ticks(low, high, most=max(room // 9, 2), whole=chart.counts)
    inside = [value for value in marks if low - 1e-9 <= value <= high + 1e-9]
    rule, numbers = [look.rule] * room, [" "] * width
    free = 0
    for value, label in zip(inside, tick_labels(inside), strict=True):
        column = int((value - low) / (high - low) * (room - 1) + 0.5)
        rule[column] = look.below
        start = min(max(margin + 1 + column - len(label) // 2, free), width - len(label))
        if start >= free:
            numbers[start : start + len(label)] = label
            free = start + len(label) + 1
    lines = [" " * margin + look.corner + "".join(rule), "".join(numbers)]
    if chart.x_label:
        lines.append((" " * (margin + 1) + chart.x_label.center(room)).rstrip())
    return [_plain(line, width, look) for line in lines]


def _legend(chart: Chart, width: int, look: _Look) -> list[list[Glyph]]:
    """Marks and names, as many on a line as fit."""
    rows: list[list[Glyph]] = []
    for index, series in enumerate(chart.series):
        mark = look.marks[index % len(look.marks)] if len(chart.series) > 1 or look is _ASCII else look.rule * 2
        words = shorten(f" {series.name}", width - 4, look.ellipsis)
        entry = [Glyph(" "), Glyph(" "), *(Glyph(c, index) for c in mark), *map(Glyph, words)]
        if rows and len(rows[-1]) + len(entry) <= width:
            rows[-1] += entry
        else:
            rows.append(entry)
    return rows


def _plain(line: str, width: int, look: _Look) -> list[Glyph]:
    return [Glyph(c) for c in shorten(line, width, look.ellipsis)]
