"""What a view needs to know of a trial and of a final score: any object with these attributes will do."""

from collections.abc import Sequence
from typing import Protocol


class TrialLike(Protocol):
    """What a trial's line needs to know."""

    @property
    def number(self) -> int:
        """From 0."""

    @property
    def outcome(self) -> str:
        """One of done, pruned, duplicate, failed, over_limit."""

    @property
    def value(self) -> float | None:
        """Validation accuracy in [0, 1]."""

    @property
    def epochs(self) -> int:
        """Epochs trained."""

    @property
    def parameters(self) -> int:
        """Weights of the network."""

    @property
    def seconds(self) -> float:
        """Wall time."""

    @property
    def note(self) -> str:
        """Why it failed, which trial it repeats, or which limit it is over."""


class ScoreLike(Protocol):
    """What a row of the final table needs to know."""

    @property
    def label(self) -> str:
        """What was trained."""

    @property
    def accuracies(self) -> Sequence[float]:
        """On the test split, in [0, 1], one a training."""

    @property
    def mean(self) -> float:
        """Of the accuracies."""

    @property
    def spread(self) -> float:
        """Sample standard deviation of the accuracies."""

    @property
    def standard_error(self) -> float:
        """What the number of test images allows."""

    @property
    def parameters(self) -> float:
        """Weights of the network."""

    @property
    def multiply_adds(self) -> float:
        """Of one image."""

    @property
    def seconds(self) -> float:
        """Wall time of one training."""

    @property
    def images(self) -> int:
        """Size of the test split."""
