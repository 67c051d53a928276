import re
from collections import Counter

import pytest

from nasdrop.view.cell_text import genotype_dot, genotype_equations, genotype_mermaid, genotype_table

SHAPES = ["darts", "nasnet", "nas_bench_201", "tiny"]


@pytest.mark.parametrize("shape", SHAPES)
def test_dot_holds_every_edge_once(draw, shape):
    for seed in range(30):
        genotype = draw(shape, seed)
        source = genotype_dot(genotype)
        found = Counter()
        labels = dict(re.findall(r'(c\d+_e\d+) \[.*label="(\w+)"\]', source))
        for cell, start, box, end in re.findall(r"c(\d+)_n(\d+) -> (c\d+_e\d+) -> c\d+_n(\d+)", source):
            found[int(cell), int(start), int(end), labels[box]] += 1
        assert found == Counter((i, *edge) for i, cell in enumerate(genotype.cells) for edge in cell.edges)
        outputs = re.findall(r"c(\d+)_n(\d+) -> c\d+_out", source)
        assert sorted(outputs) == sorted((str(i), str(n)) for i, cell in enumerate(genotype.cells) for n in cell.concat)
        assert source.count("{") == source.count("}")


@pytest.mark.parametrize("shape", SHAPES)
def test_mermaid_holds_every_edge_once(draw, shape):
    for seed in range(30):
        genotype = draw(shape, seed)
        source = genotype_mermaid(genotype)
        found = Counter()
        pattern = r'c(\d+)_n(\d+) --> c\d+_e\d+\["(\w+)"\]:::(\w+) --> c\d+_n(\d+)'
        for cell, start, operation, look, end in re.findall(pattern, source):
            found[int(cell), int(start), int(end), operation] += 1
            assert f"classDef {look} " in source
        assert found == Counter((i, *edge) for i, cell in enumerate(genotype.cells) for edge in cell.edges)


def test_names_cannot_break_dot_or_mermaid(hostile):
    quoted = r'"(?:[^"\\\n]|\\.)*"'
    for line in genotype_dot(hostile).splitlines():
        assert '"' not in re.sub(quoted, "", line)
    for line in genotype_mermaid(hostile).splitlines():
        assert line.count('"') in (0, 2)
        assert not set("<>&'\\;\x1b") & set(re.sub(r"#\d+;", "", line).replace("-->", ""))


def test_equations_are_the_sums(darts_v2):
    assert genotype_equations(darts_v2).split("\n\n")[0].splitlines() == [
        "normal: 0 = cell k−2, 1 = cell k−1",
        "  2 = sep_conv_3x3(0) + sep_conv_3x3(1)",
        "  3 = sep_conv_3x3(0) + sep_conv_3x3(1)",
        "  4 = skip_connect(0) + sep_conv_3x3(1)",
        "  5 = skip_connect(0) + dil_conv_3x3(2)",
        "output = concat(2, 3, 4, 5)",
    ]


def test_the_table_has_a_row_an_edge(darts_v2):
    lines = genotype_table(darts_v2).splitlines()
    assert lines[0].split() == ["cell", "node", "from", "operation"]
    assert lines[2] == "normal     2     0 (cell k−2)  sep_conv_3x3"
    assert sum("conv" in line or "pool" in line or "skip" in line for line in lines) == 16
    assert sum(line.split()[-1] == "concat" for line in lines) == 2


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("write", [genotype_table, genotype_equations])
def test_lines_are_bounded_and_ascii_is_ascii(draw, write, shape):
    for seed in range(50):
        for width in (40, 80):
            for ascii_only in (False, True):
                text = write(draw(shape, seed), width=width, ascii_only=ascii_only)
                assert max(map(len, text.splitlines())) <= width
                assert text.isascii() or not ascii_only
                assert text.endswith("\n")


@pytest.mark.parametrize("write", [genotype_table, genotype_equations])
def test_names_cannot_reach_the_terminal(hostile, write):
    for ascii_only in (False, True):
        text = write(hostile, ascii_only=ascii_only)
        assert "\x1b" not in text
        assert "\x00" not in text
        assert max(map(len, text.splitlines())) <= 80


def test_equations_break_before_a_plus(draw):
    text = genotype_equations(draw("nas_bench_201", 1), width=44)
    longest = [line for line in text.splitlines() if line.lstrip().startswith("+")]
    assert longest
    assert "..." not in text
    assert "…" not in text


def test_given_names_of_inputs_are_used(darts_v2):
    assert 'label="stem"' in genotype_dot(darts_v2, input_names=["stem", "image"])
    assert '(["image"])' in genotype_mermaid(darts_v2, input_names=["stem", "image"])
