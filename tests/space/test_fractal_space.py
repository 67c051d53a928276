"""Spaces of fractals: the protocol of every space, the file, and its mistakes."""

import random
from dataclasses import replace

import pytest

from nasdrop.errors import GenotypeError, SpaceError
from nasdrop.space import Decision, FractalSpace, Genotype, SearchSpace, load_space
from nasdrop.space.fractal import fractal_cell
from nasdrop.space.fractal_options import FractalOptions, read_options, write_option

SMALL = FractalSpace(
    "small", "", columns=(1, 2, 3), candidates=("conv_1x1", "conv_3x3"), options=(Decision("p", ("0", "0.15")),)
)
BY_DEPTH = replace(SMALL, decide="depth")
SHIPPED = load_space("fractal")
each = pytest.mark.parametrize("space", [SMALL, BY_DEPTH, SHIPPED], ids=["slot", "depth", "shipped"])


def test_sizes():
    assert SMALL.size == 2 * (2 + 2**3 + 2**7)
    assert BY_DEPTH.size == 2 * (2 + 2**2 + 2**4)
    assert SHIPPED.size == (3**2 + 3**4 + 3**8) * 2 * 3 * 2 * 3 * 3


@pytest.mark.parametrize("space", [SMALL, BY_DEPTH])
def test_enumerate_gives_every_genotype_once(space):
    every = list(space.enumerate())
    assert len(set(every)) == len(every) == space.size
    for genotype in every:
        space.validate(genotype)


@each
def test_samples_encode_and_decode(space):
    rng = random.Random(0)
    for _ in range(100):
        genotype = space.sample(rng)
        assert genotype.space == space.name
        assert space.decode(space.encode(genotype)) == genotype
        assert Genotype.read(genotype.to_json()) == genotype


@each
def test_random_decisions_decode_to_genotypes_of_the_space(space):
    rng = random.Random(1)
    for _ in range(100):
        values = {decision.name: rng.choice(decision.choices) for decision in space.decisions}
        genotype = space.decode(values)
        space.validate(genotype)
        again = space.encode(genotype)
        assert all(again[name] in (values[name], decision[0]) for name, decision in space.decisions)


def test_samples_are_uniform():
    counts = dict.fromkeys(BY_DEPTH.enumerate(), 0)
    rng = random.Random(0)
    for _ in range(200 * len(counts)):
        counts[BY_DEPTH.sample(rng)] += 1
    chi = sum((count - 200) ** 2 / 200 for count in counts.values())
    freedom = len(counts) - 1
    assert abs(chi - freedom) < 5 * (2 * freedom) ** 0.5


@each
def test_neighbours_differ_in_one_decision(space):
    rng = random.Random(2)
    for _ in range(20):
        genotype = space.sample(rng)
        around = space.neighbours(genotype)
        assert len(set(around)) == len(around)
        assert genotype not in around
        assert space.mutate(genotype, rng) in around
        values = space.encode(genotype)
        for other in around:
            differing = [name for name, value in space.encode(other).items() if value != values[name]]
            assert len(differing) == 1 or "columns" in differing  # with fewer columns, operations fall away


def test_neighbours_counted_by_hand():
    genotype = SMALL.decode({"columns": "2", "p": "0", **dict.fromkeys(names(SMALL), "conv_3x3")})
    assert len(SMALL.neighbours(genotype)) == 2 + 3 + 1  # columns, operations, p


def names(space):
    return [decision.name for decision in space.decisions if decision.name not in ("columns", "p")]


def test_a_space_of_one_genotype_has_no_mutations():
    one = FractalSpace("one", "")
    (genotype,) = one.enumerate()
    assert one.size == 1
    assert one.decode({}) == genotype
    with pytest.raises(SpaceError, match="one: a space of one genotype has no mutations"):
        one.mutate(genotype, random.Random(0))


def test_the_published_block_is_a_space_of_one():
    published = load_space("fractalnet")
    (genotype,) = published.enumerate()
    assert (published.size, published.decisions, genotype.options) == (1, (), ())
    assert genotype.cells == (fractal_cell([["conv_3x3"] * 2**column for column in range(3)]),)


def test_canonical_forms_differ_but_for_what_one_column_has_nothing_to_do_with():
    forms = [SMALL.canonical(genotype) for genotype in SMALL.enumerate()]
    assert len(set(forms)) == SMALL.size - 2  # p does not matter to either plain network


