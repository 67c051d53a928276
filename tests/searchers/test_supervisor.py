"""Many workers on one study: no cell twice, the budget met exactly, the dead replaced."""

import sys
from collections import Counter
from importlib import util
from pathlib import Path

import pytest

from nasdrop.errors import RunError
from nasdrop.run_folder import RunFolder
from nasdrop.searchers.result import Silent
from nasdrop.searchers.supervisor import search_with, worker_commands
from nasdrop.searchers.trials import counted
from nasdrop.settings import Experiment
from nasdrop.space import SearchSpace

TOY = Path(__file__).with_name("toy_worker.py")
spec = util.spec_from_file_location("toy_worker", TOY)
toy_worker = util.module_from_spec(spec)
spec.loader.exec_module(toy_worker)

SMALL = """
name = "small"
source = "this test"
skeleton = "nas_bench_201"

[cells.normal]
inputs = 1
nodes = 3
output = "last"
operations = ["nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
"""


class Ended(Silent):
    def __init__(self):
        self.records, self.progress = [], []

    def trial_started(self, number, total):
        self.progress.append(number)

    def trial_ended(self, record):
        self.records.append(record)


@pytest.fixture
def space(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def test_four_workers_evaluate_500_cells_and_none_twice(tmp_path, space):
    """In a space of 729 genotypes, so that known cells are drawn all the time."""
    journal = tmp_path / "study.journal"
    search = toy_worker.search(journal, str(space), trials=500)
    search.observer = Ended()
    commands = [(sys.executable, str(TOY), str(journal), str(space), "500", str(label)) for label in range(4)]
    result = search_with(search, commands, RunFolder(tmp_path))
    lines = [line.split(" ", 1) for line in journal.with_suffix(".log").read_text().splitlines()]
    cells = Counter(form for _, form in lines)
    assert len(lines) == len(cells) == 500
    loaded = SearchSpace.load(str(space))
    kept = [record for record in result.history if record.outcome == "done"]
    assert Counter(loaded.canonical(record.genotype) for record in kept) == cells
    assert len({label for label, _ in lines}) > 1, "one worker has done all"
    assert sum(record.outcome == "duplicate" for record in result.history) > 100
    told = search.observer.records
    assert sorted(record.number for record in told) == [record.number for record in result.history]
    assert search.observer.progress[-1] == 500 and sorted(search.observer.progress) == search.observer.progress
    assert all(worker.left for worker in search.roster.workers().values())


def test_nothing_is_started_for_a_budget_that_is_spent(tmp_path, space):
    journal = tmp_path / "study.journal"
    toy_worker.search(journal, str(space), trials=3).run()
    result = search_with(toy_worker.search(journal, str(space), trials=3), [("/no/such/program",)], RunFolder(tmp_path))
    assert len(counted(toy_worker.search(journal, str(space), trials=3).trials())) == 3
    assert len(result.history) >= 3 and not RunFolder(tmp_path).logs.exists()


def test_a_search_without_a_worker_that_works_says_why(tmp_path, space):
    search = toy_worker.search(tmp_path / "study.journal", str(space), trials=3)
    broken = (sys.executable, "-c", "import sys; sys.exit('Error: no such data')")
    with pytest.raises(RunError, match=r"1.log: no such data") as caught:
        search_with(search, [broken, broken], RunFolder(tmp_path))
    assert len(caught.value.lines) == 2


@pytest.mark.parametrize(("workers", "threads", "expected"), [(1, 0, 1), (3, 1, 3)])
def test_one_command_a_worker(tmp_path, workers, threads, expected):
    commands = worker_commands(tmp_path, Experiment(name="a", workers=workers, threads=threads, device="cpu"), "--x")
    assert len(commands) == expected
    assert len(set(map(tuple, commands))) == expected
    assert all(command[-1] == "--x" and str(tmp_path) in command and "cpu" in command for command in commands)
