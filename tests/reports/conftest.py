"""Run folders of every kind, each made once by the command that makes them."""

import json
import shutil

import pytest

from nasdrop import cli
from nasdrop.run_folder import RunFolder

COMMON = ("threads=1", "data.train_limit=128", "train.epochs=2", "train.batch_size=64", "final.seeds=1")
KINDS = {
    "study": ("digits", "space=tiny", "network.channels=2", "search.trials=6", "search.epochs=2", "drop.p=0.4",
              "search.min_epochs=1", "search.sampler=random", "final.random_cells=1", *COMMON),
    "gradient": ("robust_darts_digits", "space=tiny", "search.epochs=3", "search.num_cells=3", "search.channels=2",
                 "search.validation_epochs=0", "search.batch_size=32", "final.random_cells=0", *COMMON),
    "fractal": ("fractal_digits", "network.channels=2", "search.trials=2", "search.epochs=1", "search.min_epochs=1",
                "final.random_cells=0", *COMMON),
    "table": ("nas_bench_201_table", "search.trials=12", "search.costs=['latency_ms_edgegpu']",
              "search.sampler=random"),
}  # fmt: skip


@pytest.fixture(scope="session")
def run_of(tmp_path_factory):
    """`run_of(kind)`: the finished run folder of a kind in KINDS."""
    root, made = tmp_path_factory.mktemp("runs"), {}

    def run(kind):
        if kind not in made:
            folder = root / f"{kind} run"
            assert cli.run(["search", *KINDS[kind], "--out", str(folder)]) == 0
            made[kind] = folder
        return RunFolder(made[kind])

    return run


@pytest.fixture
def copy_of(run_of, tmp_path):
    """`copy_of(kind, without=())`: a copy that a test may damage, as of a run that has not got so far."""

    def copy(kind, *without):
        folder = RunFolder(tmp_path / kind)
        shutil.copytree(run_of(kind).path, folder.path)
        for name in without:
            path = folder.path / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return folder

    return copy


@pytest.fixture
def change():
    """`change(path, key=value)`: rewrite a JSON file."""

    def rewrite(path, **values):
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return rewrite
