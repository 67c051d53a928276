"""GradientSearch: the loop, then the found cell's score; a SearchResult as every search gives it."""

import random
import time
from pathlib import Path

from nasdrop.searchers.gradient.inherited import InheritedScore, best_cells, worth
from nasdrop.searchers.gradient.loop import Loop
from nasdrop.searchers.result import Observer, SearchResult, TrialRecord
from nasdrop.searchers.training import Training
from nasdrop.settings import GradientSettings, OneShotSettings
from nasdrop.space import Genotype
from nasdrop.train.ranks import ALONE, Ranks


class GradientSearch:
    """A search over one supernet.

    Args:
        training: the experiment, its space and its data; also trains the found cell where its validation is wanted.
        settings: of the search.
        checkpoint: the file that it is kept in.
        observer: is told what happens.
        ranks: the processes that share it.

    Raises:
        ConfigError: settings do not fit each other.
        DataError: there are too few images.
    """

    def __init__(
        self,
        training: Training,
        settings: GradientSettings,
        *,
        checkpoint: Path,
        observer: Observer,
        ranks: Ranks = ALONE,
    ) -> None:
        self.training, self.settings, self.observer, self.ranks = training, settings, observer, ranks
        self.loop = Loop(training, settings, checkpoint=checkpoint, observer=observer, ranks=ranks)

    def run(self) -> SearchResult:
        """Search, and score what was found.

        Raises:
            DivergedError: a loss is NaN or infinite.
            RunFolderError: the checkpoint is damaged or belongs to another search.
        """
        started = time.monotonic()
        genotype = self.loop.run()
        if isinstance(self.settings, OneShotSettings):
            return self._score_many(self.settings)
        seconds = time.monotonic() - started
        value, note = self._value(genotype)
        parameters = self.training.discrete().cost(genotype).parameters
        record = TrialRecord(0, "done", genotype, value, len(self.loop.history), parameters, seconds, note)
        return SearchResult(genotype, value, (record,), note=note)

    def _value(self, genotype: Genotype) -> tuple[float, str]:
        """Validation accuracy of the found cell, trained from scratch; else that of its supernet."""
        epochs = self.settings.validation_epochs
        if not epochs or not self.ranks.leads:
            last = self.loop.history[-1].accuracy
            return last or 0.0, "of the supernet, not of this cell"
        seed = self.training.experiment.seed
        self.observer.training_started(f"found cell, on the training split, seed {seed}", 0, 1)
        outcome = self.training.discrete().run(
            genotype,
            label=f"validation-{self.training.key(genotype)}",
            epochs=epochs,
            seed=seed,
            on_epoch=lambda report: self.observer.epoch_ended(
                report.epoch + 1, epochs, report.valid.accuracy if report.valid else None
            ),
        )
        self.observer.training_ended(outcome.accuracy, outcome.seconds)
        return outcome.accuracy, ""

    def _score_many(self, settings: OneShotSettings) -> SearchResult:
        """The best of many cells by inherited weights."""
        experiment = self.training.experiment
        score = InheritedScore(
            self.loop.part.supernet,
            self.training.data,
            settings,
            seed=experiment.seed,
            batches=settings.statistics_batches,
            images=settings.score_images,
        )
        total = settings.cells + settings.generations * settings.population
        records: list[TrialRecord] = []

        def scored(genotype: Genotype, value: float) -> None:
            records.append(TrialRecord(len(records), "done", genotype, value, note="inherited weights"))
            self.observer.epoch_ended(len(records), total, value)

        ranked = best_cells(
            lambda genotype: worth(score(genotype), settings, experiment.train.metric),
            self.training.space,
            random.Random(f"{experiment.seed} one-shot"),  # noqa: S311 - a reproducible draw, not a secret
            cells=settings.cells,
            generations=settings.generations,
            population=settings.population,
            scored=scored,
        )
        return SearchResult(ranked[0][0], ranked[0][1], tuple(records), note="inherited weights")
