"""Cell pictures as PNG, by matplotlib, laid out as the SVG is; on white, for TensorBoard, slides and papers."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import pairwise
from typing import Any

from nasdrop.space.genotype import CellGenotype, Genotype
from nasdrop.view.cell_drawing import PlacedCell, Rates, dashes, output_word, place_cell, shown_name
from nasdrop.view.labels import family
from nasdrop.view.layout import Place, Point
from nasdrop.view.palette import FAMILY_LIGHT, INK_LIGHT, MUTED_LIGHT, Colours
from nasdrop.view.png import figure_of, plain, save

_MARGIN = 16.0
_HEADING = 30.0
_PIXELS_AN_INCH = 96.0
_POINTS = 72.0 / _PIXELS_AN_INCH


def cell_png(
    genotype: Genotype,
    *,
    title: str = "",
    rates: Mapping[str, Rates] | None = None,
    dots_per_inch: int = 160,
) -> bytes:
    """Draw all cell types of a genotype, one below another; the PNG file's bytes.

    Args:
        genotype: what to draw.
        title: stands before each cell's name.
        rates: drop probability in [0, 1] by cell name, then by index into its edges; None: not shown.
        dots_per_inch: resolution; 96 is the size of the SVG.
    """
    placed = [place_cell(cell, None, with_rates=rates is not None) for cell in genotype.cells]
    width = max((one.width for one in placed), default=0.0) + 2 * _MARGIN
    height = sum(one.height + _HEADING + _MARGIN for one in placed) + _MARGIN
    figure = figure_of(width / _PIXELS_AN_INCH, height / _PIXELS_AN_INCH, dots_per_inch)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    top = _MARGIN
    for cell, one in zip(genotype.cells, placed, strict=True):
        heading = f"{title} · {cell.name}" if title else cell.name
        axes.text(_MARGIN, top + 11, plain(heading), color=INK_LIGHT, fontsize=14 * _POINTS, weight="bold", va="center")
        _Painter(axes, (_MARGIN, top + _HEADING)).cell(cell, one, None if rates is None else rates.get(cell.name, {}))
        top += one.height + _HEADING + _MARGIN
    file = BytesIO()
    save(figure, file)
    return file.getvalue()


class _Painter:
    """Draws one placed cell on axes whose unit is a pixel and whose y points down."""

    def __init__(self, axes: Any, offset: Point) -> None:
        self.axes, self.offset = axes, offset

    def cell(self, cell: CellGenotype, placed: PlacedCell, rates: Rates | None) -> None:
        """Lines first, then what stands on them."""
        for route in placed.output_routes:
            self._line(route, MUTED_LIGHT, 1.2)
        for index, edge in enumerate(cell.edges):
            colours, rate = FAMILY_LIGHT[family(edge.operation)], 0.0 if rates is None else rates.get(index, 0.0)
            into, out = placed.routes[index]
            self._line(into, colours.stroke, 1.7, rate, arrow=False)
            self._line(out, colours.stroke, 1.7, rate)
            place = placed.operations[index]
            self._box(place, colours, 6.0, dotted=family(edge.operation) == "none")
            self._text(place.x, place.y - (0 if rates is None else 7), shown_name(edge.operation), 12)
            if rates is not None:
                self._text(place.x, place.y + 9, f"p {rate:.3g}", 10, MUTED_LIGHT)
        for node, place in placed.nodes.items():
            is_input = node < len(placed.inputs)
            colours = Colours("#ffffff", INK_LIGHT) if is_input else Colours(INK_LIGHT, INK_LIGHT)
            self._box(place, colours, 8.0 if is_input else min(place.width, place.height) / 2)
            label = placed.inputs[node] if is_input else str(node)
            self._text(place.x, place.y, label, 12, INK_LIGHT if is_input else "#ffffff")
        if placed.bar:
            self._box(placed.bar, Colours("#ffffff", INK_LIGHT), 8.0)
            self._text(placed.bar.x, placed.bar.y, output_word(cell), 12, rotation=90)

    def _line(
        self, route: Sequence[Point], colour: str, width: float, rate: float = 0.0, *, arrow: bool = True
    ) -> None:
        from matplotlib.patches import PathPatch, Polygon
        from matplotlib.path import Path

        (dx, dy), (x, y) = self.offset, route[0]
        points, codes = [(x + dx, y + dy)], [Path.MOVETO]
        for (x0, y0), (x1, y1) in pairwise(route):
            middle = (x0 + x1) / 2 + dx
            points += [(middle, y0 + dy), (middle, y1 + dy), (x1 + dx, y1 + dy)]
            codes += 3 * [Path.CURVE4]
        lengths = dashes(rate)
        style = (0, tuple(length / width for length in lengths)) if lengths else "-"
        patch = PathPatch(Path(points, codes), fill=False, edgecolor=colour, linewidth=width * _POINTS, linestyle=style)
        patch.set_capstyle("butt")
        self.axes.add_patch(patch)
        if arrow:
            tip_x, tip_y = points[-1]
            corners = [(tip_x, tip_y), (tip_x - 6, tip_y - 3.4), (tip_x - 6, tip_y + 3.4)]
            self.axes.add_patch(Polygon(corners, closed=True, facecolor=colour, linewidth=0))

    def _box(self, place: Place, colours: Colours, radius: float, *, dotted: bool = False) -> None:
        from matplotlib.patches import FancyBboxPatch

        dx, dy = self.offset
        self.axes.add_patch(
            FancyBboxPatch(
                (place.left + dx, place.top + dy),
                place.width,
                place.height,
                boxstyle=f"round,pad=0,rounding_size={radius}",
                facecolor=colours.fill,
                edgecolor=colours.stroke,
                linewidth=1.3 * _POINTS,
                linestyle=(0, (3, 3)) if dotted else "-",
            )
        )

    def _text(self, x: float, y: float, words: str, size: float, colour: str = INK_LIGHT, rotation: float = 0) -> None:
        dx, dy = self.offset
        self.axes.text(
            *(x + dx, y + dy),
            plain(words),
            color=colour,
            fontsize=size * _POINTS,
            rotation=rotation,
            ha="center",
            va="center_baseline",
        )
