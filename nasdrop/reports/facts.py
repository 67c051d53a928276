"""What a run folder tells, read as far as it goes: a run may be under way, interrupted, or of any kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nasdrop.errors import NasdropError
from nasdrop.run_folder import RunFolder
from nasdrop.searchers.finals import FinalScore
from nasdrop.searchers.result import SearchResult
from nasdrop.searchers.storage import find_study, place_of
from nasdrop.searchers.study_events import importance
from nasdrop.searchers.trials import finished, record
from nasdrop.settings import Experiment, GradientSettings, StudySettings
from nasdrop.space import Genotype
from nasdrop.train import read_metrics

Records = list[dict[str, Any]]


@dataclass(frozen=True)
class RunFacts:
    """A run, read when asked.

    Args:
        folder: of the run.
    """

    folder: RunFolder

    @property
    def name(self) -> str:
        """The folder's own."""
        return self.folder.path.resolve().name

    @cached_property
    def experiment(self) -> Experiment:
        """What was asked for."""
        return self.folder.read_experiment()

    @cached_property
    def result(self) -> Mapping[str, Any]:
        """What the run ended with; empty while it has not."""
        found = self.folder.read_json(self.folder.result) if self.folder.result.exists() else {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def genotype(self) -> Genotype | None:
        """The best cell; None while there is none."""
        return Genotype.read(self.folder.genotype) if self.folder.genotype.exists() else None

    @cached_property
    def scores(self) -> list[FinalScore]:
        """Test scores: of the best cell, then of the baselines."""
        return [FinalScore.from_json(row) for row in self.result.get("test", ())]

    @cached_property
    def trainings(self) -> Mapping[str, Records]:
        """What was recorded of each training, epoch by epoch, by its label."""
        found: dict[str, Records] = {}
        for line in read_metrics(self.folder.metrics) if self.folder.metrics.exists() else ():
            found.setdefault(line["run"], []).append(line)
        return {label: sorted(lines, key=lambda line: int(line["step"])) for label, lines in found.items()}

    @cached_property
    def main(self) -> str:
        """The training whose drop path is looked at: of the best cell, for good; else a trial, else a search."""
        finals = self.result.get("trainings", {})
        best = self.scores[0].label if self.scores else ""
        wanted = [f"final-{key}" for key, one in finals.items() if one.get("label") == best]
        candidates = [*sorted(wanted), *sorted(self.trainings, key=_rank)]
        return next((label for label in candidates if label in self.trainings), "")

    @cached_property
    def study(self) -> tuple[SearchResult | None, Mapping[str, float], str]:
        """The trials of a study, how much each decision matters, and why there are none."""
        if not isinstance(self.experiment.search, StudySettings):
            return None, {}, ""
        try:
            study = find_study(*place_of(self.folder, self.experiment))
            records = tuple(record(trial) for trial in finished(study.get_trials(deepcopy=False)))
        except (NasdropError, OSError) as error:
            return None, {}, str(error)
        if not records:
            return None, {}, "no trial has ended yet"
        return SearchResult(records[0].genotype, 0.0, records), importance(study), ""

    @property
    def costs(self) -> Sequence[str]:
        """Names of what a study minimises beside the value."""
        return getattr(self.experiment.search, "costs", ())

    @property
    def method(self) -> str:
        """How cells were found, in a few words."""
        search = self.experiment.search
        if isinstance(search, StudySettings):
            how = "" if search.evaluator == "training" else f", values by {search.evaluator}"
            return f"study of {search.trials} trials, {search.sampler}{how}"
        if isinstance(search, GradientSettings):
            return f"{search.strategy}, {search.epochs} epochs"
        return "a given cell, trained"

    @property
    def drop(self) -> str:
        """Drop path of the search, in a few words."""
        drop = self.experiment.drop
        own = dict(self.genotype.options).get("p") if self.genotype else None
        words = f"{drop.policy}, {drop.schedule} to p = {drop.p:g}"
        return words if own is None else f"{words}; the best cell has its own p = {own}"

    def told(self, label: str) -> str:
        """A training's label in words."""
        training = self.result.get("trainings", {}).get(label.removeprefix("final-"))
        return f"{training['label']}, seed {training['seed']}" if training else label


def _rank(label: str) -> tuple[int, str]:
    """Trainings for good first, then trials, then the rest."""
    return next((i for i, kind in enumerate(("final-", "trial-")) if label.startswith(kind)), 2), label
