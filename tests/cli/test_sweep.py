"""`nasdrop sweep`: the grid, the runs, the table, and what is chosen from it."""

import json

import pytest

from nasdrop import cli
from nasdrop.cli.sweep import Point, chosen, parse_axis
from nasdrop.errors import ConfigError

SMALL = (
    "space=tiny", "search.epochs=1", "search.num_cells=3", "search.channels=4", "search.batch_size=128",
    "network.channels=4", "network.num_cells=3", "train.epochs=1", "final.seeds=1", "final.random_cells=0",
    "data.train_limit=512",
)  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [
    ("drop.p=0,0.2", ("drop.p", ("0", "0.2"))),
    ("seed=3", ("seed", ("3",))),
    ("search.shrink=[[1,2]],[]", ("search.shrink", ("[[1,2]]", "[]"))),
    ("description='a,b',c", ("description", ("'a,b'", "c"))),
])  # fmt: skip
def test_an_axis_is_read(text, expected):
    assert parse_axis(text) == expected


@pytest.mark.parametrize("text", ["seed", "=1", "seed=1,", "seed=1,1"])
def test_what_is_no_axis_is_refused(text):
    with pytest.raises(ConfigError, match=r"must read key=value,value"):
        parse_axis(text)


def test_the_best_after_validation_is_chosen_for_each_seed():
    rows = [
        Point({"drop.p": p, "seed": seed}, validation, test)
        for p, seed, validation, test in (
            ("0", "0", 0.90, 0.80), ("0.2", "0", 0.92, 0.70), ("0", "1", 0.95, 0.90), ("0.2", "1", 0.91, 0.99),
        )
    ]  # fmt: skip
    lines = chosen(rows)
    assert lines[0] == "best after validation, seed 0: drop.p=0.2,seed=0, 92.00 %, test 70.00 %"
    assert lines[1].startswith("best after validation, seed 1: drop.p=0,seed=1")
    assert lines[2] == "their test accuracy: 80.00 % ± 14.14 (2 seeds)"


def test_supernets_are_not_chosen_by():
    rows = [Point({"drop.p": "0"}, 0.9), Point({"drop.p": "0.2"}, None, note="of the supernet, not of this cell")]
    assert "nothing is chosen" in chosen(rows)[0]
    assert chosen([]) == []


def test_a_sweep_is_a_folder_of_runs_that_is_continued(tmp_path, capfd):
    arguments = [
        "sweep",
        "robust_darts_digits",
        *SMALL,
        "search.validation_epochs=1",
        "drop.p=0,0.4",
        "--out",
        str(tmp_path),
    ]
    assert cli.run(arguments) == 0
    rows = json.loads((tmp_path / "sweep.json").read_text())
    assert [row["values"] for row in rows] == [{"drop.p": "0"}, {"drop.p": "0.4"}]
    assert all(
        0 < row["validation"] <= 1 and 0 < row["test"] <= 1 and set(row["skips"]) == {"normal", "reduction"}
        for row in rows
    )
    out = capfd.readouterr().out
    assert "drop.p" in out and "best after validation" in out
    assert (tmp_path / "drop.p=0.4" / "genotype.json").is_file()
    before = (tmp_path / "drop.p=0" / "checkpoints" / "search.pt").stat().st_mtime_ns
    assert cli.run(arguments) == 0  # nothing is searched again
    assert (tmp_path / "drop.p=0" / "checkpoints" / "search.pt").stat().st_mtime_ns == before
    assert [row["values"] for row in json.loads((tmp_path / "sweep.json").read_text())] == [
        row["values"] for row in rows
    ]


def test_a_run_that_fails_is_a_row(tmp_path, capfd):
    arguments = [
        "sweep",
        "robust_darts_digits",
        *SMALL,
        "search.learning_rate=1e30",
        "search.gradient_clip=0",
        "seed=0,1",
        "--out",
        str(tmp_path),
    ]
    assert cli.run(arguments) == 0
    assert all(row["note"].startswith("failed: epoch 1") for row in json.loads((tmp_path / "sweep.json").read_text()))
    assert "nothing is chosen" in capfd.readouterr().out


def test_a_mistake_is_told_before_anything_runs(tmp_path, capfd):
    assert cli.run(["sweep", "robust_darts_digits", "drop.p=0,1.5", "--out", str(tmp_path / "x")]) == 2
    assert "drop.p=1.5" in capfd.readouterr().err and not (tmp_path / "x").exists()
