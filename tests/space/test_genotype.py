import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasdrop import resources
from nasdrop.errors import GenotypeError
from nasdrop.space import Genotype, load_space

DARTS_TEXTS = ("darts", "tiny", "nasnet", "robust_s1", "robust_s2", "robust_s3", "robust_s4", "signal_1d")
FORMS = dict.fromkeys(DARTS_TEXTS, ("json", "darts")) | {
    "nas_bench_201": ("json", "nas_bench_201"),
    "fractal": ("json",),
    "fractalnet": ("json",),
}
SPACES = {name: load_space(name) for name in FORMS}
BRACKETS = "()[]{}|~+,='\" \n"
PIECES = [
    "Genotype(",
    "normal=",
    "range(2, 6)",
    "('none', 0)",
    "|none~0|",
    '{"format": ',
    "__import__('os')",
    "lambda:",
]


def check_round_trips(name, genotype):
    for form in FORMS[name]:
        text = genotype.to_text(form)
        again = Genotype.read(text, space=name)
        assert again == genotype
        assert hash(again) == hash(genotype)
        assert again.to_text(form) == text
    assert Genotype.from_json(genotype.to_json()) == genotype
    for form in {"darts", "nas_bench_201"} - {*FORMS[name]}:
        with pytest.raises(GenotypeError):
            genotype.to_text(form)


def test_every_shipped_space_is_here():
    assert set(FORMS) == set(resources.names("search_spaces"))


@pytest.mark.parametrize("name", FORMS)
@given(seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=30)
def test_round_trips_through_every_text(name, seed):
    check_round_trips(name, SPACES[name].sample(random.Random(seed)))


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMS)
def test_a_thousand_genotypes_of_each_space(name):
    dice = random.Random(name)
    for _ in range(1000):
        check_round_trips(name, SPACES[name].sample(dice))


@given(
    text=st.one_of(
        st.text(),
        st.text(alphabet=BRACKETS, max_size=300),
        st.lists(st.sampled_from([*PIECES, *BRACKETS]), max_size=60).map("".join),
    ),
    start=st.sampled_from(["", "{", "|", "Genotype(", "Genotype(normal="]),
)
@settings(deadline=None, max_examples=300)
def test_any_text_is_read_or_refused_in_short_lines(text, start):
    try:
        Genotype.read(start + text)
    except GenotypeError as error:
        assert error.lines
        assert all(len(line) < 400 and "\n" not in line for line in error.lines)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000_000,
        "{" * 1_000_000,
        "|" * 1_000_000,
        "Genotype(" + "[" * 900_000,
        '{"a":' * 190_000,
        "Genotype(normal=" + "not " * 200_000,
        "Genotype(normal=__import__('os').system('echo'), normal_concat=[2], reduce=[], reduce_concat=[2])",
        " " * 2_000_000,
        "|none~0|" + "+" * 2_000_000,
    ],
    ids=lambda text: text[:20].strip() or "blanks",
)
def test_a_hostile_text_is_refused_in_one_line(text):
    with pytest.raises(GenotypeError) as caught:
        Genotype.read(text)
    assert len(caught.value.lines) == 1
    assert len(str(caught.value)) < 400


def test_formats_are_recognised():
    assert Genotype.read("|none~0|").space == "nas_bench_201"
    assert Genotype.read("DARTS_V2").space == "darts"
    assert Genotype.read("DARTS_V2", space="mine").space == "mine"
    assert Genotype.read("DARTS_V2") == Genotype.read("  x = " + Genotype.read("DARTS_V2").to_text("darts"))


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("form", ["json", "darts"])
def test_a_file_of_any_format(tmp_path, form, kind):
    genotype = Genotype.read("DARTS_V1")
    path = tmp_path / "genotype.txt"
    path.write_text(f"\n{genotype.to_text(form)}\n")
    assert Genotype.read(kind(path)) == genotype


def test_what_is_wrong_with_a_file(tmp_path):
    cases = {"empty.txt": b"", "bytes.json": b"\xff", "large.txt": b"|" * 1_000_001}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
    for name, rule in {
        "empty.txt": "must be a genotype in JSON",
        "bytes.json": "must be UTF-8 text, got byte 0xff",
        "large.txt": "must have at most 1000000 characters",
        "none.txt": "cannot be read: No such file",
    }.items():
        with pytest.raises(GenotypeError) as caught:
            Genotype.read(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: {rule}")


@pytest.mark.parametrize("text", ["DARTS_V3", "", "no/such.json", "a" * 300, "a\0b"])
def test_neither_text_nor_file_nor_name(text):
    with pytest.raises(GenotypeError, match="must be a file, a published name, or a text in JSON"):
        Genotype.read(text)


def test_an_unknown_published_name_is_met_with_the_nearest():
    with pytest.raises(GenotypeError, match="got 'DARTS_V3'; did you mean 'DARTS_V2'"):
        Genotype.read("DARTS_V3")


def test_looking_up_a_cell():
    genotype = Genotype.read("DARTS_V1")
    assert genotype["reduction"] is genotype.cells[1]
    with pytest.raises(GenotypeError, match="got 'reduce'; did you mean 'reduction'"):
        genotype["reduce"]


def test_an_unknown_form():
    with pytest.raises(GenotypeError, match="form: must be a text format, got 'dart'; did you mean 'darts'"):
        Genotype.read("DARTS_V1").to_text("dart")