def test_mistakes_of_a_genotype_are_all_told():
    good = SMALL.sample(random.Random(0))
    with pytest.raises(GenotypeError, match="must have the cell block in space 'small', got normal, reduction"):
        SMALL.validate(Genotype.read("DARTS_V1"))
    cell = fractal_cell([["conv_3x4"], ["conv_1x1", "conv_3x3"]])
    with pytest.raises(GenotypeError) as caught:
        SMALL.validate(Genotype("small", (cell,), (("p", "0.5"), ("q", "1"))))
    assert list(caught.value.lines) == [
        "genotype: column0.slot1 must be a candidate operation, got 'conv_3x4'",
        "genotype: options.q is not of this space",
        "genotype: options.p must be one of 0, 0.15, got '0.5'",
    ]
    with pytest.raises(GenotypeError, match=r"columns must be one of \[1, 2, 3\], got 4"):
        SMALL.validate(Genotype("s", (fractal_cell([["conv_1x1"] * 2**c for c in range(4)]),), good.options))
    mixed = fractal_cell([["conv_3x3"], ["conv_1x1", "conv_1x1"]])
    with pytest.raises(GenotypeError, match="row2 must be one operation in all columns, got 'conv_1x1' too"):
        BY_DEPTH.validate(Genotype("s", (mixed,), good.options))


def test_decisions_that_do_not_exist():
    with pytest.raises(GenotypeError, match="decision colums: is unknown; did you mean 'columns'"):
        SMALL.decode({"colums": "2"})
    with pytest.raises(GenotypeError, match="decision columns: is required"):
        SMALL.decode({"p": "0"})
    with pytest.raises(GenotypeError, match="decision columns: must be one of its choices, got '9'"):
        SMALL.decode({"columns": "9"})


def test_options_are_read_as_they_were_written():
    texts = {"join": "join_then_pool", "widths": write_option([1, 2]), "dropout": write_option([0, 0.1])}
    read = read_options({**texts, "p": write_option(0.15), "global_share": "1"})
    assert read == FractalOptions("join_then_pool", (1, 2), (0.0, 0.1), 0.15, 1.0)
    assert texts["dropout"] == "0,0.1"
    assert read_options({}) == FractalOptions()
    with pytest.raises(GenotypeError) as caught:
        read_options({"join": "x", "widths": "1,0", "dropout": "", "p": "nan", "global_share": "2", "q": ""})
    assert list(caught.value.lines) == [
        "options.join: must be pool_then_join or join_then_pool, got 'x'",
        "options.widths: must be whole numbers from 1 on, got '1,0'",
        "options.dropout: must be probabilities, got ''",
        "options.p: must be a probability, got 'nan'",
        "options.global_share: must be a probability, got '2'",
        "options.q: is unknown; known: dropout, global_share, join, p, widths",
    ]


def test_mistakes_of_a_space_are_all_told():
    with pytest.raises(SpaceError) as caught:
        FractalSpace("s", "", columns=(0, 11, 11), candidates=("conv_3x4",), options=(Decision("p", ("2",)),))
    lines = caught.value.lines
    assert lines[0] == "space s: columns: must be one number or more, each once, got [0, 11, 11]"
    assert lines[1] == "space s: columns: must be from 1 to 10, got 0"
    assert lines[-1] == "space s: options.p: must be a probability, got '2'"
    assert any("conv_3x4" in line and "did you mean" in line for line in lines)


def test_mistakes_of_a_file_are_all_told(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nskeleton = "fractal"\n[fractal]\ncolumns = [0]\noperation = []\np = ["0.1"]\n')
    with pytest.raises(SpaceError) as caught:
        load_space(path)
    assert list(caught.value.lines) == [
        f"{path}: fractal.columns.0: must be greater than or equal to 1, got 0",
        f"{path}: fractal.operations: is required",
        f"{path}: fractal.p.0: must be a valid number, got '0.1'",
        f"{path}: fractal.operation: unknown key; did you mean 'operations'?",
    ]


def test_every_kind_of_space_is_loaded():
    assert isinstance(SHIPPED, FractalSpace)
    assert [name for name, _ in SHIPPED.decisions][:10] == ["columns", *(f"row{row}" for row in range(1, 9)), "join"]
    assert SHIPPED.cell_names == ("block",)
    assert SHIPPED.candidate_operations == ("conv_3x3", "conv_3x1_1x3", "dil_conv_3x3")
    assert SHIPPED.source_files == (SHIPPED.path,)
    assert load_space("darts") == SearchSpace.load("darts")
    assert load_space("darts").cell_names == ("normal", "reduction")
    with pytest.raises(SpaceError, match="must be a space of cells, got skeleton 'fractal', which load_space reads"):
        SearchSpace.load("fractal")
    with pytest.raises(SpaceError, match="no such search space"):
        load_space("fractl")


def test_texts_of_cells_alone_refuse_a_fractal():
    genotype = SHIPPED.sample(random.Random(0))
    with pytest.raises(GenotypeError, match="DARTS text: holds cells alone, got options"):
        genotype.to_text("darts")
