"""One cell as SVG markup without frame or legend: which boxes there are, and how they and their lines are drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from nasdrop.space.genotype import CellGenotype
from nasdrop.view.labels import family, input_labels
from nasdrop.view.layout import Layout, Link, Place, Point, Vertex, layered
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


def draw_cell(cell: CellGenotype, input_names: Sequence[str] | None, rates: Rates | None) -> Drawing:
    """Lay a cell out and draw it; arguments as `cell_svg` has them."""
    inputs = input_labels(cell, input_names)
    parts = _parts(cell, inputs, box_height=26.0 if rates is None else 38.0)
    layout = layered(parts.vertices, parts.links)
    output_routes = layout.routes[2 * len(cell.edges) :]
    body = [_output_link(route, node) for route, node in zip(output_routes, cell.concat, strict=True)]
    body += [_edge(cell, index, parts, layout, rates) for index in range(len(cell.edges))]
    body += [_node(node, layout.places[vertex], inputs) for node, vertex in parts.nodes.items()]
    if cell.concat:
        body.append(_bar(layout.places[parts.first_port :], cell.concat))
    return Drawing(
        name=cell.name,
        subtitle=f"{_plural(len(parts.nodes) - len(inputs), 'node')}, {_plural(len(cell.edges), 'operation')}",
        body="\n".join(body),
        width=layout.width,
        height=layout.height,
        families=frozenset(family(edge.operation) for edge in cell.edges),
        rates=() if rates is None else tuple(sorted({rates.get(i, 0.0) for i in range(len(cell.edges))})),
    )


def line(route: Sequence[Point], rate: float = 0.0) -> str:
    """A line along way points; of a line whose path drops with probability `rate`, the kept share is drawn."""
    path = [f"M{number(route[0][0])} {number(route[0][1])}"]
    for (x0, y0), (x1, y1) in pairwise(route):
        if abs(y1 - y0) < 0.01:
            path.append(f"H{number(x1)}")
        else:
            middle = number((x0 + x1) / 2)
            path.append(f"C{middle} {number(y0)} {middle} {number(y1)} {number(x1)} {number(y1)}")
    drawn = max(_DASH_PERIOD * (1 - rate), 0.5)
    dashes = f"{number(drawn)} {number(_DASH_PERIOD - drawn)}" if rate > 0 else None
    return element("path", class_="wire", d="".join(path), stroke_dasharray=dashes)


def _parts(cell: CellGenotype, inputs: Sequence[str], box_height: float) -> _Parts:
    ranks = _node_ranks(cell, len(inputs))
    input_width = max((text_width(name, 12) + 24 for name in inputs), default=_NODE)
    box_width = max((text_width(_shown(edge.operation), 12) + 20 for edge in cell.edges), default=_NODE)
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


def _edge(cell: CellGenotype, index: int, parts: _Parts, layout: Layout, rates: Rates | None) -> str:
    """A whole edge: its line into the operation's box, the box, and its line on to the node."""
    edge, rate = cell.edges[index], None if rates is None else rates.get(index, 0.0)
    into, out = layout.routes[2 * index : 2 * index + 2]
    place = layout.places[parts.first_operation + index]
    tip = f"{edge.source} → {edge.target}: {edge.operation}"
    label = element("text", text(_shown(edge.operation)), x=place.x, y=place.y + (_BASELINE if rate is None else -2.5))
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


def _bar(ports: Sequence[Place], concat: Sequence[int]) -> str:
    """The output: one bar beside the ports of all nodes that are concatenated."""
    word = "concat" if len(concat) > 1 else "output"
    top, bottom = min(port.top for port in ports), max(port.bottom for port in ports)
    height = max(bottom - top + 16, text_width(word, 12) + 20)
    place = Place(ports[0].x, (top + bottom) / 2, _BAR, height)
    content = element("title", text(f"{word} of node {', '.join(map(str, concat))}")) + _rect(place, radius=8)
    turned = f"translate({number(place.x + _BASELINE)} {number(place.y)}) rotate(-90)"
    return element("g", content + element("text", word, transform=turned), class_="output")


def _output_link(route: Sequence[Point], node: int) -> str:
    return element("g", line(route) + _arrow(route[-1]), class_="link", data_node=node)


def _rect(place: Place, radius: float) -> str:
    return element("rect", x=place.left, y=place.top, width=place.width, height=place.height, rx=radius)


def _arrow(tip: Point) -> str:
    x, y = tip
    return element("path", class_="arrow", d=f"M{number(x)} {number(y)}l-6 -3.4v6.8z")


def _shown(operation: str) -> str:
    return shorten(operation, _LONGEST_NAME)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
