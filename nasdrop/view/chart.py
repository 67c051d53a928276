"""What a chart shows: named curves on one pair of axes, as plain numbers. `chart_text`, `_svg` and `_png` draw it.

Below the two classes, the charts of a drop schedule and of a run.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nasdrop.errors import InputError

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """A named curve: (x, y) points in the order they are joined; a point that is not finite breaks the line."""

    name: str
    points: tuple[Point, ...]

    def pieces(self) -> Iterator[list[Point]]:
        """The curve's unbroken pieces."""
        piece: list[Point] = []
        for point in self.points:
            if math.isfinite(point[0]) and math.isfinite(point[1]):
                piece.append(point)
            elif piece:
                yield piece
                piece = []
        if piece:
            yield piece


@dataclass(frozen=True)
class Chart:
    """Curves on one pair of axes.

    Args:
        title: heading.
        series: the curves, with at least one finite point in all.
        x_label: what x is, with its unit.
        y_label: what y is, with its unit.
        y_range: the least that the y axis covers; None: as far as the curves go.
    """

    title: str
    series: tuple[Series, ...]
    x_label: str = ""
    y_label: str = ""
    y_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not any(True for series in self.series for _ in series.pieces()):
            raise InputError(f"{self.title or 'chart'}: needs a point with finite x and y, got none")

    @property
    def x_limits(self) -> tuple[float, float]:
        """Smallest and largest x; never equal."""
        return _apart(x for series in self.series for piece in series.pieces() for x, _ in piece)

    @property
    def y_limits(self) -> tuple[float, float]:
        """Smallest and largest y, `y_range` included; never equal."""
        drawn = [y for series in self.series for piece in series.pieces() for _, y in piece]
        return _apart([*drawn, *(self.y_range or ())])

    @property
    def counts(self) -> bool:
        """Whether x only takes whole numbers, over a range of more than one: epochs, cells, trials."""
        low, high = self.x_limits
        points = (point for series in self.series for piece in series.pieces() for point in piece)
        return high - low > 1 and all(float(x).is_integer() for x, _ in points)

    @property
    def named(self) -> bool:
        """Whether a legend says anything."""
        return len(self.series) > 1 or bool(self.series[0].name and self.series[0].name != self.title)


def rate_over_time(rates: Mapping[str, Sequence[float]], *, epochs: float, title: str = "Drop rate over time") -> Chart:
    """Schedules: by name the rates at evenly spaced times from the start of training to its end.

    Args:
        rates: probabilities of dropping, in [0, 1].
        epochs: how many epochs the last rate stands for; 1: progress instead of epochs.
        title: heading.
    """
    label = "progress" if epochs == 1 else "epoch"
    return Chart(title, _even(rates, 0.0, float(epochs)), label, "p, probability that a path drops", (0.0, 0.0))


def rate_over_depth(rates: Mapping[str, Sequence[float]], *, title: str = "Drop rate over depth") -> Chart:
    """Depth profiles: by name (a time, say) the rates of the cells, first to last."""
    series = tuple(
        Series(name, tuple((float(cell), rate) for cell, rate in enumerate(values))) for name, values in rates.items()
    )
    return Chart(title, series, "cell", "p, probability that a path drops", (0.0, 0.0))


def silent_nodes(
    expected: Mapping[str, Sequence[float]], *, epochs: float, title: str = "Expected silent nodes a sample"
) -> Chart:
    """Nodes whose every input drops, on average over samples: by name the values at evenly spaced times."""
    label = "progress" if epochs == 1 else "epoch"
    return Chart(title, _even(expected, 0.0, float(epochs)), label, "nodes", (0.0, 0.0))


def learning_curves(
    records: Iterable[Mapping[str, object]],
    names: Mapping[str, str],
    *,
    title: str,
    x: str = "epoch",
    y_label: str = "",
) -> Chart:
    """Curves of a run out of its records; a record without one of the numbers is passed over for that curve.

    Args:
        records: as metrics.jsonl holds them, one mapping a line.
        names: key in the records -> name of its curve.
        title: heading.
        x: key of the x axis.
        y_label: what y is, with its unit.

    Raises:
        InputError: no record holds any of the keys.
    """
    kept = list(records)
    series = tuple(
        Series(
            name,
            tuple((at, value) for at, value in ((_number(r, x), _number(r, key)) for r in kept) if _real(at, value)),
        )
        for key, name in names.items()
    )
    return Chart(title, tuple(one for one in series if one.points) or series, x, y_label)


def trade_off(
    tried: Sequence[Point], front: Sequence[Point], *, x_label: str, y_label: str, title: str = "Pareto front"
) -> Chart:
    """What was tried as single points, and the front as a line through its points.

    Args:
        tried: (cost, value) of every trial.
        front: those that no other beats, in any order.
        x_label: the cost, with its unit.
        y_label: the value, with its unit.
        title: heading.
    """
    single = tuple(point for one in tried for point in (one, (math.nan, math.nan)))
    series = (Series("front", tuple(sorted(front))), Series("tried", single))
    return Chart(title, series, x_label, y_label)


def _even(values: Mapping[str, Sequence[float]], start: float, end: float) -> tuple[Series, ...]:
    """Values at evenly spaced x from start to end."""
    return tuple(
        Series(name, tuple((start + (end - start) * i / max(len(ys) - 1, 1), y) for i, y in enumerate(ys)))
        for name, ys in values.items()
    )


def _number(record: Mapping[str, object], key: str) -> float:
    value = record.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _real(*values: float) -> bool:
    return all(map(math.isfinite, values))


def _apart(values: Iterable[float]) -> tuple[float, float]:
    """The limits of values; where there is one value only, a little room around it."""
    kept = list(values)
    low, high = min(kept), max(kept)
    if high - low > 1e-12 * max(abs(low), abs(high)):
        return low, high
    room = abs(low) / 10 or 1.0
    return (low, high + room) if low >= 0 and low - room < 0 else (low - room, high + room)
