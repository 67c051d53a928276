"""The Optuna driver: ask for a cell, evaluate it, tell its value; pruned where it lags, resumable at any moment.

Any number of processes may drive one study. Cells that are equal in canonical form are trained once, also when two
workers draw one at the same time. A trial whose worker is gone is asked again with the same cell and replaces the lost
one, so nothing is lost and nothing counts twice.
"""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from nasdrop.beside import Chosen, candidate_digest
from nasdrop.errors import ConfigError, RunError
from nasdrop.files import digest
from nasdrop.searchers.attempt import Attempt, OverLimit, early_costs
from nasdrop.searchers.budget import Budget
from nasdrop.searchers.evaluators import Adjustable, Evaluator, Failed, Pruned, Stopped
from nasdrop.searchers.goals import check_goals
from nasdrop.searchers.pruning import make_pruner
from nasdrop.searchers.result import Observer, SearchResult, TrialRecord
from nasdrop.searchers.roster import Roster
from nasdrop.searchers.samplers import SAMPLERS, VALUES_WHEN_PRUNED, distributions, unknown_cell
from nasdrop.searchers.suggestions import Suggestions
from nasdrop.searchers.trials import REPORTS, ahead, counted, finished, holder, record, retire_lost, running
from nasdrop.settings import StudySettings
from nasdrop.space import Genotype, SearchSpace

_DUPLICATES_IN_A_ROW = 20  # after so many known cells in a row chance proposes an unknown one
_TURNED_AWAY_IN_A_ROW = 500  # after so many cells over a limit in a row there is little hope
_MOST_DEATHS = 3  # a cell that outlives so many workers counts as what kills them
_PATIENCE = 30.0  # seconds until a process that has neither settled nor been found gone is no longer waited for
_DRAWS = 100  # of settings beside the cell, for which an unknown cell is looked for
_POLL = 0.1  # seconds between two looks at what other workers do


