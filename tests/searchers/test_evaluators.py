"""What a training can end in: a value, a stop, a failure of this cell alone, or an error of the whole search."""

import math
from types import SimpleNamespace

import pytest

from nasdrop.errors import DataError
from nasdrop.searchers.evaluators import (
    Evaluation,
    Failed,
    FunctionEvaluator,
    Pruned,
    TableEvaluator,
    TrainingEvaluator,
)
from nasdrop.searchers.table import Table
from nasdrop.settings import Experiment
from nasdrop.space import Genotype, SearchSpace
from nasdrop.train import DivergedError, Score

GENOTYPE = Genotype.read("DARTS_V2")


class Training:
    """Stands for a training of three epochs that may end early."""

    def __init__(self, error=None, metric="accuracy", own=()):
        self.error, self.asked, self.scores, self.chosen = error, None, {}, {}
        self.space = SimpleNamespace(own_operations=own)
        self.experiment = Experiment(name="x", train={"metric": metric})

    def key(self, genotype):
        return "abc"

    def run(self, genotype, *, on_epoch, **asked):
        self.asked = asked
        for epoch in range(3):
            on_epoch(SimpleNamespace(epoch=epoch, valid=Score(0.5 + epoch / 10, 1.0, 5, 10, self.scores)))
        if self.error:
            raise self.error
        score = Score(0.7, 0.2, 7, 10, {"accuracy": 0.7, "macro_f1": 0.6})
        return SimpleNamespace(accuracy=0.7, loss=0.2, score=score)


def test_a_value_with_every_epoch_reported():
    training, reported = Training(), []
    evaluation = TrainingEvaluator(training, epochs=3, seed=5)(GENOTYPE, lambda *epoch: reported.append(epoch))
    assert evaluation.value == 0.7 and evaluation.attributes == {"loss": 0.2, "accuracy": 0.7}
    assert reported == [(1, 0.5), (2, 0.6), (3, 0.7)]
    assert training.asked == {"label": "trial-abc", "epochs": 3, "seed": 5}


def test_another_metric_is_the_value():
    training, reported = Training(metric="macro_f1"), []
    training.scores = {"macro_f1": 0.4}
    evaluation = TrainingEvaluator(training, epochs=3, seed=5)(GENOTYPE, lambda *epoch: reported.append(epoch))
    assert evaluation.value == 0.6 and evaluation.attributes["accuracy"] == 0.7
    assert reported == [(1, 0.4), (2, 0.4), (3, 0.4)]


def test_a_stop_is_passed_on():
    def stop(epoch, accuracy):
        raise Pruned

    with pytest.raises(Pruned):
        TrainingEvaluator(Training(), 3, 0)(GENOTYPE, stop)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DivergedError("epoch 1: the loss is nan"), "epoch 1: the loss is nan"),
        (MemoryError(), "out of memory: no detail"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore"), "out of memory: CUDA out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory: DefaultCPUAllocator"),
    ],
)
def test_a_failure_of_one_cell(error, message):
    with pytest.raises(Failed, match=message) as caught:
        TrainingEvaluator(Training(error), 3, 0)(GENOTYPE, lambda *epoch: None)
    assert caught.value.exit_code == 1 and "\n" not in str(caught.value)


def test_a_cell_too_large_to_measure_fails_alone(monkeypatch):
    def no_memory(*_):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    evaluator = TrainingEvaluator(Training(), 3, 0)
    monkeypatch.setattr(evaluator, "_costs", no_memory)
    with pytest.raises(Failed, match="out of memory: CUDA"):
        evaluator.cost(GENOTYPE, "latency")


def test_any_other_error_is_not_hidden():
    with pytest.raises(RuntimeError, match="shapes"):
        TrainingEvaluator(Training(RuntimeError("shapes do not fit")), 3, 0)(GENOTYPE, lambda *epoch: None)


SKIPS = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"


@pytest.fixture(scope="module")
def table():
    return Table.load("nas_bench_201_cifar10", SearchSpace.load("nas_bench_201"))


