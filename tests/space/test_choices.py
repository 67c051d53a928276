import random
from collections import Counter

import pytest

from nasdrop.errors import GenotypeError
from nasdrop.space.choices import NodeChoices, Source, combined, count_kept

AB = ("a", "b")
NODES = {
    "pair": NodeChoices("n", (Source(0, AB), Source(1, AB), Source(2, AB)), 2),
    "repeated": NodeChoices("n", (Source(0, ("b", "a", "c"), 2), Source(1, ("b", "a", "c"), 2)), 2),
    "three copies": NodeChoices("n", (Source(0, AB, 3), Source(1, AB, 3)), 3),
    "own lists": NodeChoices("n", (Source(0, AB), Source(1, ("c",)), Source(2, ("a", "c", "d"))), 2),
    "all kept": NodeChoices("n", (Source(0, AB), Source(1, ("c", "d"))), 2),
    "one": NodeChoices("n", (Source(0, ("a",)),), 1),
}
node = pytest.mark.parametrize("node", NODES.values(), ids=NODES)


def test_sizes_by_hand():
    assert {name: choices.size for name, choices in NODES.items()} == {
        "pair": 3 * 4,
        "repeated": 9 + 2 * 6,
        "three copies": 2 * 4 + 2 * 3 * 2,
        "own lists": 2 + 6 + 3,
        "all kept": 4,
        "one": 1,
    }


@node
def test_every_option_once(node):
    options = list(node.enumerate())
    assert len(options) == len(set(options)) == node.size
    assert all(option == tuple(sorted(option)) and not node.problem(option) for option in options)


@node
def test_encode_and_decode(node):
    for option in node.enumerate():
        values = node.encode(option)
        assert list(values) == [decision.name for decision in node.decisions]
        assert all(values[name] in choices for name, choices in node.decisions)
        assert node.decode(values) == option


@node
def test_samples_are_uniform(node):
    rng = random.Random(0)
    counts = Counter(node.sample(rng) for _ in range(300 * node.size))
    assert set(counts) == set(node.enumerate())
    chi_square = sum((count - 300) ** 2 / 300 for count in counts.values())
    freedom = node.size - 1
    assert chi_square <= freedom + 4 * (2 * freedom) ** 0.5


@node
def test_moves_change_one_decision_and_are_mutual(node):
    reach = {option: {other for move in node.moves(option) for other in move} for option in node.enumerate()}
    for option, others in reach.items():
        assert option not in others
        assert others <= set(reach)
        assert all(option in reach[other] for other in others)


@node
def test_distance_one_by_brute_force(node):
    """An option is a neighbour where some reading of each differs in one decision, slots of unkept edges being free."""
    readings = {}
    slots = [decision.choices for decision in node.decisions]
    names = [decision.name for decision in node.decisions]
    for values in combined([lambda choices=choices: iter(choices) for choices in slots]):
        readings.setdefault(node.decode(dict(zip(names, values, strict=True))), []).append(values)
    for option in node.enumerate():
        near = {
            other
            for other, texts in readings.items()
            if other != option
            and any(sum(x != y for x, y in zip(a, b, strict=True)) == 1 for a in readings[option] for b in texts)
        }
        assert near == {other for move in node.moves(option) for other in move}


def test_names_of_decisions():
    assert [tuple(decision) for decision in NODES["pair"].decisions] == [
        ("n.inputs", ("0+1", "0+2", "1+2")),
        ("n.operation1", AB),
        ("n.operation2", AB),
    ]
    assert [decision.name for decision in NODES["own lists"].decisions] == ["n.inputs", "n.from0", "n.from2"]
    assert [decision.name for decision in NODES["all kept"].decisions] == ["n.from0", "n.from1"]
    assert NODES["repeated"].decisions[0].choices == ("0+0", "0+1", "1+1")
    assert NODES["one"].decisions == ()
    assert NODES["one"].moves(((0, "a"),)) == []


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        (((0, "a"),), "must keep 2 edges, got 1"),
        (((0, "a"), (0, "b")), "must keep inputs among 0, 1, 2, got 0+0"),
        (((0, "a"), (1, "none")), "must have a candidate operation on the edge from 1, got 'none'; known: a, b"),
    ],
)
def test_what_is_no_option(option, problem):
    assert NODES["pair"].problem(option) == problem


def test_copies_are_bounded():
    node = NodeChoices("n", (Source(0, AB, 2), Source(1, AB, 2)), 3)
    assert node.kept == ((0, 0, 1), (0, 1, 1))
    assert node.problem(((0, "a"),) * 3) == "must keep inputs among 0 (up to 2 times), 1 (up to 2 times), got 0+0+0"


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({}, "decision n.inputs: is required"),
        ({"n.inputs": "0+3"}, "decision n.inputs: must be one of its choices, got '0+3'; did you mean"),
        ({"n.inputs": "0+1", "n.operation1": "a"}, "decision n.operation2: is required"),
    ],
)
def test_what_does_not_decode(values, line):
    with pytest.raises(GenotypeError, match=line.replace("+", "\\+")):
        NODES["pair"].decode(values)


def test_combined_is_a_lazy_product():
    def endless():
        while True:
            yield 0

    product = combined([endless, lambda: iter("ab")])
    assert [next(product) for _ in range(3)] == [(0, "a"), (0, "b"), (0, "a")]
    assert list(combined([])) == [()]


def test_kept_multisets_are_counted_before_they_are_built():
    for choices in (NODES["pair"], NODES["repeated"], NODES["three copies"]):
        assert count_kept(len(choices.sources), choices.sources[0].copies, choices.keep) == len(choices.kept)