class StudySearch:
    """A study over the discrete cells of one space.

    Args:
        space: what cells there are.
        settings: sampler, pruner, budget.
        evaluator: gives a cell its value.
        study: Optuna's, new or to be continued.
        seed: of the sampler.
        observer: is told what happens.
        label: tells this worker's proposals from those of other workers that start at the same moment.
        device: where the evaluator computes, for whoever asks who works.
        stop: when set, no trial starts and the present one ends after its epoch.
    """

    def __init__(
        self,
        space: SearchSpace,
        settings: StudySettings,
        evaluator: Evaluator,
        *,
        study: optuna.Study,
        seed: int,
        observer: Observer,
        label: str = "",
        device: str = "",
        stop: threading.Event | None = None,
    ) -> None:
        check_goals(settings, evaluator.known_costs)
        self.space, self.settings, self.evaluator, self.observer = space, settings, evaluator, observer
        self.study = study
        self.study.pruner = make_pruner(settings)
        # Re-seeding with the old seed would propose the old cells again: the number of past trials is a part of it.
        seed = int(digest(f"{seed} {len(self.trials())}{label}")[:8], 16)
        self.study.sampler = SAMPLERS[settings.sampler](space, settings.startup_trials, seed)
        self._distributions = distributions(space)
        self._beside = Suggestions(settings.beside)
        self._rng = random.Random(seed)  # noqa: S311 - reproducible draws, not secrets
        self.device, self.stop = device, stop or threading.Event()
        self.roster = Roster(self.study, interval=settings.heartbeat_seconds, grace=settings.grace_seconds)
        self.budget = Budget(settings)

    def run(self) -> SearchResult:
        """Search until the budget is spent.

        Raises:
            RunError: not one trial ran to its end.
        """
        self.work()
        return self.result()

    def work(self) -> None:
        """Run trials until the budget is spent, as one of any number of workers."""
        duplicates, turned_away, worker = 0, 0, ""
        with ExitStack() as stack:
            while not self.over(trials := self.trials()) and not self.stop.is_set():
                if duplicates >= _DUPLICATES_IN_A_ROW and not self._queue_unknown():
                    self.observer.note(
                        f"{duplicates} proposals in a row were known cells: the space counts as exhausted"
                    )
                    break
                if turned_away >= _TURNED_AWAY_IN_A_ROW:
                    self.observer.note(f"{turned_away} cells in a row were over search.limits: no more are tried")
                    break
                worker = worker or stack.enter_context(self.roster.joined(self.device)).name
                if self.retire_lost(trials):
                    continue
                done = len(counted(trials))
                if done + len(running(trials)) >= self.settings.trials:  # all that may yet count is under way
                    self.stop.wait(_POLL)
                    continue
                self.observer.trial_started(done, self.settings.trials)
                told = self._run_trial(worker)
                outcome = told.outcome if told else ""
                duplicates = duplicates + 1 if outcome == "duplicate" else 0
                if outcome != "duplicate":
                    turned_away = turned_away + 1 if outcome == "over_limit" else 0

    def over(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether the budget is spent; tells why, unless all trials are done."""
        reason = self.budget.spent(trials, lambda: self.roster.workers().values())
        if reason and len(counted(trials)) < self.settings.trials:
            self.observer.note(reason)
        return reason is not None

    def result(self) -> SearchResult:
        """The best cell so far.

        Raises:
            RunError: not one trial ran to its end.
        """
        history = tuple(self.history())
        result = SearchResult(history[0].genotype, 0.0, history) if history else None
        best = result.best(1) if result else []
        if not best:
            reasons = {record.note for record in history if record.outcome == "failed"}
            if over := sum(record.outcome == "over_limit" for record in history):
                reasons.add(f"{over} cells were over search.limits")
            raise RunError(f"no trial ran to its end: {'; '.join(sorted(reasons)) or 'none was started'}")
        return SearchResult(best[0].genotype, best[0].value or 0.0, history, chosen=best[0].chosen)

    def trials(self) -> list[FrozenTrial]:
        """Every trial, as the storage has them now."""
        return self.study.get_trials(deepcopy=False)

    def history(self) -> Iterator[TrialRecord]:
        """Every finished trial, in order, interrupted ones left out."""
        return (record(trial) for trial in finished(self.trials()))

    def retire_lost(self, trials: Sequence[FrozenTrial]) -> list[int]:
        """Queue the cells of trials whose worker is gone; their numbers."""
        lost = retire_lost(self.study, trials, self.roster, patience=_PATIENCE)
        for number in lost:
            self.observer.note(f"trial {number} was interrupted; its cell, if it had one, goes first")
        return lost

    def _queue_unknown(self) -> bool:
        """Ask for a random cell next that no trial holds with these settings; false where none is found."""
        known = {trial.user_attrs.get("canonical") for trial in self.trials()}
        for _ in range(_DRAWS if self.settings.beside else 1):
            chosen = self._beside.draw(self._rng)
            genotype = unknown_cell(self.space, lambda form: candidate_digest(form, chosen) in known, self._rng)  # noqa: B023
            if genotype is not None:
                self.study.enqueue_trial({**self.space.encode(genotype), **chosen})
                return True
        return False

    def _run_trial(self, worker: str) -> TrialRecord | None:
        """Ask, and evaluate what is new; None if nothing came of it that counts."""
        trial = self.study.ask(self._distributions)
        genotype = self.space.decode({name: trial.params[name] for name in self._distributions})
        try:
            trial.set_user_attr("worker", worker)
            if chosen := self._beside.suggest(trial):
                trial.set_user_attr("chosen", chosen)
            canonical = candidate_digest(self.space.canonical(genotype), chosen)
            trial.set_user_attr("canonical", canonical)
            told = self._settle(trial, genotype, canonical)
        except Stopped:
            return None  # left running: what is running without a worker is asked again
        except UpdateFinishedTrialError:
            self.observer.note(f"trial {trial.number} went to another worker while this one was out of reach")
            return None
        if told:
            self.observer.trial_ended(told)
        return told

    def _settle(self, trial: Trial, genotype: Genotype, canonical: str) -> TrialRecord | None:
        """Decide whose the cell is, and evaluate it if it is this trial's."""
        deadline = time.monotonic() + _PATIENCE
        other, contested = holder(trials := self.trials(), trial.number, canonical)
        while contested and time.monotonic() < deadline:
            time.sleep(_POLL / 10)
            other, contested = holder(trials := self.trials(), trial.number, canonical)
        if other:
            return self._repeat(trial, genotype, other)
        if len(counted(trials)) + len(ahead(trials, trial.number)) >= self.settings.trials:  # two saw the last vacancy
            self.study.tell(trial, state=TrialState.FAIL)
            return None
        trial.set_user_attr("genotype", genotype.to_json())
        return self._evaluate(trial, genotype)

    def _evaluate(self, trial: Trial, genotype: Genotype) -> TrialRecord:
        started, state, values = time.monotonic(), TrialState.COMPLETE, None
        evaluator = self._evaluator(trial.user_attrs.get("chosen", {}))
        attempt = Attempt(trial, self.settings, evaluator, self.observer, self.stop)
        try:
            if trial.user_attrs.get("deaths", 0) >= _MOST_DEATHS:
                raise Failed(f"its worker was killed {_MOST_DEATHS} times")
            attempt.tell_early_costs(genotype)
            values = attempt.values(evaluator(genotype, attempt.report))
        except OverLimit as error:
            state = TrialState.PRUNED
            trial.set_user_attr("note", str(error))
        except Pruned:
            state = TrialState.PRUNED
        except Failed as error:
            state = TrialState.FAIL
            trial.set_user_attr("note", str(error))
        trial.set_user_attr("seconds", round(time.monotonic() - started, 3))
        return record(self.study.tell(trial, values, state=state))

    def _evaluator(self, chosen: Chosen) -> Evaluator:
        if not chosen:
            return self.evaluator
        if not isinstance(self.evaluator, Adjustable):
            raise ConfigError(f"search.beside: this evaluator takes no settings, got {', '.join(chosen)}")
        return self.evaluator.under(chosen)

    def _repeat(self, trial: Trial, genotype: Genotype, known: FrozenTrial) -> TrialRecord:
        """Give the trial the value that the same cell has had, without training it; none while that is under way."""
        trial.set_user_attr("duplicate_of", known.user_attrs.get("duplicate_of", known.number))
        trial.set_user_attr("genotype", genotype.to_json())
        for name in (*early_costs(self.settings, self.evaluator), REPORTS, VALUES_WHEN_PRUNED):
            if name in known.user_attrs:
                trial.set_user_attr(name, known.user_attrs[name])
        for name, excess in known.constraints.items():
            trial.set_constraint(name, excess)
        if known.state not in (TrialState.COMPLETE, TrialState.PRUNED):
            return record(self.study.tell(trial, state=TrialState.FAIL))
        for epoch, accuracy in known.intermediate_values.items():
            trial.report(accuracy, epoch)
        values = known.values if known.state is TrialState.COMPLETE else None
        return record(self.study.tell(trial, values, state=known.state))