def test_a_look_up_with_its_simulated_seconds(table):
    """All skips: 12 epochs on half of the images; every number from the table's own row."""
    cell = Genotype.read(SKIPS)
    row = table.describe(cell)
    evaluation = TableEvaluator(table, "valid_accuracy_12")(cell, lambda *epoch: None)
    assert evaluation.value == row["valid_accuracy_12"] / 100
    assert evaluation.attributes["simulated_seconds"] == round(6 * row["train_seconds_per_epoch"], 3)


def test_a_table_tells_the_costs_of_its_columns(table):
    cell = Genotype.read(SKIPS)
    evaluator = TableEvaluator(table)
    assert evaluator.cost(cell, "latency_ms_edgegpu") == table.describe(cell)["latency_ms_edgegpu"]
    assert evaluator.cost(cell, "parameters") == 73_306
    assert evaluator.known_costs[0] == "parameters" and "mult_adds_m" in evaluator.known_costs
    assert not {"index", "test_accuracy_200"} & set(evaluator.known_costs)


def test_what_a_table_cannot_tell(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(f"arch,accuracy\n{SKIPS},\n")
    space = SearchSpace.load("nas_bench_201")
    evaluator = TableEvaluator(Table.load(path, space), "accuracy")
    for cell in (Genotype.read(SKIPS), Genotype.read(SKIPS.replace("skip_connect~0", "nor_conv_3x3~0"))):
        with pytest.raises(Failed, match="the table does not hold this cell"):
            evaluator(cell, lambda *epoch: None)
        with pytest.raises(Failed, match="the table does not hold this cell"):
            evaluator.cost(cell, "accuracy")
    path.write_text(f"arch,accuracy\n{SKIPS},50\n")
    evaluator = TableEvaluator(Table.load(path, space), "accuracy")
    assert evaluator(Genotype.read(SKIPS), print) == Evaluation(0.5) and evaluator.known_costs == ()
    path.write_text(f"arch,accuracy,params_m,parameters\n{SKIPS},50,0.1,7\n")
    evaluator = TableEvaluator(Table.load(path, space), "accuracy")
    assert evaluator.known_costs == ("parameters", "params_m")
    assert evaluator.cost(Genotype.read(SKIPS), "parameters") == 7


@pytest.mark.parametrize("column", ["test_accuracy_200", "latency_ms_edgegpu"])
def test_a_search_never_sees_the_test_split(table, column):
    with pytest.raises(DataError, match=f"a search sees an accuracy that is not of the test split, got '{column}'"):
        TableEvaluator(table, column)


def test_a_function_of_the_users_own():
    assert FunctionEvaluator(lambda genotype, report: 3)(GENOTYPE, print) == Evaluation(3.0)
    rich = Evaluation(0.5, {"note": "x"})
    evaluator = FunctionEvaluator(lambda genotype, report: rich)
    assert evaluator(GENOTYPE, print) is rich
    assert evaluator.known_costs is None and math.isnan(evaluator.cost(GENOTYPE, "parameters"))
    with pytest.raises(Failed, match="must be finite, got nan"):
        FunctionEvaluator(lambda genotype, report: float("nan"))(GENOTYPE, print)


@pytest.mark.parametrize("error", [TypeError("no such\nthing"), RuntimeError("shapes differ"), KeyError("x")])
def test_an_operation_of_the_users_own_that_raises_fails_its_cell(error):
    with pytest.raises(Failed, match=rf"test_evaluators.py, line \d+: {type(error).__name__}: \S+") as caught:
        TrainingEvaluator(Training(error, own=("mine",)), epochs=3, seed=5)(GENOTYPE, lambda *epoch: None)
    assert len(caught.value.lines) == 1 and "\n" not in str(caught.value)
    with pytest.raises(type(error)):  # where all operations are ours it is a mistake of ours
        TrainingEvaluator(Training(error), epochs=3, seed=5)(GENOTYPE, lambda *epoch: None)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), Pruned(), DataError("gone")])
def test_what_is_not_the_cells_fault_passes_through(error):
    with pytest.raises(type(error)):
        TrainingEvaluator(Training(error, own=("mine",)), epochs=3, seed=5)(GENOTYPE, lambda *epoch: None)
