"""What every search returns, and what it says while it runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from nasdrop.beside import Chosen
from nasdrop.space import Genotype

DropRow = tuple[str, float, float, float]
Outcome = Literal["done", "pruned", "duplicate", "failed", "over_limit"]


@dataclass(frozen=True)
class TrialRecord:
    """One cell that a search tried.

    Attributes:
        number: from 0, in the order of asking.
        outcome: `pruned` trials were stopped early, `duplicate` ones were known in canonical form and not trained,
            `over_limit` ones cost more than they may, and were not trained where that was known before.
        value: validation accuracy in [0, 1]; None if the trial failed, or was over a limit and not trained.
        epochs: epochs trained.
        parameters: weights of the network, auxiliary head apart.
        seconds: wall time.
        note: why it failed, which trial it repeats, or which limit it is over.
        costs: what was minimised beside the value, in the order of the experiment's `search.costs`.
        chosen: settings that were chosen beside the cell, by their dotted keys.
    """

    number: int
    outcome: Outcome
    genotype: Genotype
    value: float | None = None
    epochs: int = 0
    parameters: int = 0
    seconds: float = 0.0
    note: str = ""
    costs: tuple[float, ...] = ()
    chosen: Chosen = field(default_factory=dict)


@dataclass(frozen=True)
class SearchResult:
    """The best cell and how it was found.

    Attributes:
        genotype: the best cell.
        score: its validation accuracy in [0, 1] during the search.
        history: every trial, in order.
        folder: the run folder.
        note: what the score is of, where it is not of the cell itself.
        chosen: settings that the best trial chose beside the cell, by their dotted keys.
    """

    genotype: Genotype
    score: float
    history: tuple[TrialRecord, ...] = field(repr=False)
    folder: Path | None = None
    note: str = ""
    chosen: Chosen = field(default_factory=dict)

    def best(self, count: int) -> list[TrialRecord]:
        """The best `count` distinct trials that ran to their end."""
        done = [record for record in self.history if record.outcome == "done" and record.value is not None]
        return sorted(done, key=lambda record: -(record.value or 0.0))[:count]

    def front(self) -> list[TrialRecord]:
        """The Pareto front, best value first: trials that no other equals in value and costs and beats in one."""
        front: list[TrialRecord] = []
        for record in sorted(self.best(len(self.history)), key=lambda record: (-(record.value or 0.0), record.costs)):
            if not any(_no_worse(other.costs, record.costs) for other in front):
                front.append(record)
        return front


def _no_worse(costs: Sequence[float], than: Sequence[float]) -> bool:
    return all(cost <= other for cost, other in zip(costs, than, strict=True))


class Observer(Protocol):
    """Whoever watches a run: the command line draws, a library user may listen."""

    def planned(self, facts: Sequence[tuple[str, object]], rates: Sequence[DropRow]) -> None:
        """A run begins: what it will do, and each path's drop rate at the first, the middle and the last epoch."""

    def note(self, line: str) -> None:
        """Something the user should know, in one line."""

    def trial_started(self, number: int, total: int) -> None:
        """A trial begins; `total` is the number of trials wanted."""

    def epoch_ended(self, epoch: int, epochs: int, accuracy: float | None) -> None:
        """An epoch of the present training is over; `epoch` counts from 1."""

    def trial_ended(self, record: TrialRecord) -> None:
        """A trial is over."""

    def search_epoch(self, epoch: int, epochs: int, facts: Mapping[str, str]) -> None:
        """An epoch of a search by gradient is over; `epoch` counts from 1, `facts` are short words and figures."""

    def training_started(self, label: str, number: int, total: int) -> None:
        """One of the final trainings begins; `number` are over."""

    def training_ended(self, accuracy: float, seconds: float) -> None:
        """That training is over, with this test accuracy in [0, 1]."""


class Silent:
    """An observer that keeps quiet."""

    def planned(self, facts: Sequence[tuple[str, object]], rates: Sequence[DropRow]) -> None:
        """Say nothing."""

    def note(self, line: str) -> None:
        """Say nothing."""

    def trial_started(self, number: int, total: int) -> None:
        """Say nothing."""

    def epoch_ended(self, epoch: int, epochs: int, accuracy: float | None) -> None:
        """Say nothing."""

    def trial_ended(self, record: TrialRecord) -> None:
        """Say nothing."""

    def search_epoch(self, epoch: int, epochs: int, facts: Mapping[str, str]) -> None:
        """Say nothing."""

    def training_started(self, label: str, number: int, total: int) -> None:
        """Say nothing."""

    def training_ended(self, accuracy: float, seconds: float) -> None:
        """Say nothing."""
