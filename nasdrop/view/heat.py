"""Heat maps: a value in [0, 1] for each row and each moment, as SVG for pages and as PNG for TensorBoard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby

from nasdrop.errors import InputError
from nasdrop.view.palette import BASE_COMMON, CHART_DARK, CHART_LIGHT, SERIES_DARK
from nasdrop.view.png import figure_of, plain, save
from nasdrop.view.svg import document, element, number, shorten, style, text, text_width
from nasdrop.view.units import tick_labels, ticks

_MARGIN = 22.0
_LONGEST_LABEL = 30
_MOST_LABELS = 60
_RAMP = ("#f2f6fa", "#bcd7ee", "#6fabd9", "#2f77b4", "#123f73")  # light to dark: readable without colour vision


@dataclass(frozen=True)
class HeatMap:
    """Rows of values over time.

    Args:
        title: heading.
        rows: by name, one value a moment; NaN where there is none.
        x_label: what the moments are.
        y_label: what the values are.
        steps: the number of the first moment and the last; None: 0 and one less than there are.
    """

    title: str
    rows: Mapping[str, Sequence[float]]
    x_label: str = "epoch"
    y_label: str = ""
    steps: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not any(value == value for values in self.rows.values() for value in values):
            raise InputError(f"{self.title or 'heat map'}: needs a value that is a number, got none")

    @property
    def columns(self) -> int:
        """The number of moments."""
        return max(map(len, self.rows.values()))

    @property
    def most(self) -> float:
        """The value that the darkest colour stands for: the largest there is, or 1 if all are 0."""
        return max(value for values in self.rows.values() for value in values if value == value) or 1.0


def strength(value: float, most: float) -> float:
    """How much of the full colour a value between 0 and `most` has; what shows through is the page, light or dark."""
    return 0.04 + 0.96 * min(max(value / most, 0.0), 1.0)


def heat_svg(heat: HeatMap, *, width: float = 720.0) -> str:
    """Draw a heat map; equal neighbours share a rectangle, and each tells its value."""
    names = list(heat.rows)
    tall = max(4.0, min(18.0, 560.0 / len(names)))
    labels = {name: shorten(name, _LONGEST_LABEL) for name in _labelled(names)}
    left = _MARGIN + max(text_width(label, 10) for label in labels.values()) + 8
    top = _MARGIN + 46
    wide = (width - _MARGIN - left) / heat.columns
    body = [element("text", text(heat.title), class_="title", x=_MARGIN, y=_MARGIN + 11)]
    body += [_scale(heat, _MARGIN, _MARGIN + 22)]
    for row, (name, values) in enumerate(heat.rows.items()):
        y = top + row * tall
        if name in labels:
            label = element("text", text(labels[name]), class_="small end", x=left - 6, y=y + tall / 2 + 3.5)
            body.append(label)
        body += _cells(name, values, heat.most, (left, y, wide, tall))
    bottom = top + tall * len(names)
    body += _axis(heat, left, bottom, wide)
    light, dark = (f"fill:{colour}" for colour in (_RAMP[-1], SERIES_DARK[0]))
    ends = {".end": "text-anchor:end", ".middle": "text-anchor:middle"}
    sheet = style(CHART_LIGHT | {".heat": light}, CHART_DARK | {".heat": dark}, BASE_COMMON | ends)
    return document(width, bottom + 40 + _MARGIN, heat.title, sheet, "".join(body))


def heat_png(heat: HeatMap, *, width: float = 7.2, dots_per_inch: int = 130) -> bytes:
    """Draw a heat map with matplotlib; the PNG file's bytes."""
    from matplotlib.colors import LinearSegmentedColormap

    names, columns = list(heat.rows), heat.columns
    figure = figure_of(width, 1.3 + min(max(0.16 * len(names), 0.6), 7.5), dots_per_inch, "constrained")
    axes = figure.subplots()
    values = [[*row, *(columns - len(row)) * [float("nan")]] for row in heat.rows.values()]
    first, last = _steps(heat)
    edges = (first - 0.5, last + 0.5, len(names) - 0.5, -0.5)
    ramp = LinearSegmentedColormap.from_list("nasdrop", _RAMP)
    image = axes.imshow(values, ramp, aspect="auto", vmin=0, vmax=heat.most, extent=edges, interpolation="none")
    shown = _labelled(names)
    axes.set_yticks(
        [names.index(name) for name in shown], [plain(shorten(name, _LONGEST_LABEL)) for name in shown], fontsize=7
    )
    axes.set_title(plain(heat.title), fontsize=10, loc="left")
    axes.set_xlabel(plain(heat.x_label))
    axes.locator_params(axis="x", integer=True)
    figure.colorbar(image, ax=axes, label=plain(heat.y_label), fraction=0.04)
    file = BytesIO()
    save(figure, file)
    return file.getvalue()


def _cells(name: str, values: Sequence[float], most: float, box: tuple[float, float, float, float]) -> list[str]:
    """A row's rectangles, one for each run of equal values."""
    (left, y, wide, tall), parts, start = box, [], 0
    for value, run in groupby(values, key=lambda value: round(value, 4) if value == value else None):
        length = len(list(run))
        if value is not None:
            where = f"{start}" if length == 1 else f"{start}-{start + length - 1}"
            tip = element("title", text(f"{name}, {where}: {value:.4g}"))
            parts.append(
                element(
                    "rect",
                    tip,
                    class_="heat",
                    fill_opacity=strength(value, most),
                    x=left + start * wide,
                    y=y,
                    width=length * wide,
                    height=tall - (1.0 if tall > 8 else 0.0),
                )
            )
        start += length
    return parts


def _axis(heat: HeatMap, left: float, bottom: float, wide: float) -> list[str]:
    first, last = _steps(heat)
    most = max(min(int(heat.columns * wide / 60), 12), 2)
    marks = (
        [mark for mark in ticks(first, last, most, whole=True) if first <= mark <= last] if last > first else [first]
    )
    spread = heat.columns - 1
    parts = []
    for mark, label in zip(marks, tick_labels(marks), strict=True):
        column = (mark - first) / (last - first) * spread if last > first else 0.0
        parts.append(element("text", label, class_="small middle", x=left + (column + 0.5) * wide, y=bottom + 14))
    middle = left + heat.columns * wide / 2
    return [*parts, element("text", text(heat.x_label), class_="subtitle middle", x=middle, y=bottom + 32)]


def _scale(heat: HeatMap, x: float, y: float) -> str:
    """What the shades mean."""
    parts = [
        element(
            "rect", class_="heat", fill_opacity=strength(step, 20.0), x=x + 26 + 5.0 * step, y=y, width=5.4, height=10.0
        )
        for step in range(21)
    ]
    parts.append(element("text", "0", class_="small end", x=x + 20, y=y + 9))
    words = f"{heat.most:.3g}  {heat.y_label}"
    parts.append(element("text", text(words), class_="small", x=x + 26 + 5.0 * 21 + 6, y=y + 9))
    return element("g", "".join(parts), transform=f"translate({number(0.0)} {number(0.0)})")


def _steps(heat: HeatMap) -> tuple[float, float]:
    return heat.steps or (0.0, float(heat.columns - 1))


def _labelled(names: Sequence[str]) -> list[str]:
    """The rows that are named: all, or every second, third and so on where they are many."""
    return list(names[:: -(-len(names) // _MOST_LABELS)])
