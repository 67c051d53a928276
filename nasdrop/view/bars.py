"""Bars: one value a name, as PNG."""

from collections.abc import Mapping
from io import BytesIO

from nasdrop.view.palette import SERIES_LIGHT
from nasdrop.view.png import figure_of, plain, save
from nasdrop.view.svg import shorten

_MOST = 30
_LONGEST_NAME = 40


def bars_png(values: Mapping[str, float], *, title: str, width: float = 7.2, dots_per_inch: int = 110) -> bytes:
    """Draw named values as horizontal bars, in their order; the PNG file's bytes.

    Args:
        values: at least one; of many, the first are drawn.
        title: heading.
        width: in inches.
        dots_per_inch: resolution.
    """
    shown = list(values.items())[:_MOST]
    names = [plain(shorten(name, _LONGEST_NAME)) for name, _ in shown]
    figure = figure_of(width, 0.9 + 0.24 * len(shown), dots_per_inch, "constrained")
    axes = figure.subplots()
    places = range(len(shown))
    bars = axes.barh(places, [value for _, value in shown], color=SERIES_LIGHT[0], height=0.7)
    axes.bar_label(bars, fmt="%.3f", padding=3, fontsize=8)
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_title(plain(title), fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    file = BytesIO()
    save(figure, file)
    return file.getvalue()
