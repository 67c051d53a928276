"""The shipped table against the CSV it was made of, against the architecture, and damaged or foreign files."""

import csv
import gzip
import os
import random
from pathlib import Path

import numpy as np
import pytest

from nasdrop import resources
from nasdrop.errors import DataError
from nasdrop.searchers.table import OPERATIONS, Table, edge_counts, pack
from nasdrop.space import Genotype, SearchSpace

NAME = "nas_bench_201_cifar10"
CSV = Path(
    os.environ.get("NASDROP_NB201_CSV") or Path(__file__).parents[2].parent / "shared" / "data" / f"{NAME}.csv.gz"
)
needs_csv = pytest.mark.skipif(not CSV.is_file(), reason=f"{CSV} is absent; name it in NASDROP_NB201_CSV")
SPACE = SearchSpace.load("nas_bench_201")
SKIPS = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"


@pytest.fixture(scope="module")
def table():
    return Table.load(NAME, SPACE)


def test_it_is_small_and_says_where_it_comes_from():
    path = resources.find("tables", NAME)
    assert path.stat().st_size < 400_000
    text = (path.parent / "README.md").read_text()
    assert path.name in text and "arXiv:2001.00326" in text and "Permission is hereby granted" in text


def test_known_truths(table):
    """The benchmark's: 5^6 rows, best test 94.3733 %, best validation 91.6067 %, all-skip 54.2967 %; 4,930 classes."""
    assert {len(values) for values in table.columns.values()} == {5**6}
    assert table.columns["test_accuracy_200"].max() == 94.3733
    assert table.columns["valid_accuracy_200"].max() == 91.6067
    assert table.describe(Genotype.read(SKIPS))["test_accuracy_200"] == 54.2967
    assert len(table.rows) == 4_930
    assert sorted(table.columns["index"]) == list(range(5**6))


def test_a_class_is_worth_its_lowest_index(table):
    rng = random.Random(0)
    lowest = {}
    for genotype in SPACE.enumerate():
        if rng.random() < 0.1:
            lowest.setdefault(SPACE.canonical(genotype), []).append(genotype)
    several = [cells for cells in lowest.values() if len(cells) > 1]
    assert len(several) > 50
    assert all(len({table.row(genotype) for genotype in cells}) == 1 for cells in several)


@needs_csv
def test_every_number_equals_the_csvs(table):
    with gzip.open(CSV, "rt") as file:
        rows = list(csv.DictReader(file))
    order = np.argsort(table.columns["index"])
    for name, values in table.columns.items():
        given = np.zeros(5**6)
        given[[int(row["index"]) for row in rows]] = [float(row[name]) for row in rows]
        allowed = 0.00101 if name == "train_seconds_per_epoch" else 1e-9  # a sum over edges, rounded to 0.001 s
        assert np.abs(values[order] - given).max() <= allowed, name


@needs_csv
def test_a_csv_is_a_table_like_the_shipped_one(table):
    other = Table.load(CSV, SPACE)
    assert other.rows.keys() == table.rows.keys()
    for genotype in random.Random(1).sample(list(SPACE.enumerate()), 200):
        ours, theirs = table.describe(genotype), other.describe(genotype)
        assert ours["index"] == theirs["index"] and ours["valid_accuracy_12"] == theirs["valid_accuracy_12"]


def test_packing_and_reading_back(tmp_path):
    rng = random.Random(0)
    archs = [genotype.to_text("nas_bench_201") for genotype in SPACE.enumerate()]
    rng.shuffle(archs)
    accuracies = [f"{rng.uniform(10, 95):.3f}" for _ in archs]
    accuracies[7] = ""
    columns = {"index": list(map(str, range(5**6))), "valid_accuracy_5": accuracies}
    path = tmp_path / "own.npz"
    pack(path, archs, columns, np.arange(30.0).reshape(6, 5))
    read = Table.load(path, SPACE)
    numbers = dict(zip(read.columns["index"], read.columns["valid_accuracy_5"], strict=True))
    assert np.isnan(numbers[7])
    assert all(numbers[row] == float(text) for row, text in enumerate(accuracies) if text)
    skips = read.describe(Genotype.read(SKIPS))
    assert skips["train_seconds_per_epoch"] == sum(5 * edge + 1 for edge in range(6))


def test_what_an_edge_adds_by_hand():
    assert OPERATIONS[0] == "none" and edge_counts("none") == edge_counts("avg_pool_3x3") == (0, 0)
    # 5 cells in each of 3 stages: 16, 32, 64 channels on sides of 32, 16, 8; weights and a batch norm's two numbers
    assert edge_counts("nor_conv_1x1") == (5 * (256 + 1024 + 4096 + 2 * 112), 5 * 3 * 256 * 1024)
    assert edge_counts("nor_conv_3x3") == (5 * (9 * 5376 + 2 * 112), 5 * 3 * 9 * 256 * 1024)


HEAD = "arch,index,valid_accuracy_3\n"


def test_a_users_csv(tmp_path):
    skips, other = SKIPS, SKIPS.replace("|skip_connect~0|+|", "|nor_conv_1x1~0|+|", 1)
    zero = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    again = zero.replace("none~2", "skip_connect~2")
    path = tmp_path / "own.csv"
    path.write_text(f"{HEAD}{skips},5,50.0\n{again},9,11.0\n{zero},2,10.0\n{other},1,\n")
    table = Table.load(path, SPACE)
    assert len(table.rows) == 3
    assert table.describe(Genotype.read(again)) == {"index": 2, "valid_accuracy_3": 10.0}
    assert table.describe(Genotype.read(other)) == {"index": 1}
    assert table.describe(SPACE.sample(random.Random(5))) == {} and table.row(SPACE.sample(random.Random(5))) is None
    with pytest.raises(DataError, match=r"own.csv: has no column 'valid_acuracy_3'; did you mean 'valid_accuracy_3'"):
        table.column("valid_acuracy_3")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "must be a table with a header"),
        ("a,b\n1,2\n", "must be a table with a header, a column 'arch'"),
        (f"{HEAD}{SKIPS},0,high\n", "must be a table with a header.*'high'"),
        (f"{HEAD}{SKIPS},0,50.0\n|what,1,2\n", "row 2: "),
        (f'{HEAD}"{SKIPS.replace("skip_connect", "sep_conv_3x3")}",0,50.0\n', "row 1: genotype: normal"),
    ],
)
def test_files_that_are_no_tables(tmp_path, content, message):
    path = tmp_path / "own.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        Table.load(path, SPACE)


def test_a_damaged_packed_table_and_an_unknown_name(tmp_path):
    path = tmp_path / "cut.npz"
    path.write_bytes(resources.find("tables", NAME).read_bytes()[:-1000])
    with pytest.raises(DataError, match="damaged or no packed table"):
        Table.load(path, SPACE)
    np.savez(path, x=np.zeros(3))
    with pytest.raises(DataError, match="damaged or no packed table"):
        Table.load(path, SPACE)
    with pytest.raises(DataError, match=f"no such table; did you mean '{NAME}'"):
        Table.load("nas_bench_201_cifar", SPACE)
