import csv
import gzip
import os
import random
from collections import Counter, defaultdict
from itertools import permutations
from pathlib import Path

import pytest

from nasdrop.errors import GenotypeError
from nasdrop.space import CellGenotype, Genotype, SearchSpace, nas_bench_201_class
from nasdrop.space.canonical import canonical_cell

PRIME = 2**61 - 1
NAME = "nas_bench_201_cifar10.csv.gz"
BESIDE = Path(__file__).parents[2].parent / "shared" / "data" / NAME
TABLE = Path(os.environ.get("NASDROP_NB201_CSV", BESIDE))


@pytest.fixture(scope="module")
def cells():
    return list(SearchSpace.load("nas_bench_201").enumerate())


def value(cell, num_inputs, strided=False):
    """A cell as arithmetic modulo a prime: operations are random polynomials without constant, nodes are sums.

    Two expressions of different trees agree with negligible probability.
    """
    states = dict(enumerate(random.Random("inputs").sample(range(PRIME), num_inputs)))
    for node in range(num_inputs, max(edge.target for edge in cell.edges) + 1):
        states[node] = 0
        for edge in cell.into(node):
            kind = (edge.operation, strided and edge.source < num_inputs)
            rng, x = random.Random(str(kind)), states[edge.source]
            cubic = x * (rng.randrange(PRIME) + x * (rng.randrange(PRIME) + x * rng.randrange(PRIME)))
            states[node] += {("none", False): 0, ("none", True): 0, ("skip_connect", False): x}.get(kind, cubic)
        states[node] %= PRIME
    return tuple(sorted(states[node] for node in cell.concat))


def test_nas_bench_201_has_4930_functions(cells):
    forms = defaultdict(set)
    for genotype in cells:
        forms[canonical_cell(genotype.cells[0], 1)].add(value(genotype.cells[0], 1))
    assert len(forms) == 4_930
    assert all(len(values) == 1 for values in forms.values())
    assert len(set.union(*forms.values())) == 4_930


@pytest.mark.parametrize("name", ["normal", "reduction"])
def test_equal_forms_are_equal_functions_in_the_tiny_space(name):
    space = SearchSpace.load("tiny").cells[name]
    pairs = {(canonical_cell(c, 2, strided=space.strided), value(c, 2, space.strided)) for c in space.enumerate()}
    assert len(pairs) == len({form for form, _ in pairs}) == len({number for _, number in pairs})
    assert len(pairs) < space.size


def test_nas_bench_201_has_6466_classes_of_its_own_rule(cells):
    classes = defaultdict(set)
    for genotype in cells:
        classes[nas_bench_201_class(genotype)].add(canonical_cell(genotype.cells[0], 1))
    assert len(classes) == 6_466
    assert all(len(forms) == 1 for forms in classes.values()), "the coarser rule never joins what the exact one parts"


@pytest.mark.skipif(not TABLE.is_file(), reason=f"needs {NAME}; set NASDROP_NB201_CSV to its path")
def test_the_classes_are_those_of_the_benchmarks_table():
    lowest = {}
    with gzip.open(TABLE, "rt") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["index"]))
    for row in rows:
        own = lowest.setdefault(nas_bench_201_class(Genotype.read(row["arch"])), row["index"])
        assert own == row["class_representative"]
    assert len(rows) == 15_625


def weighted_form(cell):
    """The form that also tells a convolution read twice from two convolutions: shared ones bear a number.

    A term is (operation, number or edge, what it reads); the numbers are given in the way that makes the form least.
    """
    image = (("image", None, ()),)
    states = {0: image}
    for node in (1, 2, 3):
        states[node] = ()
        for edge in cell.into(node):
            below = states[edge.source]
            if edge.operation == "skip_connect":
                states[node] += below
            elif edge.operation != "none" and below:
                states[node] += ((edge.operation, edge[:2] if "conv" in edge.operation else None, below),)
    uses = Counter(walk(states[3]))
    shared = sorted(edge for edge, times in uses.items() if edge and times > 1)
    orders = (dict(zip(shared, order, strict=True)) for order in permutations(range(len(shared))))
    return min(renamed(states[3], numbers) for numbers in orders)


def walk(terms):
    for _, edge, below in terms:
        yield edge
        yield from walk(below)


