from itertools import pairwise

import pytest

from nasdrop.view.layout import Link, Place, Spacing, Vertex, layered


def test_a_place_knows_its_borders():
    place = Place(10, 20, 4, 6)
    assert (place.left, place.right, place.top, place.bottom) == (8, 12, 17, 23)


def test_two_boxes_in_a_row():
    layout = layered([Vertex(0, 100, 30), Vertex(1, 60, 20)], [Link(0, 1)], Spacing(columns=50))
    assert layout.places == (Place(50, 15, 100, 30), Place(180, 15, 60, 20))
    assert layout.routes == (((100, 15), (150, 15)),)
    assert (layout.width, layout.height) == (210, 30)


def test_columns_are_as_wide_as_their_widest_box_and_do_not_touch():
    vertices = [Vertex(0, 40, 20), Vertex(1, 80, 20), Vertex(1, 30, 20), Vertex(2, 40, 20)]
    layout = layered(vertices, [Link(0, 1), Link(0, 2), Link(1, 3), Link(2, 3), Link(0, 3)])
    wide, narrow = layout.places[1], layout.places[2]
    assert narrow.x == wide.x
    assert wide.left - layout.places[0].right >= Spacing().columns
    for route in layout.routes:
        assert [x for x, _ in route] == sorted(x for x, _ in route)
        for (x0, y0), (x1, y1) in pairwise(route):
            bends = abs(y1 - y0) > 1e-9
            inside_a_column = any(p.left < (x0 + x1) / 2 < p.right for p in (layout.places[0], wide, layout.places[3]))
            assert not (bends and inside_a_column)


def test_gaps_widen_where_a_line_climbs():
    flat = layered([Vertex(0, 10, 10), Vertex(1, 10, 10)], [Link(0, 1)])
    steep = layered([Vertex(0, 10, 10), *(Vertex(1, 10, 30) for _ in range(6))], [Link(0, n) for n in range(1, 7)])
    assert steep.places[1].left - steep.places[0].right > flat.places[1].left - flat.places[0].right
    assert steep.places[1].left - steep.places[0].right <= Spacing().widest


def test_nothing_to_draw():
    layout = layered([], [])
    assert (layout.places, layout.routes) == ((), ())
    assert (layout.width, layout.height) == (pytest.approx(0), pytest.approx(0))
