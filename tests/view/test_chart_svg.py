import math
import re

import pytest

from nasdrop.view.chart import Chart, Series, rate_over_time
from nasdrop.view.chart_svg import chart_svg


def curve(root, name):
    (group,) = [group for group in root.iter("g") if group.attrib.get("data-series") == name]
    return group


def line(path):
    return [tuple(map(float, point.split())) for point in re.split("[ML]", path.attrib["d"])[1:]]


def test_curves_stand_where_the_axes_say(parse):
    root = parse(chart_svg(rate_over_time({"linear": [0.0, 0.2], "flat": [0.1, 0.1]}, epochs=50)))
    texts = {"".join(text.itertext()): text.attrib for text in root.iter("text")}
    (start, low), (end, high) = line(curve(root, "linear").find("path"))
    assert float(texts["0"]["x"]) == start
    assert float(texts["50"]["x"]) == end
    assert float(texts["0.00"]["y"]) == pytest.approx(low + 4, abs=0.02)
    assert float(texts["0.20"]["y"]) == pytest.approx(high + 4, abs=0.02)
    assert [y for _, y in line(curve(root, "flat").find("path"))] == pytest.approx([(low + high) / 2] * 2, abs=0.02)


def test_series_differ_in_colour_and_dash(parse):
    root = parse(chart_svg(rate_over_time({name: [0.0, 0.1] for name in "abcdefgh"}, epochs=5)))
    paths = [curve(root, name).find("path").attrib for name in "abcdef"]
    assert len({path["class"] for path in paths}) == 6
    assert len({path.get("stroke-dasharray") for path in paths}) == 6
    assert curve(root, "g").find("path").attrib["class"] == paths[0]["class"]


def test_few_points_are_dotted_and_many_are_not(parse):
    few = parse(chart_svg(Chart("", (Series("a", ((0, 1), (1, 2), (2, math.nan), (3, 1))),))))
    assert len(list(few.iter("circle"))) == 3
    many = parse(chart_svg(Chart("", (Series("a", tuple((i, i % 7) for i in range(100))),))))
    assert not list(many.iter("circle"))


def test_flat_stretches_are_thinned_without_losing_corners(parse):
    points = tuple((i, 0.0 if i < 50 else 1.0) for i in range(100))
    path = line(parse(chart_svg(Chart("", (Series("a", points),)))).find(".//g/path"))
    assert len(path) == 4


def test_everything_lies_on_the_panel(parse):
    chart = rate_over_time({f"a rather long name {i}": [0.0, i / 10] for i in range(9)}, epochs=50)
    for width, height in ((720, 360), (480, 420)):
        root = parse(chart_svg(chart, width=width, height=height))
        for text in root.iter("text"):
            assert 0 <= float(text.attrib["x"]) <= width
        for group in root.iter("g"):
            for path in group.findall("path"):
                if "data-series" in group.attrib:
                    assert all(0 <= x <= width and 0 <= y <= height for x, y in line(path))


def test_names_are_escaped(parse):
    chart = Chart("<b>&", (Series('"<i>', ((0, 1), (1, 2))), Series("b", ((0, 1),))), "<x>", "<y>")
    root = parse(chart_svg(chart))
    texts = ["".join(text.itertext()) for text in root.iter("text")]
    assert {"<b>&", "<x>", "<y>", '"<i>'} <= set(texts)
    assert {element.tag for element in root.iter()} <= {
        "svg",
        "style",
        "rect",
        "g",
        "path",
        "line",
        "circle",
        "title",
        "text",
    }


def test_a_single_unnamed_curve_needs_no_legend(parse):
    root = parse(chart_svg(Chart("loss", (Series("loss", ((0, 1), (1, 2))),))))
    assert not [group for group in root.iter("g") if group.attrib.get("class") == "legend"]
