"""Charts as SVG: lines told apart by colour, by dash and by a name at their end or in a legend; light and dark."""

from collections.abc import Sequence
from itertools import pairwise

from nasdrop.view.chart import Chart, Point, Series
from nasdrop.view.palette import CHART_COMMON, CHART_DARK, CHART_LIGHT, SERIES_DASHES, SERIES_LIGHT
from nasdrop.view.svg import document, element, number, style, text, text_width
from nasdrop.view.units import tick_labels, ticks

_MARGIN = 22.0
_DOT_LIMIT = 40
_LEGEND_ROW = 20.0
_SWATCH = 26.0


def chart_svg(chart: Chart, *, width: float = 720.0, height: float = 360.0) -> str:
    """Draw a chart.

    Args:
        chart: what to draw.
        width: of the picture in pixels.
        height: of the picture in pixels, its legend included.
    """
    legend, legend_height = _legend(chart, width - 2 * _MARGIN)
    y_ticks = ticks(*chart.y_limits, most=8)
    labels = tick_labels(y_ticks)
    left = _MARGIN + max(text_width(label, 11) for label in labels) + 8
    top = _MARGIN + (24 if chart.title else 0) + (24 if chart.y_label else 4)
    bottom = height - _MARGIN - legend_height - (40 if chart.x_label else 22)
    area = _Area((left, width - _MARGIN), (bottom, top), chart.x_limits, (y_ticks[0], y_ticks[-1]))
    body = [_headings(chart, left), _grid(area, chart, y_ticks, labels)]
    body += [_series(series, index, area) for index, series in enumerate(chart.series)]
    if legend:
        place = f"translate({number(_MARGIN)} {number(height - _MARGIN - legend_height + 12)})"
        body.append(element("g", legend, class_="legend", transform=place))
    label = f"{chart.title}: {', '.join(series.name for series in chart.series)}"
    return document(width, height, label, style(CHART_LIGHT, CHART_DARK, CHART_COMMON), "\n".join(body))


class _Area:
    """The plotting area: values to pixels. Vertical pixels are given bottom first."""

    def __init__(self, x_pixels: Point, y_pixels: Point, x_values: Point, y_values: Point) -> None:
        self.x_pixels, self.y_pixels = x_pixels, y_pixels
        self._x_values, self._y_values = x_values, y_values

    def x(self, value: float) -> float:
        """Pixels of an x."""
        return _between(self.x_pixels, self._x_values, value)

    def y(self, value: float) -> float:
        """Pixels of a y."""
        return _between(self.y_pixels, self._y_values, value)


def _between(pixels: Point, values: Point, value: float) -> float:
    return pixels[0] + (value - values[0]) / (values[1] - values[0]) * (pixels[1] - pixels[0])


def _headings(chart: Chart, left: float) -> str:
    title = element("text", text(chart.title), class_="title", x=_MARGIN, y=_MARGIN + 11) if chart.title else ""
    if not chart.y_label:
        return title
    y = _MARGIN + (24 if chart.title else 0) + 8
    return title + element("text", text(chart.y_label), class_="subtitle", x=min(left, _MARGIN), y=y)


def _grid(area: _Area, chart: Chart, y_ticks: Sequence[float], y_labels: Sequence[str]) -> str:
    """Grid lines, axis, tick labels, the name of x."""
    (left, right), (bottom, _) = area.x_pixels, area.y_pixels
    parts = []
    for value, label in zip(y_ticks, y_labels, strict=True):
        y = area.y(value)
        parts.append(element("line", class_="grid", x1=left, x2=right, y1=y, y2=y))
        parts.append(element("text", label, class_="subtitle end", x=left - 8, y=y + 4))
    low, high = chart.x_limits
    marks = ticks(low, high, most=max(int((right - left) / 70), 2), whole=chart.counts)
    x_ticks = [value for value in marks if low - 1e-9 <= value <= high + 1e-9]
    for value, label in zip(x_ticks, tick_labels(x_ticks), strict=True):
        x = area.x(value)
        parts.append(element("line", class_="axis", x1=x, x2=x, y1=bottom, y2=bottom + 4))
        parts.append(element("text", label, class_="subtitle middle", x=x, y=bottom + 18))
    parts.append(element("line", class_="axis", x1=left, x2=right, y1=bottom, y2=bottom))
    if chart.x_label:
        label_x = (left + right) / 2
        parts.append(element("text", text(chart.x_label), class_="subtitle middle", x=label_x, y=bottom + 36))
    return "".join(parts)


def _series(series: Series, index: int, area: _Area) -> str:
    """A curve: its line, and dots on the points where there are few."""
    content = element("title", text(series.name)) if series.name else ""
    for piece in series.pieces():
        points = [(area.x(x), area.y(y)) for x, y in piece]
        if len(points) > 1:
            path = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in _thinned(points))
            content += element("path", class_=f"series {_colour('s', index)}", d=path, stroke_dasharray=_dashes(index))
        if len(points) <= _DOT_LIMIT:
            content += "".join(
                element("circle", class_=_colour("m", index), cx=x, cy=y, r=2.6 if len(points) > 1 else 4.0)
                for x, y in points
            )
    return element("g", content, class_="curve", data_series=series.name)


def _thinned(points: Sequence[Point]) -> list[Point]:
    """Without points that lie on a horizontal or vertical line between their neighbours."""
    kept = [points[0]]
    for point, following in pairwise(points[1:]):
        if not (abs(kept[-1][1] - point[1]) < 1e-9 and abs(point[1] - following[1]) < 1e-9):
            kept.append(point)
    return [*kept, points[-1]]


def _legend(chart: Chart, room: float) -> tuple[str, float]:
    """Line samples with names, in rows; markup and height."""
    if not chart.named:
        return "", 0.0
    parts, x, y = [], 0.0, 0.0
    for index, series in enumerate(chart.series):
        width = _SWATCH + 6 + text_width(series.name, 11)
        if x and x + width > room:
            x, y = 0.0, y + _LEGEND_ROW
        sample = element(
            "path", class_=f"series {_colour('s', index)}", d=f"M0 0H{_SWATCH:.0f}", stroke_dasharray=_dashes(index)
        )
        name = element("text", text(series.name), class_="subtitle", x=_SWATCH + 6, y=4)
        parts.append(element("g", sample + name, transform=f"translate({number(x)} {number(y)})"))
        x += width + 16
    return "".join(parts), y + _LEGEND_ROW


def _colour(kind: str, index: int) -> str:
    return f"{kind}{index % len(SERIES_LIGHT)}"


def _dashes(index: int) -> str | None:
    return SERIES_DASHES[index % len(SERIES_DASHES)]
