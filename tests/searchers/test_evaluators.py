"""What a training can end in: a value, a stop, a failure of this cell alone, or an error of the whole search."""

from types import SimpleNamespace

import pytest

from nasdrop.models.cost import Cost
from nasdrop.searchers.evaluators import Failed, Pruned, TrainingEvaluator
from nasdrop.space import Genotype
from nasdrop.train import DivergedError, Score

GENOTYPE = Genotype.read("DARTS_V2")


class Training:
    """Stands for a training of three epochs that may end early."""

    def __init__(self, error=None):
        self.error, self.asked = error, None

    def key(self, genotype):
        return "abc"

    def cost(self, genotype):
        return Cost(11, 22)

    def run(self, genotype, *, on_epoch, **asked):
        self.asked = asked
        for epoch in range(3):
            on_epoch(SimpleNamespace(epoch=epoch, valid=Score(0.5 + epoch / 10, 1.0, 5, 10)))
        if self.error:
            raise self.error
        return SimpleNamespace(accuracy=0.7, loss=0.2, cost=Cost(11, 22))


def test_a_value_with_every_epoch_reported():
    training, reported = Training(), []
    evaluation = TrainingEvaluator(training, epochs=3, seed=5)(GENOTYPE, lambda *epoch: reported.append(epoch))
    assert evaluation.value == 0.7 and evaluation.attributes == {"parameters": 11, "loss": 0.2}
    assert reported == [(1, 0.5), (2, 0.6), (3, 0.7)]
    assert training.asked == {"label": "trial-abc", "epochs": 3, "seed": 5}
    assert TrainingEvaluator(training, epochs=3, seed=5).parameters(GENOTYPE) == 11


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


def test_any_other_error_is_not_hidden():
    with pytest.raises(RuntimeError, match="shapes"):
        TrainingEvaluator(Training(RuntimeError("shapes do not fit")), 3, 0)(GENOTYPE, lambda *epoch: None)
