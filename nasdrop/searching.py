"""The search of an experiment: a study or a gradient search over its data, and what it writes into the run folder."""

import math
import threading
from collections.abc import Callable, Sequence
from functools import partial

import torch

from nasdrop import config
from nasdrop.beside import applied
from nasdrop.errors import ConfigError
from nasdrop.exporters import text
from nasdrop.files import write_json, write_text
from nasdrop.retrain import given_cell
from nasdrop.run_folder import RunFolder
from nasdrop.searchers.evaluators import Evaluator, TrainingEvaluator
from nasdrop.searchers.gradient.search import GradientSearch
from nasdrop.searchers.inherited import InheritedEvaluator, trained_supernet
from nasdrop.searchers.result import Observer, SearchResult
from nasdrop.searchers.storage import open_study, place_of, publish, without_password
from nasdrop.searchers.study import StudySearch
from nasdrop.searchers.study_events import front_chart, write_study
from nasdrop.searchers.supervisor import search_with, worker_commands
from nasdrop.searchers.training import Training
from nasdrop.settings import CellSettings, Experiment, StudySettings
from nasdrop.space import SearchSpace
from nasdrop.train import Dataset, Recorder
from nasdrop.train.ranks import Ranks
from nasdrop.view.chart_svg import chart_svg


def make_training(
    experiment: Experiment, space: SearchSpace, data: Dataset, folder: RunFolder, device: torch.device
) -> Training:
    """How trials are trained: on the training split, scored on the validation split."""
    data = data.to(device)
    record = partial(open_recorder, folder)
    return Training(experiment, space, data, device, folder.checkpoints, record, folder.sources)


def open_recorder(folder: RunFolder, label: str) -> Recorder:
    """One directory of events a training; one metrics file for all."""
    return Recorder(folder.events / label, metrics=folder.metrics, run=label)


def search_cells(training: Training, folder: RunFolder, observer: Observer, ranks: Ranks) -> SearchResult:
    """The search of the kind that the experiment asks for.

    Raises:
        ConfigError: several processes share a search that is not by gradient.
    """
    experiment, settings = training.experiment, training.experiment.search
    if isinstance(settings, CellSettings):
        result = SearchResult(given_cell(settings, training.space), math.nan, ())
        if ranks.leads:
            write_cell(result, folder)
        return result
    if isinstance(settings, StudySettings):
        if ranks.world_size > 1:
            raise ConfigError(f"search.kind: only a search by gradient is shared by torchrun, got {settings.kind!r}")
        evaluator = partial(evaluator_of, training, settings, observer)
        return search_study(experiment, settings, training.space, evaluator, folder, observer)
    checkpoint = folder.checkpoints / "search.pt"
    result = GradientSearch(training, settings, checkpoint=checkpoint, observer=observer, ranks=ranks).run()
    if ranks.leads:
        write_cell(result, folder)
    return result


def evaluator_of(
    training: Training, settings: StudySettings, observer: Observer, stop: threading.Event | None = None
) -> Evaluator:
    """How a study's cells get their values from data; inherited weights are trained here, or waited for.

    Raises:
        Stopped: `stop` was set before they were there.
    """
    if settings.evaluator == "inherited":
        supernet = trained_supernet(training, settings.supernet, observer, stop)
        return InheritedEvaluator(training, supernet, settings.supernet, settings.latency_batch)
    seed, batch = training.experiment.seed, settings.latency_batch
    return TrainingEvaluator(training, settings.epochs, seed, batch, settings.fidelity)


def write_cell(result: SearchResult, folder: RunFolder) -> None:
    """Write the best cell into the run folder."""
    write_text(folder.genotype, text(result.genotype, "json"))
    write_text(folder.picture, text(result.genotype, "svg"))


def search_study(
    experiment: Experiment,
    settings: StudySettings,
    space: SearchSpace,
    evaluator: Callable[[], Evaluator],
    folder: RunFolder,
    observer: Observer,
) -> SearchResult:
    """The Optuna study, here or in worker processes; the best cell goes into the run folder.

    The evaluator is made when the study is there for others to see.
    """
    place, name = place_of(folder, experiment)
    study = open_study(place, name, observer, len(settings.costs))
    if isinstance(place, str):
        publish(study, folder, experiment)
        observer.note(f"other hosts join by: nasdrop worker --storage {without_password(place)} --study {name}")
    search = StudySearch(space, settings, evaluator(), study=study, seed=experiment.seed, observer=observer)
    workers = worker_commands(folder.path, experiment)
    result = search_with(search, workers, folder) if len(workers) > 1 else search.run()
    write_cell(result, folder)
    if result.chosen:
        write_text(folder.best, config.dump(applied(experiment, result.chosen)))
    write_study(folder.events, study, settings.costs)
    if settings.costs:
        write_front(result, settings.costs, folder)
    return result


def write_front(result: SearchResult, costs: Sequence[str], folder: RunFolder) -> None:
    """Write the Pareto front into the run folder: its cells as JSON, and a picture of value against the first cost."""
    front = result.front()
    rows = [
        {
            "trial": record.number,
            "value": record.value,
            **dict(zip(costs, record.costs, strict=True)),
            "genotype": record.genotype.to_json(),
        }
        for record in front
    ]
    write_json(folder.front, rows)
    write_text(folder.front_picture, chart_svg(front_chart(result, costs[0])))
