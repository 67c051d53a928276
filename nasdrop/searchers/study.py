"""The Optuna driver: ask for a cell, evaluate it, tell its value; pruned where it lags, resumable at any moment.

Cells that are equal in canonical form are trained once. A trial whose process died is asked again with the same cell
and replaces the dead one, so nothing is lost and nothing counts twice.
"""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.trial import FrozenTrial, Trial, TrialState

from nasdrop.errors import RunError
from nasdrop.files import digest
from nasdrop.searchers.evaluators import Evaluator, Failed, Pruned
from nasdrop.searchers.journal import open_journal, repair
from nasdrop.searchers.result import Observer, Outcome, SearchResult, TrialRecord
from nasdrop.searchers.samplers import SAMPLERS, distributions, unknown_cell
from nasdrop.settings import StudySettings
from nasdrop.space import Genotype, SearchSpace

_DUPLICATES_IN_A_ROW = 20  # after so many known cells in a row chance proposes an unknown one


class StudySearch:
    """A study over the discrete cells of one space.

    Args:
        space: what cells there are.
        settings: sampler, pruner, budget.
        evaluator: gives a cell its value.
        journal: the study's file; made if missing, continued if not.
        name: the study's name.
        seed: of the sampler.
        observer: is told what happens.
    """

    def __init__(
        self,
        space: SearchSpace,
        settings: StudySettings,
        evaluator: Evaluator,
        *,
        journal: Path,
        name: str,
        seed: int,
        observer: Observer,
    ) -> None:
        self.space, self.settings, self.evaluator, self.observer = space, settings, evaluator, observer
        if line := repair(journal):
            observer.note(line)
        journal.parent.mkdir(parents=True, exist_ok=True)
        storage = open_journal(journal)
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # the observer tells what happens
        known = name in optuna.get_all_study_names(storage)
        if not known:  # creating with load_if_exists would write to the journal even when nothing is left to do
            optuna.create_study(storage=storage, study_name=name, direction="maximize")
        self.study = optuna.load_study(storage=storage, study_name=name, pruner=_pruner(settings))
        # Re-seeding with the old seed would propose the old cells again: the number of past trials is a part of it.
        past = len(self.study.get_trials(deepcopy=False))
        seed = int(digest(f"{seed} {past}")[:8], 16)
        self.study.sampler = SAMPLERS[settings.sampler](space, settings.startup_trials, seed)
        self._distributions = distributions(space)
        self._rng = random.Random(seed)  # noqa: S311 - reproducible draws, not secrets

    def run(self) -> SearchResult:
        """Search until the budget is spent.

        Raises:
            RunError: not one trial ran to its end.
        """
        self._requeue_interrupted()
        deadline = time.monotonic() + 60 * self.settings.timeout_minutes if self.settings.timeout_minutes else None
        duplicates = 0
        while self.counted() < self.settings.trials:
            if deadline is not None and time.monotonic() > deadline:
                self.observer.note(f"the time limit of {self.settings.timeout_minutes:g} minutes is reached")
                break
            if duplicates >= _DUPLICATES_IN_A_ROW and not self._queue_unknown():
                self.observer.note(f"{duplicates} proposals in a row were known cells: the space counts as exhausted")
                break
            record = self._run_trial()
            duplicates = duplicates + 1 if record.outcome == "duplicate" else 0
        return self.result()

    def result(self) -> SearchResult:
        """The best cell so far.

        Raises:
            RunError: not one trial ran to its end.
        """
        history = tuple(self.history())
        result = SearchResult(history[0].genotype, 0.0, history) if history else None
        best = result.best(1) if result else []
        if not best:
            reasons = {record.note for record in history if record.note}
            raise RunError(f"no trial ran to its end: {'; '.join(sorted(reasons)) or 'none was started'}")
        return SearchResult(best[0].genotype, best[0].value or 0.0, history)

    def counted(self) -> int:
        """Trials that count towards the budget: finished, neither replaced by a retry nor a duplicate."""
        return sum("duplicate_of" not in trial.user_attrs for trial in self._finished())

    def history(self) -> Iterator[TrialRecord]:
        """Every finished trial, in order, interrupted ones left out."""
        return (_record(trial) for trial in self._finished())

    def _finished(self) -> Iterator[FrozenTrial]:
        trials = self.study.get_trials(deepcopy=False)
        replaced = _replaced(trials)
        for trial in trials:
            if trial.state.is_finished() and trial.number not in replaced and "genotype" in trial.user_attrs:
                yield trial

    def _queue_unknown(self) -> bool:
        """Ask for a random cell next that no trial holds; false where none is found."""
        known = {trial.user_attrs.get("canonical") for trial in self.study.get_trials(deepcopy=False)}
        genotype = unknown_cell(self.space, lambda form: digest(form) in known, self._rng)
        if genotype is not None:
            self.study.enqueue_trial(self.space.encode(genotype))
        return genotype is not None

    def _run_trial(self) -> TrialRecord:
        trial = self.study.ask(self._distributions)
        genotype = self.space.decode(trial.params)
        canonical = digest(self.space.canonical(genotype))
        trial.set_user_attr("genotype", genotype.to_json())
        trial.set_user_attr("canonical", canonical)
        self.observer.trial_started(self.counted(), self.settings.trials)
        known = self._known(canonical, trial.number)
        record = self._repeat(trial, known) if known else self._evaluate(trial, genotype)
        self.observer.trial_ended(record)
        return record

    def _evaluate(self, trial: Trial, genotype: Genotype) -> TrialRecord:
        started = time.monotonic()

        def report(epoch: int, accuracy: float) -> None:
            trial.report(accuracy, epoch)
            self.observer.epoch_ended(epoch, self.settings.epochs, accuracy)
            if epoch < self.settings.epochs and trial.should_prune():  # what was trained to its end counts
                raise Pruned

        state, value = TrialState.COMPLETE, None
        try:
            evaluation = self.evaluator(genotype, report)
            value = evaluation.value
            for key, attribute in evaluation.attributes.items():
                trial.set_user_attr(key, attribute)
        except Pruned:
            state = TrialState.PRUNED
            trial.set_user_attr("parameters", self.evaluator.parameters(genotype))
        except Failed as error:
            state = TrialState.FAIL
            trial.set_user_attr("note", str(error))
        trial.set_user_attr("seconds", round(time.monotonic() - started, 3))
        return _record(self.study.tell(trial, value, state=state))

    def _known(self, canonical: str, number: int) -> FrozenTrial | None:
        for past in self.study.get_trials(deepcopy=False):
            same = past.user_attrs.get("canonical") == canonical and past.number != number
            if same and past.state in (TrialState.COMPLETE, TrialState.PRUNED):
                return past
        return None

    def _repeat(self, trial: Trial, known: FrozenTrial) -> TrialRecord:
        """Give the trial the value that the same cell has had, without training it."""
        original = known.user_attrs.get("duplicate_of", known.number)
        trial.set_user_attr("duplicate_of", original)
        trial.set_user_attr("parameters", known.user_attrs.get("parameters", 0))
        for epoch, accuracy in known.intermediate_values.items():
            trial.report(accuracy, epoch)
        value = known.value if known.state is TrialState.COMPLETE else None
        return _record(self.study.tell(trial, value, state=known.state))

    def _requeue_interrupted(self) -> None:
        """Queue the cells of trials whose process died; queueing comes first, so that a kill in between loses none."""
        trials = self.study.get_trials(deepcopy=False)
        queued = _replaced(trials)
        for trial in trials:
            if trial.state is not TrialState.RUNNING:
                continue
            if trial.number not in queued and len(trial.params) == len(self._distributions):
                self.study.enqueue_trial(trial.params, user_attrs={"retry_of": trial.number})
                self.observer.note(f"trial {trial.number} was interrupted; its cell goes first")
            self.study.tell(trial.number, state=TrialState.FAIL)


