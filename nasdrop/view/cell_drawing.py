"""One cell as SVG markup without frame or legend: which boxes there are, and how they and their lines are drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from nasdrop.space.genotype import CellGenotype
from nasdrop.view.labels import family, input_labels
from nasdrop.view.layout import Link, Place, Point, Vertex, layered
from nasdrop.view.svg import element, number, shorten, text, text_width

Rates = Mapping[int, float]

_NODE = 30.0
_BAR = 28.0
_DASH_PERIOD = 12.0
_LONGEST_NAME = 28
_BASELINE = 4.2
_TOGETHER = 3.0  # crossings behind the operations cost more: those of one node are to stand together


@dataclass(frozen=True)
class Drawing:
    """A drawn cell: markup that fills (0, 0) to (width, height), and what a legend must explain."""

    name: str
    subtitle: str
    body: str
    width: float
    height: float
    families: frozenset[str]
    rates: tuple[float, ...]


@dataclass(frozen=True)
class _Parts:
    """The layout's vertices: nodes, then one operation an edge, then the ports of the output bar; and its links.

    Links: two an edge (into its operation, on to its node), then one a concatenated node.
    """

    vertices: list[Vertex]
    links: list[Link]
    nodes: dict[int, int]
    first_operation: int
    first_port: int


@dataclass(frozen=True)
class PlacedCell:
    """Where everything of a cell is, whatever draws it.

    Attributes:
        width: of the whole.
        height: of the whole.
        inputs: names of the input nodes, in order.
        nodes: place of each node, inputs included, by its number.
        operations: place of each edge's box.
        routes: of each edge, the way into its box and the way on to its node.
        bar: place of the output bar; None where nothing is concatenated.
        output_routes: of each concatenated node, the way to the bar.
    """

    width: float
    height: float
    inputs: tuple[str, ...]
    nodes: dict[int, Place]
    operations: tuple[Place, ...]
    routes: tuple[tuple[Sequence[Point], Sequence[Point]], ...]
    bar: Place | None
    output_routes: tuple[Sequence[Point], ...]


def place_cell(cell: CellGenotype, input_names: Sequence[str] | None, *, with_rates: bool) -> PlacedCell:
    """Lay a cell out; `with_rates` leaves room for them in the boxes."""
    inputs = input_labels(cell, input_names)
    parts = _parts(cell, inputs, box_height=38.0 if with_rates else 26.0)
    layout, edges = layered(parts.vertices, parts.links), len(cell.edges)
    return PlacedCell(
        width=layout.width,
        height=layout.height,
        inputs=inputs,
        nodes={node: layout.places[vertex] for node, vertex in parts.nodes.items()},
        operations=tuple(layout.places[parts.first_operation : parts.first_operation + edges]),
        routes=tuple((layout.routes[2 * index], layout.routes[2 * index + 1]) for index in range(edges)),
        bar=_bar_place(layout.places[parts.first_port :], output_word(cell)) if cell.concat else None,
        output_routes=tuple(layout.routes[2 * edges :]),
    )


def draw_cell(cell: CellGenotype, input_names: Sequence[str] | None, rates: Rates | None) -> Drawing:
    """Lay a cell out and draw it; arguments as `cell_svg` has them."""
    placed = place_cell(cell, input_names, with_rates=rates is not None)
    body = [_output_link(route, node) for route, node in zip(placed.output_routes, cell.concat, strict=True)]
    body += [_edge(cell, index, placed, rates) for index in range(len(cell.edges))]
    body += [_node(node, place, placed.inputs) for node, place in placed.nodes.items()]
    if placed.bar:
        body.append(_bar(placed.bar, cell))
    return Drawing(
        name=cell.name,
        subtitle=f"{_plural(len(placed.nodes) - len(placed.inputs), 'node')}, {_plural(len(cell.edges), 'operation')}",
        body="\n".join(body),
        width=placed.width,
        height=placed.height,
        families=frozenset(family(edge.operation) for edge in cell.edges),
        rates=() if rates is None else tuple(sorted({rates.get(i, 0.0) for i in range(len(cell.edges))})),
    )


def dashes(rate: float) -> tuple[float, float] | None:
    """Lengths of dash and gap of a line whose path drops with probability `rate`: the kept share is drawn."""
    drawn = max(_DASH_PERIOD * (1 - rate), 0.5)
    return (drawn, _DASH_PERIOD - drawn) if rate > 0 else None


def line(route: Sequence[Point], rate: float = 0.0) -> str:
    """A line along way points; of a line whose path drops with probability `rate`, the kept share is drawn."""
    path = [f"M{number(route[0][0])} {number(route[0][1])}"]
    for (x0, y0), (x1, y1) in pairwise(route):
        if abs(y1 - y0) < 0.01:
            path.append(f"H{number(x1)}")
        else:
            middle = number((x0 + x1) / 2)
            path.append(f"C{middle} {number(y0)} {middle} {number(y1)} {number(x1)} {number(y1)}")
    lengths = dashes(rate)
    pattern = f"{number(lengths[0])} {number(lengths[1])}" if lengths else None
    return element("path", class_="wire", d="".join(path), stroke_dasharray=pattern)


def _parts(cell: CellGenotype, inputs: Sequence[str], box_height: float) -> _Parts:
    ranks = _node_ranks(cell, len(inputs))
    input_width = max((text_width(name, 12) + 24 for name in inputs), default=_NODE)
    box_width = max((text_width(shown_name(edge.operation), 12) + 20 for edge in cell.edges), default=_NODE)
    vertices: list[Vertex] = []
    links: list[Link] = []
    nodes: dict[int, int] = {}
    for node, rank in ranks.items():
        nodes[node] = len(vertices)
        arrivals = sum(edge.target == node for edge in cell.edges)
        departures = sum(edge.source == node for edge in cell.edges)
        height = max(_NODE, 14.0 * arrivals, 8.0 * departures)
        vertices.append(Vertex(rank, input_width if node < len(inputs) else _NODE, height))
    first_operation = len(vertices)
    for edge in cell.edges:
        links.append(Link(nodes[edge.source], len(vertices)))
        links.append(Link(len(vertices), nodes[edge.target], weight=_TOGETHER))
        vertices.append(Vertex(ranks[edge.target] - 1, box_width, box_height))
    first_port = len(vertices)
    for node in cell.concat:
        links.append(Link(nodes[node], len(vertices)))
        vertices.append(Vertex(max(ranks.values()) + 1, _BAR, 12.0))
    return _Parts(vertices, links, nodes, first_operation, first_port)


def _node_ranks(cell: CellGenotype, num_inputs: int) -> dict[int, int]:
    """The column of every node: 0 for inputs, even columns for others, by the longest way from an input."""
    used = {*range(num_inputs), *cell.concat}
    used.update(node for edge in cell.edges for node in (edge.source, edge.target))
    ranks = {node: 0 if node < num_inputs else 2 for node in sorted(used)}
    for _ in ranks:
        for edge in cell.edges:
            ranks[edge.target] = max(ranks[edge.target], ranks[edge.source] + 2)
    return ranks


def _edge(cell: CellGenotype, index: int, placed: PlacedCell, rates: Rates | None) -> str:
    """A whole edge: its line into the operation's box, the box, and its line on to the node."""
    edge, rate = cell.edges[index], None if rates is None else rates.get(index, 0.0)
    (into, out), place = placed.routes[index], placed.operations[index]
    tip = f"{edge.source} → {edge.target}: {edge.operation}"
    label = element(
        "text", text(shown_name(edge.operation)), x=place.x, y=place.y + (_BASELINE if rate is None else -2.5)
    )
    if rate is not None:
        tip += f", dropped with p = {rate:.3g}"
        label += element("text", f"p {rate:.3g}", class_="small", x=place.x, y=place.y + 12.5)
    return element(
        "g",
        element("title", text(tip))
        + line(into, rate or 0.0)
        + line(out, rate or 0.0)
        + _arrow(out[-1])
        + _rect(place, radius=6)
        + label,
        class_=f"edge {family(edge.operation)}",
        data_edge=index,
        data_source=edge.source,
        data_target=edge.target,
        data_operation=edge.operation,
        data_rate=None if rate is None else f"{rate:.6g}",
    )


