"""After the search: the best cell and its baselines, trained the same way on train + valid and scored once on test.

The test split is first touched here. Every finished training is written down at once, so that an interrupted run
goes on where it was.
"""

import math
import random
import statistics
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

from nasdrop.errors import GenotypeError, RunFolderError
from nasdrop.searchers.evaluators import Stopped
from nasdrop.searchers.result import Observer
from nasdrop.searchers.training import Outcome, Training
from nasdrop.searchers.trainings import Trainings
from nasdrop.settings import CellSettings, FinalSettings
from nasdrop.space import PUBLISHED, Genotype
from nasdrop.train import DivergedError, EpochReport

BEST = "best cell"
RESNET = "ResNet of that size"


@dataclass(frozen=True)
class Candidate:
    """What is trained for good, once a seed: a cell, or a residual network of its size, with or without drop path."""

    label: str
    genotype: Genotype
    seeds: tuple[int, ...]
    drop: bool = True
    resnet: bool = False


@dataclass(frozen=True)
class FinalScore:
    """A row of the final table.

    Attributes:
        label: what was trained.
        accuracies: on the test split, in [0, 1], one a training.
        parameters: weights, auxiliary head apart (mean over cells).
        multiply_adds: of one image (mean over cells).
        seconds: wall time of one training (mean).
        images: size of the test split.
        metrics: other measures than accuracy, in [0, 1] (mean over trainings).
    """

    label: str
    accuracies: tuple[float, ...]
    parameters: float
    multiply_adds: float
    seconds: float
    images: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    mean: float = field(init=False)
    spread: float = field(init=False)
    standard_error: float = field(init=False)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "FinalScore":
        """Read a row of a run's `result.json`.

        Raises:
            RunFolderError: it is no such row.
        """
        try:
            given = {key: row[key] for key in ("label", "parameters", "multiply_adds", "seconds", "images")}
            return cls(accuracies=tuple(row["accuracies"]), metrics=row.get("metrics", {}), **given)
        except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
            raise RunFolderError(f"result.json: damaged: no row of the final table: {error!r}") from None

    def __post_init__(self) -> None:
        """Derive mean, sample standard deviation, and the binomial standard error that so many test images allow."""
        mean = statistics.fmean(self.accuracies)
        spread = statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "spread", spread)
        object.__setattr__(self, "standard_error", math.sqrt(mean * (1 - mean) / self.images))


def candidates(training: Training, settings: FinalSettings, best: Genotype) -> Iterator[Candidate]:
    """The best cell first, then the baselines that the experiment asks for; nothing where it asks for no training."""
    if not settings.seeds:
        return
    seed = training.experiment.seed
    seeds = tuple(range(seed, seed + settings.seeds))
    label = label_of(training)
    without = settings.without_drop and training.experiment.drop.p > 0
    yield Candidate(label, best, seeds)
    if without:
        yield Candidate(f"{label}, no drop path", best, seeds, drop=False)
    if settings.resnet:
        yield Candidate(RESNET, best, seeds, resnet=True)
    if settings.resnet and without:
        yield Candidate(f"{RESNET}, no drop path", best, seeds, drop=False, resnet=True)
    if settings.genotype:
        yield Candidate(settings.genotype, Genotype.read(settings.genotype), seeds)
    dice = random.Random(f"{seed} baseline")  # noqa: S311 - a reproducible draw, not a secret
    for number in range(settings.random_cells):
        yield Candidate(f"random cells#{number}", training.space.sample(dice), seeds[:1])


def label_of(training: Training) -> str:
    """What the first row is called: the best cell of a search, or a given cell by its published name."""
    settings = training.experiment.search
    if not isinstance(settings, CellSettings):
        return BEST
    return settings.genotype if settings.genotype in PUBLISHED else "the cell"


def check(training: Training, settings: FinalSettings) -> str | None:
    """Why the published baseline cannot be used in this space, or None; asked before hours are spent.

    Raises:
        GenotypeError: no such genotype can be read.
    """
    if not settings.genotype:
        return None
    genotype = Genotype.read(settings.genotype)
    try:
        training.space.validate(genotype)
    except GenotypeError as error:
        return error.lines[0]
    return None


