import copy
import random
from collections import Counter
from math import comb

import pytest

from nasdrop import resources
from nasdrop.errors import GenotypeError, SpaceError
from nasdrop.space import CellGenotype, CellGraph, CellSpace, Edge, Genotype, SearchSpace

NAMES = ("darts", "nas_bench_201", "nasnet", "tiny", "robust_s1", "robust_s2", "robust_s3", "robust_s4")
each = pytest.mark.parametrize("name", NAMES)


def test_the_shipped_spaces():
    assert set(resources.names("search_spaces")) >= set(NAMES)


def test_sizes(spaces):
    darts_cell = 1
    for sources in range(2, 6):
        darts_cell *= comb(sources, 2) * 7**2
    assert darts_cell == 1_037_664_180
    nasnet_cell = 1
    for sources in range(2, 7):
        nasnet_cell *= comb(sources, 2) * 13**2 + sources * comb(14, 2)
    assert {name: space.size for name, space in spaces.items()} == {
        "darts": darts_cell**2,
        "nas_bench_201": 15_625,
        "nasnet": nasnet_cell**2,
        "tiny": 589_824,
        **dict.fromkeys(("robust_s1", "robust_s2", "robust_s3", "robust_s4"), (180 * 2**8) ** 2),
    }
    assert spaces["darts"].size == 1_076_746_950_455_072_400


@pytest.mark.parametrize("name", ["tiny", "nas_bench_201"])
def test_enumerate_gives_every_genotype_once(spaces, name):
    assert len(set(spaces[name].enumerate())) == spaces[name].size


def test_enumerate_is_lazy(spaces):
    first = spaces["nasnet"].enumerate()
    assert len({next(first) for _ in range(100)}) == 100


@each
def test_samples_encode_and_decode(spaces, name):
    space, rng = spaces[name], random.Random(0)
    for _ in range(100):
        genotype = space.sample(rng)
        space.validate(genotype)
        assert genotype.space == name
        assert space.decode(space.encode(genotype)) == genotype


@each
def test_random_decisions_decode_to_genotypes_of_the_space(spaces, name):
    space, rng = spaces[name], random.Random(1)
    for _ in range(100):
        values = {decision.name: rng.choice(decision.choices) for decision in space.decisions}
        space.validate(space.decode(values))


def test_a_cell_has_few_decisions(spaces):
    counts = {name: len(space.decisions) for name, space in spaces.items()}
    assert counts["darts"] == 2 * (3 + 8)
    assert counts["nas_bench_201"] == 6
    assert counts["nasnet"] == 2 * (5 + 10)
    assert counts["robust_s1"] == 2 * (3 + 14)
    for space in spaces.values():
        assert len({decision.name for decision in space.decisions}) == len(space.decisions)


def test_samples_are_a_function_of_the_seed(spaces):
    first, again, other = (spaces["darts"].sample(random.Random(seed)) for seed in (7, 7, 8))
    assert first == again != other


@each
def test_neighbours(spaces, name):
    space = spaces[name]
    genotype = space.sample(random.Random(3))
    others = space.neighbours(genotype)
    assert genotype not in others
    assert len(set(others)) == len(others)
    for other in random.Random(0).sample(others, 10):
        space.validate(other)
        assert genotype in space.neighbours(other)


def test_neighbours_counted_by_hand(spaces):
    genotype = spaces["nas_bench_201"].sample(random.Random(0))
    assert len(spaces["nas_bench_201"].neighbours(genotype)) == 6 * 4
    genotype = spaces["darts"].sample(random.Random(0))
    inputs = sum(comb(sources, 2) - 1 for sources in range(2, 6))
    assert len(spaces["darts"].neighbours(genotype)) == 2 * (8 * 6 + inputs)


@each
def test_a_mutation_is_a_neighbour(spaces, name):
    space, rng = spaces[name], random.Random(5)
    genotype = space.sample(rng)
    for _ in range(30):
        mutant = space.mutate(genotype, rng)
        assert mutant in space.neighbours(genotype)
        genotype = mutant


