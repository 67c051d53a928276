import pytest

from nasdrop.errors import GenotypeError
from nasdrop.space import CellGenotype
from nasdrop.space.formats import read_darts, read_nas_bench_201, write_darts, write_nas_bench_201

TEXT = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1), ('none', 1), ('none', 1)], normal_concat=range(2, 4), "
    "reduce=[('a', 0), ('b', 1), ('c', 0), ('d', 2)], reduce_concat=[3])"
)
NORMAL = CellGenotype(
    "normal", ((0, 2, "sep_conv_3x3"), (1, 2, "skip_connect"), (1, 3, "none"), (1, 3, "none")), (2, 3)
)
REDUCTION = CellGenotype("reduction", ((0, 2, "a"), (1, 2, "b"), (0, 3, "c"), (2, 3, "d")), (3,))
BENCH = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|a~0|b~1|c~2|"


def changed(old, new):
    assert old in TEXT
    return TEXT.replace(old, new)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"DARTS_V7 = {TEXT}",
        TEXT.replace(" ", "\n"),
        TEXT.replace("'", '"'),
        changed("range(2, 4)", "[2, 3]"),
        changed("range(2, 4)", "(2, 3,)"),
        changed("[3])", "[3,],)"),
        changed("('none', 1)]", "('none', 1,),]"),
        changed("('skip_connect', 1)", "('skip_connect', 1)")
        .replace("[('a'", "(('a'")
        .replace("2)], reduce_", "2)), reduce_"),
        f"# found on 2 GPUs\nBEST = genotype = {TEXT}  # 97.4 %",
        changed("), ('none'", "),  # step 1\n ('none'"),
        changed("('none', 1), ('none', 1)]", "['none', 1], ['none', 1]]"),
        changed("[3])", "[3], connectN=None, connects=None,)"),
        TEXT.replace("[(", "[((")
        .replace(")], ", "))], ")
        .replace("1), ('none', 1), ", "1)), (('none', 1), ")
        .replace("1), ('c', 0)", "1)), [('c', 0)")
        .replace("2))], reduce_", "2)]], reduce_"),
    ],
)
def test_the_darts_text_in_all_its_spellings(text):
    assert read_darts(text, "text") == (NORMAL, REDUCTION)


def test_darts_text_is_written_as_it_was_published():
    assert write_darts((NORMAL, REDUCTION)) == TEXT.replace("reduce_concat=[3]", "reduce_concat=range(3, 4)")
    gap = CellGenotype("normal", (*NORMAL.edges, (0, 4, "a"), (0, 4, "a")), (2, 4))
    assert "normal_concat=[2, 4], reduce=" in write_darts((gap, REDUCTION))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Genotyp(", "text: must begin with Genotype(, got 'Genotyp(' at character 0"),
        (changed("normal=", "normel="), "text: unknown part 'normel'; did you mean 'normal'?"),
        (changed("reduce=", "normal="), "text: normal must be given once, got it twice"),
        (changed("[('sep", "['sep"), "text: must have ( or [ here, got"),
        (changed("'none', 1)]", "'none', -1)]"), "text: must have a node's number here, got '-1)]"),
        (changed("range(2, 4)", "__import__('os')"), "text: must have ( or [ here, got \"__import__('os')"),
        (changed("'skip_connect'", "'skip connect'"), "text: an operation's name must be letters, digits and _, got"),
        (changed("'skip_connect'", "skip_connect"), "text: must have an operation in quotes here, got"),
        (changed("('d', 2)", "('d', 3)"), "text: reduce[3] must come from a node before node 3, got 3"),
        (changed(", ('d', 2)", ""), "text: reduce must hold two edges a node, got 3 edges"),
        (changed("range(2, 4)", "range(2, 9)"), "text: normal_concat must name nodes 0 to 3, each once, got [2, 3, 4,"),
        (changed("[3]", "[3, 3]"), "text: reduce_concat must name nodes 0 to 3, each once, got [3, 3]"),
        (changed("[3]", "[]"), "text: reduce_concat must name nodes 0 to 3, each once, got []"),
        (changed("[3]", "[30000000]"), "text: a node's number must be at most 999, got 30000000"),
        (changed("reduce_concat=[3]", ""), "text: reduce_concat is required"),
        (TEXT[:-1], "text: must have ')' here, got the end of the text at character"),
        (TEXT + ".normal", "text: must end after the closing ), got '.normal' at character"),
        ("Genotype(normal=" + "[" * 900_000, "text: must have an operation in quotes here, got '[[["),
        ("Genotype(" + "(" * 900_000, "text: must have a name here, got '((("),
    ],
)
def test_what_is_wrong_with_a_darts_text(text, line):
    with pytest.raises(GenotypeError) as caught:
        read_darts(text, "text")
    assert caught.value.lines[0].startswith(line)
    assert len(caught.value.lines) == 1
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("cells", "line"),
    [
        ((NORMAL,), "DARTS text: holds a normal and a reduction cell, got normal"),
        ((NORMAL, NORMAL), "DARTS text: holds a normal and a reduction cell, got normal, normal"),
        (
            (NORMAL, CellGenotype("reduction", ((0, 2, "a"),), (2,))),
            "DARTS text: holds two edges a node, got a reduction",
        ),
    ],
)
def test_cells_that_the_darts_text_cannot_hold(cells, line):
    with pytest.raises(GenotypeError, match=line):
        write_darts(cells)


def test_the_nas_bench_201_text_both_ways():
    (cell,) = read_nas_bench_201(BENCH, "text")
    assert cell.edges[:3] == ((0, 1, "nor_conv_3x3"), (0, 2, "none"), (1, 2, "skip_connect"))
    assert cell.concat == (3,)
    assert write_nas_bench_201((cell,)) == BENCH


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("|a~0|+|b~0|", "text: node 2 must read |operation~0|... with one term an earlier node, got '|b~0|'"),
        ("|a~0|+|b~1|c~0|", "text: node 2 must hold operation~0 here, got 'b~1'"),
        ("|a~0|+|b~0|c~1", "text: node 2 must read |operation~0|..."),
        ("|a b~0|", "text: node 1 must hold operation~0 here, got 'a b~0'"),
        ("|", "text: node 1 must read"),
        ("|" * 900_000, "text: node 1 must read"),
        ("|a~0|" + "+" * 900_000, "text: must have at most 999 nodes, got"),
    ],
)
def test_what_is_wrong_with_a_nas_bench_201_text(text, line):
    with pytest.raises(GenotypeError) as caught:
        read_nas_bench_201(text, "text")
    assert caught.value.lines[0].startswith(line)
    assert len(str(caught.value)) < 200


def test_cells_that_the_nas_bench_201_text_cannot_hold():
    with pytest.raises(GenotypeError, match="holds one cell, got normal, reduction"):
        write_nas_bench_201((NORMAL, REDUCTION))
    for cell in (NORMAL, CellGenotype("normal", (), (1,)), CellGenotype("normal", ((0, 1, "a"), (0, 2, "a")), (2,))):
        with pytest.raises(GenotypeError, match="must read each earlier node once"):
            write_nas_bench_201((cell,))
