import random
from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import minimize

from nasdrop.view.layout_heights import Ports, heights, spread
from nasdrop.view.layout_order import Graph, Link, Vertex, order


def least_squares(wishes, weights, offsets):
    """The same problem for a general solver."""
    gaps = [
        {"type": "ineq", "fun": lambda y, i=i: y[i + 1] - y[i] - (offsets[i + 1] - offsets[i])}
        for i in range(len(wishes) - 1)
    ]
    return minimize(lambda y: float(np.sum(weights * (y - wishes) ** 2)), offsets, constraints=gaps, tol=1e-10).x


def test_spread_is_the_least_squares_answer():
    dice = random.Random(1)
    for _ in range(15):
        count = dice.randint(1, 6)
        wishes = [dice.uniform(-50, 50) for _ in range(count)]
        weights = [dice.choice([0.5, 1.0, 3.0, 8.0]) for _ in range(count)]
        offsets = list(np.cumsum([0.0, *(dice.uniform(5, 20) for _ in range(count - 1))]))
        found = spread(wishes, weights, offsets)
        assert found == pytest.approx(list(least_squares(wishes, weights, offsets)), abs=1e-2)


def test_wishes_that_fit_are_granted():
    assert spread([0, 50, 90], [1, 1, 1], [0, 10, 20]) == [0, 50, 90]


def test_nothing_in_a_column_comes_nearer_than_the_gap():
    dice = random.Random(2)
    for _ in range(40):
        vertices = [Vertex(rank, 10, dice.choice([12, 26, 40])) for rank in range(4) for _ in range(3)]
        links = sorted({(a, b) for a in range(12) for b in range(12) if b // 3 > a // 3 and dice.random() < 0.3})
        graph = Graph(vertices, [Link(*link) for link in links], lane=8)
        order(graph)
        centres = heights(graph, Ports(graph), gap=10)
        for column in graph.columns:
            for upper, lower in pairwise(column):
                room = centres[lower] - centres[upper] - (graph.sizes[lower] + graph.sizes[upper]) / 2
                assert room >= 10 - 1e-6
        assert min(y - size / 2 for y, size in zip(centres, graph.sizes, strict=True)) == pytest.approx(0)


def test_a_long_link_with_room_is_straight():
    graph = Graph([Vertex(0, 1, 30), Vertex(1, 1, 26), Vertex(3, 1, 12)], [Link(0, 1), Link(0, 2)], lane=8)
    order(graph)
    ports = Ports(graph)
    centres = heights(graph, ports, gap=10)
    first, second, end = graph.chains[1][1:]
    assert centres[first] == centres[second] == centres[end]


def test_ports_fan_out_in_the_order_of_their_ends_and_stay_on_their_box():
    graph = Graph([Vertex(0, 1, 30), *(Vertex(1, 1, 26) for _ in range(7))], [Link(0, n) for n in range(1, 8)], lane=8)
    ports = Ports(graph)
    offsets = [ports.leave[0, vertex] for vertex in graph.columns[1]]
    assert offsets == sorted(offsets)
    assert sum(offsets) == pytest.approx(0)
    assert max(offsets) <= 15
    assert set(ports.arrive.values()) == {0.0}
