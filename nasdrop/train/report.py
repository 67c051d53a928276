"""What an epoch of training was like, and how it goes into the records."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from nasdrop.drop.paths import PathDrop
from nasdrop.train.record import Layout, Recorder
from nasdrop.train.score import Score

CHARTS: Layout = {
    "Training": {
        "accuracy": ["Multiline", ["train/accuracy", "valid/accuracy"]],
        "loss": ["Multiline", ["train/loss", "valid/loss"]],
    },
    "Drop schedule": {
        "planned and realised": ["Multiline", ["drop/planned/mean", "drop/realised/mean"]],
        "planned drop probability a cell": ["Multiline", ["drop/planned/cell_.*"]],
        "realised share of dropped paths a cell": ["Multiline", ["drop/realised/cell_.*"]],
    },
}
FRACTAL_CHARTS: Layout = {
    "Fractal": {
        "accuracy of each column alone": ["Multiline", ["valid/accuracy", "valid/column_.*"]],
        "share of draws that run the columns": ["Multiline", ["fractal/drawn/.*"]],
        "live inputs of each join": ["Multiline", ["fractal/live_inputs/.*"]],
    }
}


@dataclass(frozen=True)
class EpochReport:
    """One epoch.

    Attributes:
        epoch: from 0.
        epochs: the full budget, over which the schedules run.
        train_loss: mean of the loss that was minimised, label smoothing and auxiliary head included.
        train_accuracy: share of correct answers on the augmented images, under drop.
        valid: score on the validation split; None where that is empty.
        learning_rate: of the last step.
        seconds: wall time, evaluation included.
        planned: drop probability of each path and module, as planned for the middle of the epoch.
        realised: share of samples for which each path was dropped, counted.
        drawn: of a fractal network, the share of samples under the local rule and of each column alone, counted.
        parts: validation accuracy of each part that the network scores beside the whole, in [0, 1].
        replayed: true when the epoch was trained before an interruption and is only told again.
    """

    epoch: int
    epochs: int
    train_loss: float
    train_accuracy: float
    valid: Score | None
    learning_rate: float
    seconds: float
    planned: Mapping[str, float] = field(default_factory=dict, repr=False)
    realised: Mapping[str, float] = field(default_factory=dict, repr=False)
    drawn: Mapping[str, float] = field(default_factory=dict, repr=False)
    parts: Mapping[str, float] = field(default_factory=dict, repr=False)
    replayed: bool = False

    def state(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "EpochReport":
        """The report that `state` was taken from, marked as replayed."""
        valid = Score(**state["valid"]) if state["valid"] else None
        return cls(**{**state, "valid": valid, "replayed": True})


OnEpoch = Callable[[EpochReport], object]


@dataclass(frozen=True)
class FitResult:
    """A training that ran to its end.

    Attributes:
        history: every epoch, those before an interruption included.
        resumed_at: number of epochs that came from the checkpoint.
    """

    history: tuple[EpochReport, ...]
    resumed_at: int = 0

    @property
    def valid(self) -> Score | None:
        """Score of the last epoch on the validation split."""
        return self.history[-1].valid if self.history else None


def charts(network: nn.Module) -> Layout:
    """How TensorBoard arranges what a network's training records."""
    path_drop = getattr(network, "path_drop", None)
    return {**CHARTS, **FRACTAL_CHARTS} if path_drop and path_drop.num_columns else CHARTS


def record_epoch(recorder: Recorder, report: EpochReport, network: nn.Module) -> None:
    """Write an epoch into the records, drop rates as means over the paths of a cell that can drop."""
    values = {
        "train/loss": report.train_loss,
        "train/accuracy": report.train_accuracy,
        "train/learning_rate": report.learning_rate,
        "train/seconds": report.seconds,
    }
    if report.valid:
        values |= {"valid/loss": report.valid.loss, "valid/accuracy": report.valid.accuracy}
    path_drop = getattr(network, "path_drop", None)
    for kind, rates in (("planned", report.planned), ("realised", report.realised)):
        values |= {f"drop/{kind}/{name}": rate for name, rate in cell_means(rates, path_drop).items()}
    values |= {f"valid/{name}": accuracy for name, accuracy in report.parts.items()}
    values |= {f"fractal/drawn/{name.replace(' ', '_')}": share for name, share in report.drawn.items()}
    values |= {f"fractal/live_inputs/{name}": live for name, live in live_inputs(report.realised, path_drop).items()}
    recorder.scalars(values, report.epoch)


def live_inputs(realised: Mapping[str, float], path_drop: PathDrop | None) -> dict[str, float]:
    """Mean number of live inputs of each fractal join, draws that run one column included."""
    joins: dict[str, float] = {}
    for path in path_drop.paths if path_drop else ():
        if path.column is not None and path.name in realised:
            name = f"join_{path.node:02d}"
            joins[name] = joins.get(name, 0.0) + 1.0 - realised[path.name]
    return joins


def cell_means(rates: Mapping[str, float], path_drop: PathDrop | None) -> dict[str, float]:
    """Mean rate of each cell, over its paths that can drop, and of all of them; other modules by their own names."""
    cells: dict[str, list[float]] = {}
    rest = dict(rates)
    for path, droppable in zip(path_drop.paths, path_drop.droppable, strict=True) if path_drop else ():
        rate = rest.pop(path.name, None)
        if rate is not None and droppable:
            cells.setdefault(f"cell_{path.cell:02d}", []).append(rate)
    every = [rate for members in cells.values() for rate in members]
    means = {name: sum(members) / len(members) for name, members in sorted(cells.items())}
    return means | ({"mean": sum(every) / len(every)} if every else {}) | rest
