import io

import pytest
from PIL import Image

from nasdrop.view.cell_png import cell_png


def picture(png):
    with Image.open(io.BytesIO(png)) as image:
        return image.convert("RGB")


@pytest.mark.parametrize("space", ["darts", "nasnet", "nas_bench_201"])
def test_a_picture_has_the_colours_of_its_operations(draw, space):
    image = picture(cell_png(draw(space, 3)))
    colours = {colour for _, colour in image.getcolors(1_000_000)}
    assert (255, 255, 255) in colours
    assert (29, 39, 51) in colours  # a node
    assert len(colours) > 100


def test_resolution_scales_the_picture(darts_v2):
    small, large = (picture(cell_png(darts_v2, dots_per_inch=dots)) for dots in (48, 96))
    assert abs(large.width - 2 * small.width) <= 1 and abs(large.height - 2 * small.height) <= 1


def test_rates_and_a_title_change_the_picture(darts_v2):
    plain = picture(cell_png(darts_v2, dots_per_inch=48))
    rated = picture(cell_png(darts_v2, title="best", rates={"normal": {0: 0.5}}, dots_per_inch=48))
    assert rated.height > plain.height


def test_hostile_names_are_drawn(hostile):
    assert picture(cell_png(hostile, title="$x_\\frac$", dots_per_inch=48)).width > 100
