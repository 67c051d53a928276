"""One worker: runs trials of a study, or final trainings, that any number of other processes work on too."""

import threading
from contextlib import suppress

import torch

from nasdrop.beside import chosen_in
from nasdrop.errors import ConfigError
from nasdrop.retrain import final_training, train_candidates, without_published
from nasdrop.run_folder import RunFolder
from nasdrop.searchers.evaluators import Evaluator, Stopped, TableEvaluator
from nasdrop.searchers.finals import candidates, check
from nasdrop.searchers.result import Observer
from nasdrop.searchers.storage import find_study, place_of
from nasdrop.searchers.study import StudySearch
from nasdrop.searchers.table import Table
from nasdrop.searchers.trainings import Trainings
from nasdrop.searching import evaluator_of, make_training
from nasdrop.settings import Experiment, StudySettings
from nasdrop.space import Genotype, SearchSpace
from nasdrop.train import choose_device, load, set_threads
from nasdrop.trained import run_space


def work(
    folder: RunFolder,
    observer: Observer,
    *,
    device: str = "",
    threads: int = 0,
    label: str = "",
    stop: threading.Event | None = None,
) -> None:
    """Run trials of a run's study until its budget is spent.

    Args:
        folder: the run folder, claimed by a search; on a file system that all workers share, or on this host.
        observer: is told what happens.
        device: where to train; empty: as the experiment says.
        threads: CPU threads; 0: as the experiment says, and one where it leaves that open.
        label: tells this worker's proposals from those of workers that start at the same moment.
        stop: when set, the worker ends after its epoch.

    Raises:
        InputError: this is no run folder, or its data are not here.
    """
    experiment = folder.read_experiment()
    settings = experiment.search
    if not isinstance(settings, StudySettings):
        raise ConfigError(f"{folder.path}: only a study has trials for workers, got search kind {settings.kind!r}")
    space = run_space(folder)
    set_threads(threads or experiment.threads or 1)
    where = choose_device(device or experiment.device)
    with suppress(Stopped):
        StudySearch(
            space,
            settings,
            _evaluator(experiment, settings, space, folder, where, observer, stop),
            study=find_study(*place_of(folder, experiment)),
            seed=experiment.seed,
            observer=observer,
            label=label,
            device=str(where),
            stop=stop,
        ).work()


def work_on_finals(
    folder: RunFolder, observer: Observer, *, device: str = "", threads: int = 0, stop: threading.Event | None = None
) -> None:
    """Do final trainings of a run whose best cell is found, until none is left that nobody does.

    Args:
        folder: the run folder.
        observer: is told what happens.
        device: where to train; empty: as the experiment says.
        threads: CPU threads; 0: as the experiment says, and one where it leaves that open.
        stop: when set, the worker ends after its epoch.

    Raises:
        InputError: this is no run folder, or its data are not here.
    """
    experiment = folder.read_experiment()
    set_threads(threads or experiment.threads or 1)
    where = choose_device(device or experiment.device)
    data = load(experiment.data)
    training = make_training(experiment, run_space(folder), data, folder, where)
    if isinstance(experiment.search, StudySettings):
        training = training.under(chosen_in(folder.read_best(), experiment.search.beside))
    training = final_training(training, data)
    if check(training, experiment.final):
        training = without_published(training)
    wanted = list(candidates(training, training.experiment.final, Genotype.read(str(folder.genotype))))
    with Trainings(folder) as store, suppress(Stopped):
        train_candidates(training, wanted, store, folder, observer, stop)


def _evaluator(
    experiment: Experiment,
    settings: StudySettings,
    space: SearchSpace,
    folder: RunFolder,
    device: torch.device,
    observer: Observer,
    stop: threading.Event | None,
) -> Evaluator:
    if settings.evaluator == "table":
        return TableEvaluator(Table.load(settings.table.name, space), settings.table.value)
    if settings.evaluator == "python":
        raise ConfigError("search.evaluator: 'python' is a function of the caller's, which no other process has")
    data = load(experiment.data).limited(experiment.data.train_limit)
    return evaluator_of(make_training(experiment, space, data, folder, device), settings, observer, stop)
