"""What an epoch of a search by gradient was like."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from nasdrop.train import Score


@dataclass(frozen=True)
class SearchEpoch:
    """One epoch of a search.

    Attributes:
        epoch: from 0.
        epochs: of the whole search.
        stage: from 0.
        weights_loss: mean loss of the weights' batches, under drop.
        train_accuracy: share of correct answers on them.
        alphas_loss: mean loss of the alphas' batches; None where the alphas stood still.
        valid: the supernet's score on the validation split, in evaluation mode; None where it has no one mixture. It
            gets worse with drop path while the cell gets better: not to be selected by.
        entropy: by cell kind, mean entropy of an edge's mixing weights, in nats.
        skip_share: by cell kind, mean mixing weight of the skip connections.
        skips: by cell kind, skip connections in the cell that would be read off now.
        kept: by cell kind, edges of that cell.
        changes: edges of that cell that the epoch before did not have.
        moved: largest change of a mixing weight since the alphas were made.
        weights_norm: mean norm of the weights' gradient, before clipping.
        alphas_norm: likewise of the alphas'.
        eigenvalue: dominant one of the alphas' Hessian; None where it was not computed.
        learning_rate: of the weights, in the last step.
        seconds: wall time, without that of an interrupted beginning.
        genotype: that cell, as JSON.
        planned: drop rate of each path, as planned for the middle of the epoch.
        realised: share of samples for which each path was dropped in the steps of the weights, counted.
        silent: nodes a sample that lost all their inputs, as `expected` and as `realised`, counted.
        skip_elements: probability that an element of a skip connection dropped (P-DARTS); None where none does.
        images_per_second: of the weights' batches, evaluation apart.
        memory_mib: most memory so far, of the device, or of the process where that is the CPU.
        replayed: true when the epoch was run before an interruption and is only told again.
    """

    epoch: int
    epochs: int
    stage: int
    weights_loss: float
    train_accuracy: float
    alphas_loss: float | None
    valid: Score | None
    entropy: Mapping[str, float]
    skip_share: Mapping[str, float]
    skips: Mapping[str, int]
    kept: Mapping[str, int]
    changes: int
    moved: float
    weights_norm: float
    alphas_norm: float
    eigenvalue: float | None
    learning_rate: float
    seconds: float
    genotype: str = field(repr=False)
    planned: Mapping[str, float] = field(default_factory=dict, repr=False)
    realised: Mapping[str, float] = field(default_factory=dict, repr=False)
    silent: Mapping[str, float] = field(default_factory=dict, repr=False)
    skip_elements: float | None = None
    images_per_second: float = 0.0
    memory_mib: float = 0.0
    replayed: bool = False

    @property
    def accuracy(self) -> float | None:
        """The supernet's on the validation split."""
        return self.valid.accuracy if self.valid else None

    def facts(self) -> dict[str, str]:
        """The few words that a line has room for."""
        facts = {"loss": f"{self.weights_loss:.4f}"}
        if self.accuracy is not None:
            facts["supernet"] = f"{self.accuracy:.4f}"
        facts["skips"] = " ".join(f"{self.skips[kind]}/{count}" for kind, count in self.kept.items())
        facts["entropy"] = " ".join(f"{value:.3f}" for value in self.entropy.values())
        facts["changed"] = str(self.changes)
        if self.eigenvalue is not None:
            facts["eigenvalue"] = f"{self.eigenvalue:.4f}"
        return facts | {"time": f"{self.seconds:.1f} s"}

    def state(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "SearchEpoch":
        """The report that `state` was taken from, marked as replayed."""
        valid = Score(**state["valid"]) if state["valid"] else None
        return cls(**{**state, "valid": valid, "replayed": True})
