"""Trials and final trainings in worker processes: this one only watches, tells the observer, and retires the lost."""

import sys
from collections.abc import Sequence
from pathlib import Path

from nasdrop.errors import RunError
from nasdrop.run_folder import RunFolder
from nasdrop.searchers.finals import Candidate, jobs, training_label
from nasdrop.searchers.processes import Processes
from nasdrop.searchers.result import Observer, SearchResult
from nasdrop.searchers.study import StudySearch
from nasdrop.searchers.training import Training
from nasdrop.searchers.trainings import Trainings
from nasdrop.searchers.trials import counted, finished, record
from nasdrop.settings import Experiment
from nasdrop.train import worker_devices


class Relay:
    """Tells a search's observer what workers have done.

    Args:
        search: of the study to watch.
    """

    def __init__(self, search: StudySearch) -> None:
        self.search = search
        self._told = {trial.number for trial in finished(search.trials())}
        self._done = -1

    def look(self) -> None:
        """Tell what is new, and queue the cells of workers that are gone."""
        trials = self.search.trials()
        if self.search.retire_lost(trials):
            trials = self.search.trials()
        for trial in finished(trials):
            if trial.number not in self._told:
                self._told.add(trial.number)
                self.search.observer.trial_ended(record(trial))
        if (done := len(counted(trials))) != self._done:
            self._done = done
            self.search.observer.trial_started(done, self.search.settings.trials)


def search_with(search: StudySearch, commands: Sequence[Sequence[str]], folder: RunFolder) -> SearchResult:
    """Let worker processes run a study's trials until its budget is spent.

    Args:
        search: of the study; its evaluator is not used.
        commands: program and arguments, one command a worker.
        folder: of the run.

    Raises:
        RunError: not one trial ran to its end, or no worker could work.
    """
    if not search.over(search.trials()):
        database = {"NASDROP_STORAGE": folder.database} if folder.database else {}
        workers = Processes(commands, folder.logs, search.observer, database)
        workers.run(Relay(search).look)
        if len(workers.failed) == len(commands):
            raise RunError(*(f"{folder.logs / f'{number}.log'}: {words}" for number, words in workers.failed.items()))
        if not search.over(search.trials()):
            search.observer.note("the workers ended before the budget was spent: the same command continues")
    return search.result()


def finals_with(
    training: Training,
    wanted: Sequence[Candidate],
    store: Trainings,
    commands: Sequence[Sequence[str]],
    logs: Path,
    observer: Observer,
) -> None:
    """Let worker processes do the final trainings that are not done yet.

    Args:
        training: with merged data.
        wanted: what to train.
        store: where the results appear.
        commands: program and arguments, one command a worker.
        logs: folder for what the workers print.
        observer: is told of each training that has ended.
    """
    todo, told = jobs(training, wanted), set(store.known())
    missing = len(todo.keys() - told)
    if missing < 2:
        return

    def look() -> None:
        for key, result in store.known().items():
            if key in todo and key not in told:
                observer.training_started(training_label(*todo[key]), len(told & todo.keys()), len(todo))
                told.add(key)
                observer.training_ended(result["accuracy"], result["seconds"])

    Processes(commands[:missing], logs, observer).run(look)


def worker_commands(folder: Path, experiment: Experiment, *extra: str) -> list[list[str]]:
    """One `nasdrop worker` command for each worker that an experiment asks for.

    Args:
        folder: the run folder.
        experiment: says how many, and on which devices.
        extra: options that all get.

    Raises:
        ConfigError: there is no such device.
    """
    devices = worker_devices(experiment.device, experiment.workers, experiment.threads)
    program = [sys.executable, "-m", "nasdrop", "worker", str(folder), "--supervised"]
    return [
        [*program, "--number", str(number), "--device", str(device), *extra] for number, device in enumerate(devices)
    ]