@pytest.mark.parametrize("name", ["darts", "nas_bench_201", "tiny", "robust_s2"])
def test_a_mutation_changes_exactly_one_decision(spaces, name):
    space, rng = spaces[name], random.Random(6)
    genotype = space.sample(rng)
    changed = Counter()
    for _ in range(12 * len(space.decisions)):
        before, after = space.encode(genotype), space.encode(space.mutate(genotype, rng))
        different = [key for key in before if before[key] != after[key]]
        assert len(different) == 1
        changed.update(different)
    assert set(changed) == {decision.name for decision in space.decisions}


def test_nothing_to_mutate():
    graph = CellGraph(1, 1, (Edge(0, 1, ("skip_connect",)),))
    space = SearchSpace("one", "", "nas_bench_201", (CellSpace("normal", graph, output="last"),))
    assert space.size == 1
    assert space.source_files == ()
    genotype = space.sample(random.Random(0))
    assert space.neighbours(genotype) == ()
    with pytest.raises(SpaceError, match="one: a space of one genotype has no mutations"):
        space.mutate(genotype, random.Random(0))


def test_the_published_cells_are_of_darts(spaces):
    for name in ("DARTS_V1", "DARTS_V2"):
        spaces["darts"].validate(Genotype.read(name))


def test_all_mistakes_of_a_genotype(spaces):
    good = Genotype.read("DARTS_V2")
    normal = CellGenotype("normal", ((2, 3, "none"), (0, 2, "nine"), (1, 2, "none")), good["normal"].concat)
    reduction = CellGenotype("reduction", good["reduction"].edges, (2,))
    with pytest.raises(GenotypeError) as caught:
        spaces["darts"].validate(Genotype("darts", (normal, reduction)))
    operations = "avg_pool_3x3, dil_conv_3x3, dil_conv_5x5, max_pool_3x3, sep_conv_3x3, sep_conv_5x5, skip_connect"
    assert list(caught.value.lines) == [
        "genotype: normal: node 2 must have a candidate operation on the edge from 0, got 'nine'; known: " + operations,
        "genotype: normal: node 3 must keep 2 edges, got 1",
        "genotype: normal: node 4 must keep 2 edges, got 0",
        "genotype: normal: node 5 must keep 2 edges, got 0",
        "genotype: reduction: concat must be [2, 3, 4, 5] (output 'all'), got [2]",
    ]


@pytest.mark.parametrize("method", ["encode", "canonical", "neighbours"])
def test_a_genotype_of_another_space_is_refused(spaces, method):
    with pytest.raises(
        GenotypeError, match="must have the cells normal in space 'nas_bench_201', got normal, reduction"
    ):
        getattr(spaces["nas_bench_201"], method)(Genotype.read("DARTS_V1"))


def test_options_of_another_kind_of_space_are_refused(spaces):
    genotype = Genotype("tiny", spaces["tiny"].sample(random.Random(0)).cells, (("p", "0.1"),))
    with pytest.raises(GenotypeError, match="must have no options in space 'tiny', got"):
        spaces["tiny"].validate(genotype)


def test_decisions_that_do_not_exist(spaces):
    values = spaces["tiny"].encode(spaces["tiny"].sample(random.Random(0)))
    with pytest.raises(GenotypeError, match=r"decision normal.node9.inputs: is unknown; did you mean"):
        spaces["tiny"].decode(values | {"normal.node9.inputs": "0+1"})


def test_what_a_space_made_in_python_must_have():
    graph = CellGraph(1, 1, (Edge(0, 1, ("skip",)),))
    with pytest.raises(SpaceError) as caught:
        SearchSpace("one", "", "darts", (CellSpace("normal", graph),))
    lines = list(caught.value.lines)
    assert lines[:2] == [
        "space one: skeleton 'darts' has the cells normal, reduction, got normal",
        "space one: cell normal: must have 2 inputs, got 1",
    ]
    assert lines[2].startswith("space one: cell normal: operations[0]: must be a known operation, got 'skip'")


def test_robust_s1_has_two_operations_an_edge(spaces):
    for cell in spaces["robust_s1"].cells.values():
        assert [len(edge.operations) for edge in cell.graph.edges] == [2] * 14
    assert spaces["robust_s3"].cells["normal"].supernet_only == {"none"}


def test_a_used_space_can_be_pickled(spaces):
    space = spaces["darts"]
    assert space.size
    assert space.decisions
    again = copy.deepcopy(space)  # by the protocol of pickle
    assert again == space
    assert again.path == space.path