def _node(node: int, place: Place, inputs: Sequence[str]) -> str:
    is_input = node < len(inputs)
    label = inputs[node] if is_input else str(node)
    content = element("title", text(f"node {node}: {label}" if is_input else f"node {node}"))
    content += _rect(place, radius=8 if is_input else _NODE / 2)
    content += element("text", text(label), x=place.x, y=place.y + _BASELINE)
    return element("g", content, class_="input" if is_input else "node", data_node=node)


def _bar_place(ports: Sequence[Place], word: str) -> Place:
    """The output: one bar beside the ports of all nodes that are concatenated."""
    top, bottom = min(port.top for port in ports), max(port.bottom for port in ports)
    height = max(bottom - top + 16, text_width(word, 12) + 20)
    return Place(ports[0].x, (top + bottom) / 2, _BAR, height)


def output_word(cell: CellGenotype) -> str:
    """What the output bar is called."""
    return "concat" if len(cell.concat) > 1 else "output"


def _bar(place: Place, cell: CellGenotype) -> str:
    word = output_word(cell)
    content = element("title", text(f"{word} of node {', '.join(map(str, cell.concat))}")) + _rect(place, radius=8)
    turned = f"translate({number(place.x + _BASELINE)} {number(place.y)}) rotate(-90)"
    return element("g", content + element("text", word, transform=turned), class_="output")


def _output_link(route: Sequence[Point], node: int) -> str:
    return element("g", line(route) + _arrow(route[-1]), class_="link", data_node=node)


def _rect(place: Place, radius: float) -> str:
    return element("rect", x=place.left, y=place.top, width=place.width, height=place.height, rx=radius)


def _arrow(tip: Point) -> str:
    x, y = tip
    return element("path", class_="arrow", d=f"M{number(x)} {number(y)}l-6 -3.4v6.8z")


def shown_name(operation: str) -> str:
    """An operation's name as a box has room for it."""
    return shorten(operation, _LONGEST_NAME)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
