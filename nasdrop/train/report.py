"""What an epoch of training was like, and how it goes into the records."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from nasdrop.train.rates import drop_charts, drop_values, fractal_charts
from nasdrop.train.record import Layout, Recorder
from nasdrop.train.score import Score

CHARTS: Layout = {
    "Training": {
        "accuracy": ["Multiline", ["train/accuracy", "valid/accuracy"]],
        "loss": ["Multiline", ["train/loss", "valid/loss"]],
        "learning rate": ["Multiline", ["train/learning_rate"]],
        "images a second": ["Multiline", ["train/images_per_second"]],
        "most memory, in MiB": ["Multiline", ["train/memory_mib"]],
    },
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
        silent: nodes a sample that lost all their inputs, as `expected` and as `realised`, counted.
        parts: validation accuracy of each part that the network scores beside the whole, in [0, 1].
        images_per_second: trained on, evaluation apart.
        memory_mib: most memory so far, of the device, or of the process where that is the CPU.
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
    silent: Mapping[str, float] = field(default_factory=dict, repr=False)
    parts: Mapping[str, float] = field(default_factory=dict, repr=False)
    images_per_second: float = 0.0
    memory_mib: float = 0.0
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
    return {**CHARTS, **drop_charts(path_drop), **fractal_charts(path_drop)}


def record_epoch(recorder: Recorder, report: EpochReport, network: nn.Module) -> None:
    """Write an epoch into the records, drop rates as means over the paths that can drop."""
    values = {
        "train/loss": report.train_loss,
        "train/accuracy": report.train_accuracy,
        "train/learning_rate": report.learning_rate,
        "train/seconds": report.seconds,
        "train/images_per_second": report.images_per_second,
        "train/memory_mib": report.memory_mib,
    }
    if report.valid:
        values |= {"valid/loss": report.valid.loss, "valid/accuracy": report.valid.accuracy}
        values |= {f"valid/{name}": value for name, value in report.valid.metrics.items()}
    values |= {f"valid/{name}": accuracy for name, accuracy in report.parts.items()}
    recorder.scalars(values | drop_values(vars(report), getattr(network, "path_drop", None)), report.epoch)
