"""Charts as PNG, where matplotlib is installed (extra `plot`); it is imported only here, when a picture is wanted."""

from pathlib import Path

from nasdrop.errors import InputError
from nasdrop.view.chart import Chart
from nasdrop.view.palette import SERIES_LIGHT

_LINES = ("-", "--", ":", "-.")


def chart_png(chart: Chart, path: Path, *, width: float = 7.2, height: float = 3.8, dots_per_inch: int = 160) -> None:
    """Write a chart as a PNG file.

    Args:
        chart: what to draw.
        path: file to write.
        width: in inches.
        height: in inches.
        dots_per_inch: resolution.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(f"{path.name}: PNG needs matplotlib: pip install 'nasdrop[plot]', or ask for .svg") from error
    figure = Figure(figsize=(width, height), dpi=dots_per_inch, layout="constrained")
    axes = figure.subplots()
    for index, series in enumerate(chart.series):
        few = "o" if len(series.points) <= 40 else None
        axes.plot(
            [x for x, _ in series.points],
            [y for _, y in series.points],
            label=_plain(series.name),
            color=SERIES_LIGHT[index % len(SERIES_LIGHT)],
            linestyle=_LINES[index % len(_LINES)],
            marker=few,
            markersize=3,
        )
    axes.set(title=_plain(chart.title), xlabel=_plain(chart.x_label), ylabel=_plain(chart.y_label))
    if chart.y_range is not None:
        axes.set_ylim(min(axes.get_ylim()[0], chart.y_range[0]), max(axes.get_ylim()[1], chart.y_range[1]))
    axes.grid(visible=True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if chart.named:
        axes.legend(frameon=False)
    figure.savefig(path, format="png")


def _plain(words: str) -> str:
    """Words that matplotlib takes for no formula."""
    return words.replace("$", r"\$")