def jobs(training: Training, wanted: Sequence[Candidate]) -> dict[str, tuple[Candidate, int]]:
    """Every final training, as a candidate and a seed, by the key of its result."""
    return {job_key(training, candidate, seed): (candidate, seed) for candidate in wanted for seed in candidate.seeds}


def train_finals(
    training: Training,
    wanted: Sequence[Candidate],
    store: Trainings,
    *,
    trained: Callable[[Candidate, int, Outcome], None],
    observer: Observer,
    stop: threading.Event,
) -> None:
    """Train all candidates that are neither trained nor being trained by another process.

    Args:
        training: with the data of final trainings.
        wanted: what to train; labels that differ after a `#` only share a row.
        store: results of this and of an interrupted run, and of other processes.
        trained: called with each finished training, before its result is kept.
        observer: is told what happens.
        stop: when set, no training starts and the present one ends after its epoch.

    Raises:
        Stopped: a training was ended.
        DivergedError: a loss is NaN or infinite; what was trained before is kept.
    """
    epochs, todo = training.experiment.train.epochs, jobs(training, wanted)

    def ended(report: EpochReport) -> None:
        observer.epoch_ended(report.epoch + 1, epochs, report.valid.accuracy if report.valid else None)
        if stop.is_set():
            raise Stopped

    for number, (key, (candidate, seed)) in enumerate(todo.items()):
        with store.claimed(number) if training.ranks.leads else nullcontext(enter_result=True) as mine:
            if training.ranks.agree(float(not mine or key in store.known()), training.device):
                continue
            observer.training_started(training_label(candidate, seed), number, len(todo))
            with _named(training_label(candidate, seed)):
                outcome = training.run(
                    candidate.genotype,
                    label=f"final-{key}",
                    pictures=True,
                    epochs=epochs,
                    seed=seed,
                    drop=candidate.drop,
                    resnet=candidate.resnet,
                    test=True,
                    on_epoch=ended,
                )
            if training.ranks.leads:
                trained(candidate, seed, outcome)
                store.add(key, _result(candidate, seed, outcome))
            training.ranks.wait()
        observer.training_ended(outcome.accuracy, outcome.seconds)


@contextmanager
def _named(label: str) -> Iterator[None]:
    """Say of a training that diverges which one it is."""
    try:
        yield
    except DivergedError as error:
        raise DivergedError(*(f"{label}: {line}" for line in error.lines)) from error


def training_label(candidate: Candidate, seed: int) -> str:
    """Names a final training for people."""
    return f"{candidate.label}, seed {seed}"


def _result(candidate: Candidate, seed: int, outcome: Outcome) -> dict[str, Any]:
    return {
        "label": candidate.label,
        "seed": seed,
        "accuracy": outcome.accuracy,
        "loss": outcome.loss,
        "seconds": round(outcome.seconds, 3),
        **asdict(outcome.cost),
        **({"parts": dict(outcome.parts)} if outcome.parts else {}),
        "metrics": dict(outcome.score.metrics),
        **({"valid_accuracy": outcome.valid.accuracy} if outcome.valid else {}),
    }


def job_key(training: Training, candidate: Candidate, seed: int) -> str:
    """Names one final training: the same cell, drop path and seed are trained once."""
    kind = "resnet-" if candidate.resnet else ""
    return f"{training.key(candidate.genotype)}-{kind}{'drop' if candidate.drop else 'nodrop'}-{seed}"


def final_rows(
    training: Training, wanted: Sequence[Candidate], results: Mapping[str, Mapping[str, Any]]
) -> list[FinalScore]:
    """One row for each label, once all is trained."""
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for candidate in wanted:
        label = candidate.label.partition("#")[0]
        rows.setdefault(label, []).extend(results[job_key(training, candidate, seed)] for seed in candidate.seeds)

    def mean(results: list[Mapping[str, Any]], key: str) -> float:
        return statistics.fmean(result[key] for result in results)

    return [
        FinalScore(
            label=label,
            accuracies=tuple(result["accuracy"] for result in row),
            parameters=mean(row, "parameters"),
            multiply_adds=mean(row, "multiply_adds"),
            seconds=mean(row, "seconds"),
            images=len(training.data.test),
            metrics={
                name: statistics.fmean(result["metrics"][name] for result in row)
                for name in row[0].get("metrics", ())
                if name != "accuracy"
            },
        )
        for label, row in rows.items()
    ]
