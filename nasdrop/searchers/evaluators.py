"""A genotype's value: by training it. Knows no study; whoever asks decides when to stop, by raising in `report`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from nasdrop.errors import RunError
from nasdrop.searchers.training import Training
from nasdrop.space import Genotype
from nasdrop.train import DivergedError

Report = Callable[[int, float], None]


class Pruned(Exception):
    """Raised by `report`: this cell lags, stop here."""


class Failed(RunError):
    """This cell cannot be evaluated; others can."""


@dataclass(frozen=True)
class Evaluation:
    """What a cell is worth.

    Attributes:
        value: validation accuracy in [0, 1].
        attributes: plain values worth keeping beside it (parameters, loss, ...).
    """

    value: float
    attributes: Mapping[str, Any] = field(default_factory=dict)


class Evaluator(Protocol):
    """Gives a genotype its value."""

    def __call__(self, genotype: Genotype, report: Report) -> Evaluation:
        """Evaluate, calling `report(epoch, accuracy)` after every epoch, epochs counted from 1.

        Raises:
            Pruned: passed through from `report`.
            Failed: the cell diverges, or does not fit into memory.
        """

    def parameters(self, genotype: Genotype) -> int:
        """Weights of the cell's network, auxiliary head apart."""


class TrainingEvaluator:
    """Train a cell from scratch on the training split and score it on the validation split.

    Every trial's schedules run over the full budget, so a pruned one has seen the beginning of a full training.

    Args:
        training: how to build and train a network.
        epochs: the full budget.
        seed: of the weights and of the order of the data, the same for every cell.
    """

    def __init__(self, training: Training, epochs: int, seed: int) -> None:
        self.training, self.epochs, self.seed = training, epochs, seed

    def __call__(self, genotype: Genotype, report: Report) -> Evaluation:
        """Train and score; see Evaluator."""
        try:
            outcome = self.training.run(
                genotype,
                label=f"trial-{self.training.key(genotype)}",
                epochs=self.epochs,
                seed=self.seed,
                on_epoch=lambda epoch: report(epoch.epoch + 1, epoch.valid.accuracy) if epoch.valid else None,
            )
        except DivergedError as error:
            raise Failed(str(error)) from error
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError) or "memory" in str(error).lower():
                raise Failed(f"out of memory: {str(error).splitlines()[0] if str(error) else 'no detail'}") from error
            raise
        return Evaluation(outcome.accuracy, {"parameters": outcome.cost.parameters, "loss": outcome.loss})

    def parameters(self, genotype: Genotype) -> int:
        """Weights of the cell's network; see Evaluator."""
        return self.training.cost(genotype).parameters
