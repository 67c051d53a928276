import io
import math

import pytest
from PIL import Image

from nasdrop.errors import InputError
from nasdrop.view.heat import HeatMap, heat_png, heat_svg, strength


def make(rows=3, columns=5, **changes):
    values = {f"edge {i}": [0.1 * i * column for column in range(columns)] for i in range(rows)}
    return HeatMap("Rates <b>", values, y_label="share", **changes)


def test_equal_neighbours_share_a_rectangle_and_a_gap_has_none(parse):
    heat = HeatMap("x", {"a": [0.1, 0.1, 0.3], "b": [math.nan, 0.2, math.nan]})
    tips = [title.text for rect in parse(heat_svg(heat)).iter("rect") for title in rect.iter("title")]
    assert tips == ["a, 0-1: 0.1", "a, 2: 0.3", "b, 1: 0.2"]


def test_a_larger_value_is_stronger():
    shades = [strength(value / 10, 1.0) for value in range(11)]
    assert shades == sorted(shades) and len(set(shades)) == 11
    assert strength(2.0, 1.0) == strength(1.0, 1.0) == 1.0 and strength(-1.0, 1.0) == strength(0.0, 1.0) > 0


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 5), (160, 2), (2, 600)])
def test_any_size_is_drawn_within_its_picture(parse, rows, columns):
    root = parse(heat_svg(make(rows, columns)))
    width, height = float(root.get("width")), float(root.get("height"))
    for rect in root.iter("rect"):
        assert float(rect.get("x")) >= 0 and float(rect.get("x")) + float(rect.get("width")) <= width + 1e-6
        assert float(rect.get("y")) + float(rect.get("height")) <= height + 1e-6
    labels = [text.text for text in root.iter("text") if text.text.startswith("edge")]
    assert len(labels) == min(rows, 54 if rows > 60 else rows)


def test_png():
    with Image.open(io.BytesIO(heat_png(make(), dots_per_inch=100))) as image:
        assert image.width == 720
        assert len(image.convert("RGB").getcolors(100_000)) > 10


def test_nothing_to_draw_is_refused():
    with pytest.raises(InputError, match="heat map: needs a value"):
        HeatMap("", {"a": [math.nan]})


def test_steps_number_the_moments(parse):
    words = [text.text for text in parse(heat_svg(make(1, 3, steps=(10, 30)))).iter("text")]
    assert {"10", "20", "30"} <= set(words)
