from PIL import Image

from nasdrop.view.chart import Chart, Series, rate_over_time
from nasdrop.view.chart_png import chart_png


def test_a_picture_of_the_size_asked_for(tmp_path):
    chart_png(rate_over_time({"a": [0, 0.2], "$b$": [0.2, 0.1]}, epochs=5), tmp_path / "x.png", width=4, height=2)
    with Image.open(tmp_path / "x.png") as image:
        assert image.size == (640, 320)
        assert len(image.convert("RGB").getcolors(100_000)) > 10


def test_odd_text_is_no_formula(tmp_path):
    chart_png(Chart("$\\frac", (Series("$x", ((0, 1),)), Series("_y", ((0, 1),))), "$_", "$^"), tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 0
