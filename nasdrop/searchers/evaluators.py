"""A genotype's value: by training it, by a table, or by a user's own function; by inherited weights: `inherited.py`.

Evaluators know no study; whoever asks decides when to stop, by raising in `report`.
"""

import json
import math
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from nasdrop.beside import Chosen
from nasdrop.errors import DataError, InputError, NasdropError, RunError
from nasdrop.files import write_json
from nasdrop.searchers.costs import NetworkCosts
from nasdrop.searchers.fidelity import Stage, ladder
from nasdrop.searchers.table import Table
from nasdrop.searchers.training import Outcome, Training
from nasdrop.settings import RungSettings
from nasdrop.space import Genotype
from nasdrop.train import DivergedError, EpochReport

Report = Callable[[int, float], None]


class Pruned(Exception):
    """Raised by `report`: this cell lags, stop here."""


class Stopped(Exception):
    """Raised by `report`: whoever evaluates was asked to end; the cell is for another worker, or for the next call."""


class Failed(RunError):
    """This cell cannot be evaluated; others can."""


@dataclass(frozen=True)
class Evaluation:
    """What a cell is worth.

    Attributes:
        value: validation accuracy, or another metric of it, in [0, 1].
        attributes: plain values worth keeping beside it (parameters, loss, ...).
    """

    value: float
    attributes: Mapping[str, Any] = field(default_factory=dict)


Function = Callable[[Genotype, Report], float | Evaluation]
"""A user's own evaluator: called with a genotype and `report`, returns its value; higher is better."""


class Evaluator(Protocol):
    """Gives a genotype its value."""

    def __call__(self, genotype: Genotype, report: Report) -> Evaluation:
        """Evaluate, calling `report(epoch, accuracy)` after every epoch, epochs counted from 1.

        Raises:
            Pruned: passed through from `report`.
            Failed: the cell diverges, or does not fit into memory.
        """

    @property
    def known_costs(self) -> Collection[str] | None:
        """Names that `cost` knows, those that are quickly told first; None: only an evaluation tells any."""

    def cost(self, genotype: Genotype, name: str) -> float:
        """What a cell costs, told before it is evaluated; NaN where nobody knows.

        Raises:
            Failed: the cell cannot be evaluated.
        """


@runtime_checkable
class Adjustable(Protocol):
    """An evaluator that settings searched beside the cell can be given to."""

    def under(self, chosen: Chosen) -> Evaluator:
        """The same evaluator with these settings in the place of the experiment's."""


class TableEvaluator:
    """Look a cell up: microseconds instead of hours, with the seconds that a training would have taken.

    Args:
        table: what was measured.
        value: the column that the search sees, an accuracy in percent, on anything but the test split.

    Raises:
        DataError: the table has no such column, or it is not one that a search may see.
    """

    def __init__(self, table: Table, value: str = "valid_accuracy_200") -> None:
        self.table, self.values = table, table.column(value)
        known = ["parameters"] if "params_m" in table.columns else []
        known += [name for name in table.columns if name != "index" and "accuracy" not in name]
        self.known_costs = tuple(dict.fromkeys(known))
        if "accuracy" not in value or value.startswith("test"):
            raise DataError(
                f"table {table.name}: a search sees an accuracy that is not of the test split, got {value!r}"
            )
        epochs = value.rpartition("_")[2]
        self.epochs = int(epochs) if epochs.isdecimal() else 0

    def __call__(self, genotype: Genotype, report: Report) -> Evaluation:
        """Look up; see Evaluator. Nothing is reported on the way: a table knows ends alone."""
        row = self._row(genotype)
        attributes: dict[str, Any] = {}
        seconds = self._number("train_seconds_per_epoch", row)
        if self.epochs and math.isfinite(seconds):  # half of the training images are the validation split's
            attributes["simulated_seconds"] = round(self.epochs * seconds / 2, 3)
        return Evaluation(float(self.values[row]) / 100, attributes)

    def cost(self, genotype: Genotype, name: str) -> float:
        """A column's number, where there is no `parameters` made from the millions; see Evaluator."""
        row = self._row(genotype)
        if name == "parameters" and name not in self.table.columns:
            millions = self._number("params_m", row)
            return round(1e6 * millions) if math.isfinite(millions) else millions
        return self._number(name, row)

    def _row(self, genotype: Genotype) -> int:
        row = self.table.row(genotype)
        if row is None or not math.isfinite(self.values[row]):
            raise Failed("the table does not hold this cell")
        return row

    def _number(self, name: str, row: int) -> float:
        return float(self.table.columns[name][row]) if name in self.table.columns else math.nan