def renamed(terms, numbers):
    return tuple(
        sorted((operation, numbers.get(edge, -1), renamed(below, numbers)) for operation, edge, below in terms)
    )


def test_counting_shared_weights_would_split_326_classes(cells):
    forms = defaultdict(set)
    for genotype in cells:
        forms[canonical_cell(genotype.cells[0], 1)].add(weighted_form(genotype.cells[0]))
    assert sum(map(len, forms.values())) == len(set.union(*forms.values())) == 5_260
    assert sum(len(parts) > 1 for parts in forms.values()) == 326


def form(*edges, concat=(3,), inputs=1, strided=False):
    return canonical_cell(CellGenotype("normal", edges, concat), inputs, strided=strided)


def test_identities_collapse_and_sums_are_flat():
    plain = form((0, 1, "conv_1x1"), (0, 1, "skip_connect"), (1, 2, "skip_connect"), (2, 3, "skip_connect"))
    assert plain == form((0, 3, "skip_connect"), (0, 3, "conv_1x1"))
    assert plain != form((0, 3, "skip_connect"), (0, 3, "skip_connect"), (0, 3, "conv_1x1"))


def test_zeros_are_removed_and_dead_parts_ignored():
    plain = form((0, 3, "conv_1x1"))
    assert plain == form((0, 3, "conv_1x1"), (0, 1, "none"), (1, 2, "max_pool_3x3"), (2, 3, "sep_conv_3x3"))
    assert plain == form((0, 3, "conv_1x1"), (0, 2, "sep_conv_3x3"))


def test_a_skip_from_an_input_of_a_reduction_cell_is_no_identity():
    collapsed = (0, 1, "conv_1x1"), (1, 3, "skip_connect")
    assert form(*collapsed, strided=True) == form((0, 3, "conv_1x1"), strided=True)
    skipped = (0, 1, "skip_connect"), (1, 3, "conv_1x1")
    assert form(*skipped) == form((0, 3, "conv_1x1"))
    assert form(*skipped, strided=True) != form((0, 3, "conv_1x1"), strided=True)


@pytest.mark.parametrize("operation", ["my_own", "noise"])
def test_only_known_operations_of_zero_are_zero(operation):
    assert form((0, 1, "none"), (1, 3, operation)) != form((0, 3, "none"))
    assert form((0, 1, "none"), (1, 3, "conv_1x1")) == form((0, 3, "none"))


def test_the_order_of_a_concatenation_does_not_count_but_its_width_does():
    ab = (0, 1, "conv_1x1"), (0, 2, "conv_3x3")
    assert form(*ab, concat=(1, 2)) == form((0, 1, "conv_3x3"), (0, 2, "conv_1x1"), concat=(1, 2))
    assert form(*ab, concat=(1, 2)) != form(*ab, concat=(1,))
    assert form((0, 1, "conv_1x1"), (0, 2, "none"), concat=(1, 2)) != form((0, 1, "conv_1x1"), concat=(1,))


def test_a_deep_cell_with_a_huge_tree_has_a_short_form():
    edges = [(source, node, "conv_1x1") for node in range(1, 60) for source in (node - 1, node - 1)]
    skips = [(node - 1, node, "skip_connect") for node in range(1, 60) for _ in range(2)]
    for cell in (edges, skips):
        assert len(form(*cell, concat=(59,))) == 32


def test_a_canonical_text_has_a_part_a_cell():
    space = SearchSpace.load("darts")
    text = space.canonical(Genotype.read("DARTS_V2"))
    normal, reduction = text.split(",")
    assert normal.startswith("normal:")
    assert reduction.startswith("reduction:")
    assert text != space.canonical(Genotype.read("DARTS_V1"))


def test_the_benchmarks_rule_by_hand():
    genotype = Genotype.read("|avg_pool_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|none~1|skip_connect~2|")
    assert nas_bench_201_class(genotype) == "#+#+(0)@avg_pool_3x3+(0)@nor_conv_1x1"


def test_genotypes_that_the_benchmarks_rule_does_not_know():
    with pytest.raises(GenotypeError, match="needs one cell, got 2"):
        nas_bench_201_class(Genotype.read("DARTS_V1"))
    lonely = Genotype("x", (CellGenotype("normal", ((0, 2, "none"),), (2,)),))
    with pytest.raises(GenotypeError, match="every node must have an edge, got none into node 1"):
        nas_bench_201_class(lonely)
