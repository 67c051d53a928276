"""After the search: the best cell and its baselines, trained the same way on train + valid and scored once on test.

The test split is first touched here. Every finished training is written down at once, so that an interrupted run
goes on where it was.
"""

import math
import random
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from nasdrop.errors import GenotypeError
from nasdrop.searchers.result import Observer
from nasdrop.searchers.training import Outcome, Training
from nasdrop.settings import FinalSettings
from nasdrop.space import Genotype

BEST = "best cell"


@dataclass(frozen=True)
class Candidate:
    """What is trained for good: a cell, with or without drop path, once a seed."""

    label: str
    genotype: Genotype
    seeds: tuple[int, ...]
    drop: bool = True


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
    """

    label: str
    accuracies: tuple[float, ...]
    parameters: float
    multiply_adds: float
    seconds: float
    images: int
    mean: float = field(init=False)
    spread: float = field(init=False)
    standard_error: float = field(init=False)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "FinalScore":
        """Read a row of a run's `result.json`."""
        given = {key: row[key] for key in ("label", "parameters", "multiply_adds", "seconds", "images")}
        return cls(accuracies=tuple(row["accuracies"]), **given)

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
    yield Candidate(BEST, best, seeds)
    if settings.without_drop and training.experiment.drop.p > 0:
        yield Candidate(f"{BEST}, no drop path", best, seeds, drop=False)
    if settings.genotype:
        yield Candidate(settings.genotype, Genotype.read(settings.genotype), seeds)
    dice = random.Random(f"{seed} baseline")  # noqa: S311 - a reproducible draw, not a secret
    for number in range(settings.random_cells):
        yield Candidate(f"random cells#{number}", training.space.sample(dice), seeds[:1])


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


def train_finals(
    training: Training,
    wanted: list[Candidate],
    *,
    known: Mapping[str, Mapping[str, Any]],
    keep: Callable[[str, Mapping[str, Any]], None],
    trained: Callable[[Candidate, int, Outcome], None],
    observer: Observer,
) -> list[FinalScore]:
    """Train all candidates that are not known yet; one row for each label.

    Args:
        training: with merged data, so that it scores on test.
        wanted: what to train; labels that differ after a `#` only share a row.
        known: results of an interrupted run, by key.
        keep: called with key and result of each training.
        trained: called with each finished training, before `keep`.
        observer: is told what happens.
    """
    epochs = training.experiment.train.epochs
    results = dict(known)
    jobs = [(candidate, seed) for candidate in wanted for seed in candidate.seeds]
    for number, (candidate, seed) in enumerate(jobs):
        key = job_key(training, candidate, seed)
        if key in results:
            continue
        observer.training_started(f"{candidate.label}, seed {seed}", number, len(jobs))
        outcome = training.run(
            candidate.genotype,
            label=f"final-{key}",
            epochs=epochs,
            seed=seed,
            drop=candidate.drop,
            on_epoch=lambda report: observer.epoch_ended(report.epoch + 1, epochs, None),
        )
        results[key] = {
            "label": candidate.label,
            "seed": seed,
            "accuracy": outcome.accuracy,
            "loss": outcome.loss,
            "seconds": round(outcome.seconds, 3),
            **asdict(outcome.cost),
            **({"parts": dict(outcome.parts)} if outcome.parts else {}),
        }
        trained(candidate, seed, outcome)
        keep(key, results[key])
        observer.training_ended(outcome.accuracy, outcome.seconds)
    return _rows(training, wanted, results)


def job_key(training: Training, candidate: Candidate, seed: int) -> str:
    """Names one final training: the same cell, drop path and seed are trained once."""
    return f"{training.key(candidate.genotype)}-{'drop' if candidate.drop else 'nodrop'}-{seed}"


def _rows(training: Training, wanted: list[Candidate], results: Mapping[str, Mapping[str, Any]]) -> list[FinalScore]:
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
        )
        for label, row in rows.items()
    ]