class FunctionEvaluator:
    """A user's own function as an evaluator.

    Args:
        function: gives the value.
    """

    known_costs = None

    def __init__(self, function: Function) -> None:
        self.function = function

    def __call__(self, genotype: Genotype, report: Report) -> Evaluation:
        """Call the function; see Evaluator. A value that is not finite fails the cell."""
        result = self.function(genotype, report)
        evaluation = result if isinstance(result, Evaluation) else Evaluation(float(result))
        if not math.isfinite(evaluation.value):
            raise Failed(f"its value must be finite, got {evaluation.value}")
        return evaluation

    def cost(self, genotype: Genotype, name: str) -> float:
        """Nobody knows."""
        return math.nan


class TrainingEvaluator:
    """Train a cell from scratch on the training split and score it on the validation split.

    Every training's schedules run over its full budget, so a pruned one has seen the beginning of a full training.

    Args:
        training: how to build and train a network.
        epochs: of the full training.
        seed: of the weights and of the order of the data, the same for every cell.
        latency_batch: images at once where latency is measured.
        fidelity: cheap trainings before the full one.
    """

    known_costs = NetworkCosts.names

    def __init__(
        self,
        training: Training,
        epochs: int,
        seed: int,
        latency_batch: int = 1,
        fidelity: Sequence[RungSettings] = (),
    ) -> None:
        self.training, self.epochs, self.seed, self.fidelity = training, epochs, seed, fidelity
        self._costs, self._latency_batch = NetworkCosts(training, latency_batch), latency_batch
        self._own_mistakes = [InputError] if training.chosen else []

    def __call__(self, genotype: Genotype, report: Report) -> Evaluation:
        """Train and score; see Evaluator. Settings beside the cell that do not fit each other fail it."""
        *cheap, full = ladder(self.fidelity, self.epochs)
        with failing_alone(*self._own_mistakes, own=bool(self.training.space.own_operations)):
            for stage in cheap:
                self._pass(stage, genotype, report)
            outcome = self._train(full, genotype, report)
        for stage in cheap:
            self._reports(stage, genotype).unlink(missing_ok=True)
        value = outcome.score.value(self.training.experiment.train.metric)
        return Evaluation(value, {"loss": outcome.loss, "accuracy": outcome.accuracy})

    def _pass(self, stage: Stage, genotype: Genotype, report: Report) -> None:
        """Train a cheap network, or report what it has reported: a trial that is retried does not train it again."""
        file = self._reports(stage, genotype)
        if file.exists():
            for epoch, value in enumerate(json.loads(file.read_text()), start=stage.before + 1):
                report(epoch, value)
            return
        values: list[float] = []

        def keep(epoch: int, value: float) -> None:
            values.append(value)
            if len(values) == stage.epochs:
                write_json(file, values)
            report(epoch, value)

        self._train(stage, genotype, keep)

    def _train(self, stage: Stage, genotype: Genotype, report: Report) -> Outcome:
        training = self.training
        if stage.name:
            training = replace(training, experiment=stage.sized(training.experiment))
        metric = training.experiment.train.metric

        def ended(epoch: EpochReport) -> None:
            if epoch.valid:
                report(stage.before + epoch.epoch + 1, epoch.valid.value(metric))

        label = self._label(stage, genotype)
        return training.run(genotype, label=label, epochs=stage.epochs, seed=self.seed, on_epoch=ended)

    def _label(self, stage: Stage, genotype: Genotype) -> str:
        return f"trial-{self.training.key(genotype)}{stage.name}"

    def _reports(self, stage: Stage, genotype: Genotype) -> Path:
        """Where the values of a finished cheap training are kept until the trial is over."""
        return self.training.checkpoints / f"{self._label(stage, genotype)}.json"

    def cost(self, genotype: Genotype, name: str) -> float:
        """Of the cell's network; see NetworkCosts."""
        with failing_alone(*self._own_mistakes, own=bool(self.training.space.own_operations)):
            return self._costs(genotype, name)

    def under(self, chosen: Chosen) -> "TrainingEvaluator":
        """Train with these settings; see Evaluator."""
        return TrainingEvaluator(
            self.training.under(chosen), self.epochs, self.seed, self._latency_batch, self.fidelity
        )


@contextmanager
def failing_alone(*kinds: type[NasdropError], own: bool = False) -> Iterator[None]:
    """Inside, what is wrong with this cell alone is raised as such.

    Args:
        kinds: further errors that are of this cell alone.
        own: cells may hold a user's own operations, whose errors are the cell's.

    Raises:
        Failed: the cell diverges, does not fit into memory, holds an operation that raises, or one of `kinds`.
    """
    alone: tuple[type[NasdropError], ...] = (DivergedError, *kinds)
    try:
        yield
    except alone as error:
        raise Failed(str(error)) from error
    except (Pruned, Stopped, NasdropError, OSError):
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in str(error).lower()):
            raise Failed(f"out of memory: {str(error).splitlines()[0] if str(error) else 'no detail'}") from error
        if own:
            raise _raised(error) from error
        raise


def _raised(error: Exception) -> Failed:
    """What a user's operation has raised, and where."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return Failed(
        f"{Path(place.filename).name}, line {place.lineno}: {type(error).__name__}: {' '.join(str(error).split())}"
    )
