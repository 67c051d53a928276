import random

from nasdrop.view.layout_order import Graph, Link, Vertex, order


def columns(count: int, of: int) -> list[Vertex]:
    return [Vertex(rank, 10, 10) for rank in range(count) for _ in range(of)]


def test_a_link_that_passes_columns_gets_a_lane_in_each():
    graph = Graph([Vertex(0, 1, 1), Vertex(1, 1, 1), Vertex(3, 1, 1)], [Link(0, 2), Link(0, 1)], lane=8)
    assert graph.chains == [[0, 3, 4, 2], [0, 1]]
    assert [graph.ranks[v] for v in (3, 4)] == [1, 2]
    assert [graph.is_lane(v) for v in range(5)] == [False, False, False, True, True]


def test_crossings_are_counted_with_their_weights():
    links = [Link(0, 3, 2.0), Link(1, 2, 5.0)]
    assert Graph(columns(2, 2), links, lane=8).crossings() == 10.0
    assert Graph(columns(2, 2), [Link(0, 2), Link(1, 3)], lane=8).crossings() == 0.0
    assert Graph(columns(2, 2), [Link(0, 2), Link(0, 3), Link(1, 3)], lane=8).crossings() == 0.0


def test_a_crossing_that_can_be_avoided_is():
    graph = Graph(columns(3, 3), [Link(0, 5), Link(1, 4), Link(2, 3), Link(3, 6), Link(4, 7), Link(5, 8)], lane=8)
    order(graph)
    assert graph.crossings() == 0


def test_ordering_never_makes_it_worse_and_loses_nothing():
    dice = random.Random(0)
    for _ in range(50):
        vertices = columns(4, 4)
        links = {(a, b) for a in range(16) for b in range(16) if b // 4 > a // 4 and dice.random() < 0.15}
        graph = Graph(vertices, [Link(*link) for link in sorted(links)], lane=8)
        before, members = graph.crossings(), [sorted(column) for column in graph.columns]
        order(graph)
        assert graph.crossings() <= before
        assert [sorted(column) for column in graph.columns] == members
        assert all(column[graph.position[v]] == v for column in graph.columns for v in column)


def test_the_first_column_is_not_left_upside_down():
    graph = Graph(columns(2, 3), [Link(0, 5), Link(1, 4), Link(2, 3)], lane=8)
    order(graph)
    assert graph.columns == [[0, 1, 2], [5, 4, 3]]
