"""Charts as PNG, by matplotlib."""

from pathlib import Path
from typing import BinaryIO

from nasdrop.view.chart import Chart
from nasdrop.view.palette import SERIES_LIGHT
from nasdrop.view.png import figure_of, plain, save

_LINES = ("-", "--", ":", "-.")


def chart_png(
    chart: Chart, target: Path | BinaryIO, *, width: float = 7.2, height: float = 3.8, dots_per_inch: int = 160
) -> None:
    """Write a chart as a PNG file.

    Args:
        chart: what to draw.
        target: file to write.
        width: in inches.
        height: in inches.
        dots_per_inch: resolution.
    """
    figure = figure_of(width, height, dots_per_inch, "constrained")
    axes = figure.subplots()
    for index, series in enumerate(chart.series):
        few = "o" if len(series.points) <= 40 else None
        axes.plot(
            [x for x, _ in series.points],
            [y for _, y in series.points],
            label=plain(series.name),
            color=SERIES_LIGHT[index % len(SERIES_LIGHT)],
            linestyle=_LINES[index % len(_LINES)],
            marker=few,
            markersize=3,
        )
    axes.set(title=plain(chart.title), xlabel=plain(chart.x_label), ylabel=plain(chart.y_label))
    if chart.y_range is not None:
        axes.set_ylim(min(axes.get_ylim()[0], chart.y_range[0]), max(axes.get_ylim()[1], chart.y_range[1]))
    axes.grid(visible=True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if chart.named:
        axes.legend(frameon=False)
    save(figure, target)