def _replaced(trials: list[FrozenTrial]) -> set[int]:
    return {trial.user_attrs["retry_of"] for trial in trials if "retry_of" in trial.user_attrs}


def _record(trial: FrozenTrial) -> TrialRecord:
    attributes = trial.user_attrs
    outcomes: dict[TrialState, Outcome] = {TrialState.COMPLETE: "done", TrialState.PRUNED: "pruned"}
    outcome = outcomes.get(trial.state, "failed")
    note = str(attributes.get("note", ""))
    if "duplicate_of" in attributes:
        outcome, note = "duplicate", f"same cell as trial {attributes['duplicate_of']}"
    return TrialRecord(
        number=trial.number,
        outcome=outcome,
        genotype=Genotype.from_json(attributes["genotype"]),
        value=trial.value if trial.state is TrialState.COMPLETE else _last(trial),
        epochs=max(trial.intermediate_values, default=0),
        parameters=int(attributes.get("parameters", 0)),
        seconds=float(attributes.get("seconds", 0.0)),
        note=note,
    )


def _last(trial: FrozenTrial) -> float | None:
    values = trial.intermediate_values
    return values[max(values)] if values else None


def _pruner(settings: StudySettings) -> BasePruner:
    first, factor = min(settings.min_epochs, settings.epochs), settings.reduction_factor
    if settings.pruner == "median":
        return MedianPruner(n_warmup_steps=first - 1)
    if settings.pruner == "successive_halving":
        return SuccessiveHalvingPruner(min_resource=first, reduction_factor=factor)
    if settings.pruner == "hyperband":
        return HyperbandPruner(min_resource=first, max_resource=settings.epochs, reduction_factor=factor)
    return NopPruner()
