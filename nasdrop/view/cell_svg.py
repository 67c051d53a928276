"""Cell pictures as SVG, without any system package.

Read from left to right: inputs, an operation box an edge in the column before the node it enters, nodes (sums), and the
bar that concatenates them. A path that drops is drawn dashed; the drawn share of the line is the share that is kept.
"""

from collections.abc import Mapping, Sequence

from nasdrop.space.genotype import CellGenotype, Genotype
from nasdrop.view.cell_drawing import Drawing, Rates, draw_cell, line
from nasdrop.view.labels import FAMILIES
from nasdrop.view.palette import CELL_COMMON, CELL_DARK, CELL_LIGHT
from nasdrop.view.svg import document, element, number, style, text, text_width

_MARGIN = 22.0
_BETWEEN = 40.0
_HEADING = 34.0
_LEGEND_ROW = 22.0
_SIDE_BY_SIDE = 1240.0


def cell_svg(
    cell: CellGenotype,
    *,
    title: str | None = None,
    input_names: Sequence[str] | None = None,
    rates: Rates | None = None,
) -> str:
    """Draw one cell.

    Args:
        cell: what to draw.
        title: heading; None: the cell's name.
        input_names: one an input; None: "cell k−2", "cell k−1".
        rates: drop probability in [0, 1] by index into `cell.edges`, 0 where an index is missing; None: not shown.
    """
    return _document([draw_cell(cell, input_names, rates)], [title or cell.name], title or f"cell {cell.name}")


def genotype_svg(
    genotype: Genotype,
    *,
    title: str | None = None,
    input_names: Sequence[str] | None = None,
    rates: Mapping[str, Rates] | None = None,
) -> str:
    """Draw all cell types of a genotype, side by side where they fit and else stacked.

    Args:
        genotype: what to draw.
        title: stands before each cell's name; None: only the names.
        input_names: one an input, the same for every cell type.
        rates: by cell name, then as in `cell_svg`.
    """
    drawings = [
        draw_cell(cell, input_names, None if rates is None else rates.get(cell.name, {})) for cell in genotype.cells
    ]
    titles = [f"{title} · {cell.name}" if title else cell.name for cell in genotype.cells]
    return _document(drawings, titles, title or f"cells of {genotype.space}")


def _document(drawings: Sequence[Drawing], titles: Sequence[str], label: str) -> str:
    """Cells with headings, one legend for all below them."""
    widths = [max(d.width, _heading_width(d, title)) for d, title in zip(drawings, titles, strict=True)]
    in_a_row = sum(widths) + _BETWEEN * (len(widths) - 1) <= _SIDE_BY_SIDE
    tallest = max((d.height for d in drawings), default=0.0)
    x = y = _MARGIN
    right = bottom = _MARGIN
    body = []
    for drawing, title, width in zip(drawings, titles, widths, strict=True):
        drop = (tallest - drawing.height) / 2 if in_a_row else 0.0
        body.append(_cell(drawing, title, x, y, drop))
        right = max(right, x + width)
        bottom = max(bottom, y + _HEADING + drop + drawing.height)
        if in_a_row:
            x += width + _BETWEEN
        else:
            y = bottom + _BETWEEN
    legend, legend_width, legend_height = _legend(drawings, max(right - _MARGIN, 420.0))
    if legend:
        place = f"translate({number(_MARGIN)} {number(bottom + _MARGIN)})"
        body.append(element("g", legend, class_="legend", transform=place))
        right, bottom = max(right, _MARGIN + legend_width), bottom + _MARGIN + legend_height
    return document(
        right + _MARGIN, bottom + _MARGIN, label, style(CELL_LIGHT, CELL_DARK, CELL_COMMON), "\n".join(body)
    )


def _cell(drawing: Drawing, title: str, x: float, y: float, drop: float) -> str:
    words = element("tspan", text(title), class_="title")
    words += element("tspan", text(drawing.subtitle), class_="subtitle", dx=10)
    heading = element("text", words, x=x, y=y + 11)
    place = f"translate({number(x)} {number(y + _HEADING + drop)})"
    inner = element("g", f"\n{drawing.body}\n", transform=place)
    return element("g", heading + inner, class_="cell", data_cell=drawing.name)


def _heading_width(drawing: Drawing, title: str) -> float:
    return text_width(title, 14.7) + 10 + text_width(drawing.subtitle, 11)


def _legend(drawings: Sequence[Drawing], room: float) -> tuple[str, float, float]:
    """What the colours and dashes mean, in rows no wider than `room`; markup, width, height."""
    met = frozenset[str]().union(*(d.families for d in drawings))
    items = [(_swatch(name), 24.0, meaning) for name, meaning in FAMILIES.items() if name in met]
    rates = sorted({rate for d in drawings for rate in d.rates if rate > 0})
    for rate in rates if len(rates) <= 2 else (rates[0], rates[-1]):
        sample = element("g", line([(0, 0), (36, 0)], rate), class_="link")
        items += [(sample, 42.0, f"dropped with p = {rate:.3g}")]
    body, x, y, widest = [], 0.0, 6.0, 0.0
    for mark, indent, meaning in items:
        width = indent + text_width(meaning, 11)
        if x and x + width > room:
            x, y = 0.0, y + _LEGEND_ROW
        label = element("text", text(meaning), class_="subtitle", x=indent, y=4)
        body.append(element("g", mark + label, transform=f"translate({number(x)} {number(y)})"))
        widest = max(widest, x + width)
        x += width + 14
    return "".join(body), widest, y + 6 if body else 0.0


def _swatch(name: str) -> str:
    return element("g", element("rect", x=0.0, y=-6.0, width=17.0, height=12.0, rx=3.5), class_=f"swatch {name}")
