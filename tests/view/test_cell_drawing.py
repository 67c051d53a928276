import re
from collections import Counter

import numpy as np
import pytest

from nasdrop.space.genotype import CellGenotype, GenotypeEdge
from nasdrop.view.cell_drawing import draw_cell, line
from nasdrop.view.svg import text_width

SHAPES = ["darts", "nasnet", "nas_bench_201", "tiny"]
NUMBER = r"-?[\d.]+"


def box(group):
    """(left, top, right, bottom) of a group's rectangle."""
    rect = group.find("rect")
    left, top, width, height = (float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
    return np.array([left, top, left + width, top + height])


def boxes(root):
    """Every box of a cell by its meaning: ("edge", 3), ("node", 2), ("output",)."""
    found = {}
    for group in root.iter("g"):
        kind = group.attrib.get("class", "").split(" ")[0]
        if kind == "edge":
            found["edge", int(group.attrib["data-edge"])] = box(group)
        elif kind in ("node", "input"):
            found["node", int(group.attrib["data-node"])] = box(group)
        elif kind == "output":
            found["output",] = box(group)
    return found


def points(path, samples=24):
    """Points along a wire, both ends included."""
    here = np.zeros(2)
    found = []
    for command, arguments in re.findall(r"([MHC])([^MHC]*)", path):
        values = [float(value) for value in re.findall(NUMBER, arguments)]
        if command == "M":
            here = np.array(values)
            found.append(here[None])
        elif command == "H":
            end = np.array([values[0], here[1]])
            found.append(np.linspace(here, end, samples))
            here = end
        else:
            one, two, end = np.array(values).reshape(3, 2)
            t = np.linspace(0, 1, samples)[:, None]
            curve = (1 - t) ** 3 * here + 3 * (1 - t) ** 2 * t * one + 3 * (1 - t) * t**2 * two + t**3 * end
            found.append(curve)
            here = end
    return np.concatenate(found)


def wires(group, samples=24):
    return [points(path.attrib["d"], samples) for path in group.iter("path") if path.attrib["class"] == "wire"]


def on_side(point, borders, side):
    """Whether a point lies on the left or right border of a box."""
    x = borders[0] if side == "left" else borders[2]
    return abs(point[0] - x) < 0.02 and borders[1] - 0.02 <= point[1] <= borders[3] + 0.02


@pytest.fixture(scope="module")
def drawn():
    """Drawings that several tests look at: (shape, seed) -> (cell, drawing, elements)."""
    return {}


@pytest.fixture
def pictures(drawn, draw, parse):
    """The first cell of so many random genotypes of a shape, drawn and read back."""

    def get(shape, count):
        for seed in range(count):
            if (shape, seed) not in drawn:
                cell = draw(shape, seed).cells[0]
                drawing = draw_cell(cell, None, None)
                drawn[shape, seed] = cell, drawing, parse(f"<svg>{drawing.body}</svg>")
            yield drawn[shape, seed]

    return get


@pytest.mark.parametrize("shape", SHAPES)
def test_every_edge_is_drawn_once_from_its_source_through_its_box_to_its_target(pictures, shape):
    for cell, _, root in pictures(shape, 300):
        groups = [group for group in root if group.attrib.get("class", "").startswith("edge ")]
        told = Counter(tuple(group.attrib[f"data-{n}"] for n in ("source", "target", "operation")) for group in groups)
        assert told == Counter((str(s), str(t), operation) for s, t, operation in cell.edges)
        assert sorted(int(group.attrib["data-edge"]) for group in groups) == list(range(len(cell.edges)))
        where = boxes(root)
        for group in groups:
            edge = cell.edges[int(group.attrib["data-edge"])]
            middle = where["edge", int(group.attrib["data-edge"])]
            into, out = wires(group, samples=2)
            assert on_side(into[0], where["node", edge.source], "right")
            assert on_side(into[-1], middle, "left")
            assert on_side(out[0], middle, "right")
            assert on_side(out[-1], where["node", edge.target], "left")


@pytest.mark.parametrize("shape", SHAPES)
def test_no_two_boxes_overlap_and_all_lie_on_the_drawing(pictures, shape):
    for cell, drawing, root in pictures(shape, 300):
        where = boxes(root)
        borders = np.array(list(where.values()))
        gaps = np.maximum(borders[:, None, :2] - borders[None, :, 2:], borders[None, :, :2] - borders[:, None, 2:])
        apart = gaps.max(-1) + 1000 * np.eye(len(borders))
        assert apart.min() > 3, cell
        inner = np.array([borders for key, borders in where.items() if key != ("output",)])
        assert inner.min() >= -0.01
        assert (inner[:, 2:].max(0) <= np.array([drawing.width, drawing.height]) + 0.01).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_no_line_touches_a_box_that_it_does_not_join(pictures, shape):
    for cell, _, root in pictures(shape, 60):
        where = boxes(root)
        for group in root:
            if "data-edge" in group.attrib:
                edge = cell.edges[int(group.attrib["data-edge"])]
                joined = {("edge", int(group.attrib["data-edge"])), ("node", edge.source), ("node", edge.target)}
            elif group.attrib.get("class") == "link":
                joined = {("node", int(group.attrib["data-node"])), ("output",)}
            else:
                continue
            others = np.array([borders for key, borders in where.items() if key not in joined])
            for wire in wires(group):
                inside = (wire[:, None] > others[None, :, :2] - 1) & (wire[:, None] < others[None, :, 2:] + 1)
                assert not inside.all(-1).any(), (cell, group.attrib)


@pytest.mark.parametrize("shape", SHAPES)
def test_words_fit_their_boxes(pictures, shape):
    for _, _, root in pictures(shape, 20):
        for group in root:
            if group.find("rect") is not None and group.attrib.get("class") != "output":
                left, _, right, _ = box(group)
                for words in group.findall("text"):
                    assert text_width(words.text, 12) <= right - left - 8
                    assert abs(float(words.attrib["x"]) - (left + right) / 2) < 0.02


def test_all_concatenated_nodes_reach_the_output(darts_v2, parse):
    root = parse(f"<svg>{draw_cell(darts_v2['normal'], None, None).body}</svg>")
    links = [group for group in root.iter("g") if group.attrib.get("class") == "link"]
    assert sorted(int(group.attrib["data-node"]) for group in links) == [2, 3, 4, 5]
    where = boxes(root)
    for group in links:
        (wire,) = wires(group)
        assert on_side(wire[0], where["node", int(group.attrib["data-node"])], "right")
        assert on_side(wire[-1], where["output",], "left")


def test_the_drawn_share_of_a_line_is_the_share_that_is_kept(parse):
    for rate in (0.1, 0.2, 0.5, 0.75):
        drawn, left_out = map(float, parse(line([(0, 0), (50, 20)], rate)).attrib["stroke-dasharray"].split())
        assert drawn / (drawn + left_out) == pytest.approx(1 - rate, abs=1e-3)
    assert "stroke-dasharray" not in parse(line([(0, 0), (50, 0)], 0.0)).attrib


def test_rates_are_shown_and_missing_ones_count_as_zero(darts_v2, parse):
    drawing = draw_cell(darts_v2["normal"], None, {0: 0.2, 1: 0.05})
    groups = {
        int(group.attrib["data-edge"]): group
        for group in parse(f"<svg>{drawing.body}</svg>").iter("g")
        if "data-edge" in group.attrib
    }
    assert [words.text for words in groups[0].findall("text")] == ["sep_conv_3x3", "p 0.2"]
    assert groups[2].attrib["data-rate"] == "0"
    assert "stroke-dasharray" in groups[1].find("path").attrib
    assert "stroke-dasharray" not in groups[2].find("path").attrib
    assert drawing.rates == (0.0, 0.05, 0.2)


def test_what_the_legend_must_explain(darts_v2):
    drawing = draw_cell(darts_v2["normal"], None, None)
    assert drawing.families == {"sep", "skip", "dil"}
    assert drawing.rates == ()
    assert drawing.subtitle == "4 nodes, 8 operations"


def test_a_node_that_nothing_enters_is_drawn_where_nodes_are(parse):
    cell = CellGenotype("normal", (GenotypeEdge(0, 1, "none"), GenotypeEdge(2, 3, "conv_1x1")), (1, 3))
    where = boxes(parse(f"<svg>{draw_cell(cell, None, None).body}</svg>"))
    assert where["node", 2][0] > where["node", 0][2]
    assert (
        draw_cell(CellGenotype("c", (GenotypeEdge(0, 1, "none"),), (1,)), None, None).subtitle == "1 node, 1 operation"
    )


def test_a_node_grows_with_what_enters_it(parse):
    heights = []
    for count in (2, 6):
        cell = CellGenotype("c", tuple(GenotypeEdge(0, 1, "conv_1x1") for _ in range(count)), (1,))
        _, top, _, bottom = boxes(parse(f"<svg>{draw_cell(cell, None, None).body}</svg>"))["node", 1]
        heights.append(bottom - top)
    assert heights == [30, 84]
