"""The only wiring: an experiment in, a run folder and a result out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from nasdrop import config, resources
from nasdrop.drop import DropScheduler
from nasdrop.exporters import text
from nasdrop.files import write_json, write_text
from nasdrop.run_folder import RunFolder, default_path, set_aside
from nasdrop.searchers.evaluators import TrainingEvaluator
from nasdrop.searchers.finals import BEST, Candidate, FinalScore, candidates, check, train_finals
from nasdrop.searchers.result import Observer, SearchResult, Silent
from nasdrop.searchers.study import StudySearch
from nasdrop.searchers.training import Outcome, Training
from nasdrop.settings import Experiment
from nasdrop.space import SearchSpace
from nasdrop.train import Dataset, Recorder, choose_device, load, save_weights, set_threads


@dataclass(frozen=True)
class Report:
    """What a run ends with.

    Attributes:
        search: the best cell and every trial.
        finals: test scores of the best cell and of the baselines.
        written: the files that a user will want.
    """

    search: SearchResult
    finals: tuple[FinalScore, ...]
    written: tuple[Path, ...]


def search(experiment: str | Path | Experiment, *overrides: str, out: Path | None = None) -> SearchResult:
    """Search cells as an experiment says, train and score the best one; continue where an equal call stopped.

    Args:
        experiment: a file, a shipped name, or the settings themselves.
        overrides: texts such as `search.trials=5`.
        out: the run folder; by default `runs/<name>-<digest>`.

    Raises:
        InputError: the experiment, the space, the data or the run folder is wrong.
        RunError: no cell could be trained.
    """
    if not isinstance(experiment, Experiment):
        experiment = config.load(Experiment, resources.find("experiments", str(experiment)), overrides)
    return run(experiment, open_folder(experiment, out), Silent()).search


def open_folder(experiment: Experiment, out: Path | None = None, *, fresh: bool = False) -> RunFolder:
    """The folder of an experiment; with `fresh` an old run is renamed out of the way."""
    path = out or default_path(experiment, sources(SearchSpace.load(experiment.space)), Path("runs"))
    if fresh:
        with RunFolder(path).locked():
            set_aside(path)
    return RunFolder(path)


def run(experiment: Experiment, folder: RunFolder, observer: Observer) -> Report:
    """Experiment -> space -> search -> genotype -> network -> files."""
    space = SearchSpace.load(experiment.space)
    device = choose_device(experiment.device)
    set_threads(experiment.threads)
    data = load(experiment.data)
    with folder.locked():
        folder.claim(experiment, sources(space))
        training = make_training(experiment, space, data.limited(experiment.data.train_limit), folder, device)
        if reason := check(training, experiment.final):
            observer.note(f"the baseline {experiment.final.genotype} is left out: {reason}")
            experiment = experiment.model_copy(update={"final": experiment.final.model_copy(update={"genotype": ""})})
        result = search_cells(training, folder, observer)
        write_text(folder.genotype, text(result.genotype, "json"))
        write_text(folder.picture, text(result.genotype, "svg"))
        finals = score_best(training, data.merged(), result, folder, observer)
    written = (folder.genotype, folder.picture, folder.weights, folder.result)
    return Report(replace(result, folder=folder.path), tuple(finals), written)


def make_training(
    experiment: Experiment, space: SearchSpace, data: Dataset, folder: RunFolder, device: torch.device
) -> Training:
    """How trials are trained: on the training split, scored on the validation split."""
    data = data.to(device)
    record = partial(open_recorder, folder)
    return Training(experiment, space, data, data.valid, device, folder.checkpoints, record)


def open_recorder(folder: RunFolder, label: str) -> Recorder:
    """One directory of events a training; one metrics file for all."""
    return Recorder(folder.events / label, metrics=folder.metrics, run=label)


def search_cells(training: Training, folder: RunFolder, observer: Observer) -> SearchResult:
    """The Optuna study."""
    experiment = training.experiment
    return StudySearch(
        training.space,
        experiment.search,
        TrainingEvaluator(training, experiment.search.epochs, experiment.seed),
        journal=folder.journal,
        name=experiment.name,
        seed=experiment.seed,
        observer=observer,
    ).run()


def score_best(
    training: Training, merged: Dataset, result: SearchResult, folder: RunFolder, observer: Observer
) -> list[FinalScore]:
    """Train the best cell and the baselines on train + valid, score them on test, write the best one's weights."""
    data = merged.to(training.device)
    training = replace(training, data=data, scored=data.test)
    known: dict[str, Mapping[str, Any]] = {}
    if folder.result.exists():
        known = folder.read_json(folder.result).get("trainings", {})

    def keep(key: str, value: Mapping[str, Any]) -> None:
        known[key] = value
        write_json(folder.result, {"trainings": known})

    def trained(candidate: Candidate, seed: int, outcome: Outcome) -> None:
        if candidate.label == BEST and seed == candidate.seeds[0]:
            metadata = {
                "genotype": candidate.genotype.to_json(),
                "experiment": training.experiment.model_dump_json(),
                "test_accuracy": f"{outcome.accuracy:.6f}",
            }
            save_weights(folder.weights, outcome.network, metadata)

    wanted = list(candidates(training, training.experiment.final, result.genotype))
    rows = train_finals(training, wanted, known=known, keep=keep, trained=trained, observer=observer)
    summary = {
        "validation_accuracy": result.score,
        "genotype": result.genotype.to_text("json"),
        "test": [vars(row) for row in rows],
        "trainings": known,
    }
    write_json(folder.result, summary)
    return rows


def drop_summary(training: Training, epochs: int) -> list[tuple[str, ...]]:
    """Where drop is active in this experiment's networks: rows of (paths, first, middle, last rate)."""
    import random

    network = training.network(training.space.sample(random.Random(0)))  # noqa: S311 - any cell shows it
    return DropScheduler(network, training.schedule(), epochs=epochs).table()


def sources(space: SearchSpace) -> dict[str, Path]:
    """The files that define a space, by the name that they get in a run folder."""
    return {path.name: path for path in space.source_files}
