"""A cell's value by the weights of a supernet that is trained once, for all cells of a study and all its workers.

The supernet is the one-shot strategy's: a uniformly sampled cell a step, under the experiment's drop path (SPOS,
arXiv:1904.00420). It is kept in the run folder. Who comes first trains it, the others wait; a kill at any moment costs
what lies behind its last checkpoint.
"""

import fcntl
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nasdrop.models.supernet import SuperNet
from nasdrop.searchers.costs import NetworkCosts
from nasdrop.searchers.evaluators import Evaluation, Failed, Report, Stopped, failing_alone
from nasdrop.searchers.gradient.inherited import InheritedScore, worth
from nasdrop.searchers.gradient.loop import Loop
from nasdrop.searchers.result import Observer
from nasdrop.searchers.training import Training
from nasdrop.settings import InheritedSettings, OneShotSettings
from nasdrop.space import Genotype

CHECKPOINT = "supernet.pt"
_POLL = 0.2  # seconds between two attempts to be the one who trains


class InheritedEvaluator:
    """Score a cell with the weights that it inherits; nothing is trained, and nothing is reported on the way.

    Args:
        training: the data to score on; says how large the network is that a cell will be trained in.
        supernet: trained.
        settings: what a cell is scored on.
        latency_batch: images at once where latency is measured.
    """

    known_costs = NetworkCosts.names

    def __init__(
        self, training: Training, supernet: SuperNet, settings: InheritedSettings, latency_batch: int = 1
    ) -> None:
        self._costs = NetworkCosts(training.discrete(), latency_batch)
        self._own = bool(training.space.own_operations)
        self._settings, self._metric = settings, training.experiment.train.metric
        self.score = InheritedScore(
            supernet,
            training.data,
            settings,
            seed=training.experiment.seed,
            batches=settings.statistics_batches,
            images=settings.score_images,
        )

    def __call__(self, genotype: Genotype, report: Report) -> Evaluation:
        """Score; see Evaluator."""
        with failing_alone(own=self._own):
            score = self.score(genotype)
        if not math.isfinite(score.loss):
            raise Failed(f"its loss must be finite, got {score.loss}")
        return Evaluation(worth(score, self._settings, self._metric), {"loss": score.loss, "accuracy": score.accuracy})

    def cost(self, genotype: Genotype, name: str) -> float:
        """Of the network that the cell will be trained in; see NetworkCosts."""
        with failing_alone(own=self._own):
            return self._costs(genotype, name)


def trained_supernet(
    training: Training,
    settings: InheritedSettings,
    observer: Observer,
    stop: threading.Event | None = None,
) -> SuperNet:
    """The supernet of a study: read where it is trained, else trained here, or waited for.

    Args:
        training: the experiment, its space, its data, and the folder of checkpoints.
        settings: its size and its training.
        observer: is told of each epoch.
        stop: when set, waiting ends at once and training after its epoch.

    Raises:
        Stopped: it was not ready when `stop` was set.
        DivergedError: a loss is NaN or infinite.
        RunFolderError: the checkpoint is damaged or belongs to another supernet.
    """
    search = OneShotSettings(kind="gradient", strategy="one_shot", **settings.model_dump())
    path, stop = training.checkpoints / CHECKPOINT, stop or threading.Event()
    with _alone(path.with_name(f".{path.name}.lock"), observer, stop):
        loop = Loop(training, search, checkpoint=path, observer=observer, stop=stop)
        loop.run()
    loss, chance = loop.history[-1].weights_loss, math.log(training.data.num_classes)
    if loss >= chance:
        observer.note(
            f"the supernet has learned nothing (training loss {loss:.2f}, of a guess {chance:.2f}), so scores mean "
            "nothing: more search.supernet.epochs, or a space of fewer candidates"
        )
    return loop.part.supernet


@contextmanager
def _alone(lock: Path, observer: Observer, stop: threading.Event) -> Iterator[None]:
    """Wait for one's turn; the kernel gives it back when a process ends, however it ends."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    waited = False
    with lock.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if not waited:
                    observer.note("another process trains the supernet; waiting for it")
                waited = True
            if stop.wait(_POLL):
                raise Stopped
        yield
