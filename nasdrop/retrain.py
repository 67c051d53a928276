"""Trainings for good: of the best cell of a search or of a given one, beside baselines, into a run folder.

All are trained as the experiment says on train + validation data and scored once, at the end, on the test split.
"""

import json
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nasdrop import config, resources
from nasdrop.errors import ConfigError, GenotypeError
from nasdrop.files import is_folder, write_json
from nasdrop.run_folder import RunFolder
from nasdrop.searchers.finals import Candidate, FinalScore, candidates, final_rows, label_of, train_finals
from nasdrop.searchers.parent import Parent
from nasdrop.searchers.result import Observer, SearchResult
from nasdrop.searchers.supervisor import finals_with, worker_commands
from nasdrop.searchers.training import Outcome, Training
from nasdrop.searchers.trainings import Trainings
from nasdrop.settings import CellSettings, Experiment
from nasdrop.space import PUBLISHED, Genotype, SearchSpace, load_space
from nasdrop.train import Dataset, Ranks, save_weights
from nasdrop.trained import run_space

DEFAULT = "digits"
"""The experiment that trains a cell where none is named."""
NO_BASELINES = {"random_cells": 0, "without_drop": False, "genotype": ""}
"""What a given cell is not trained beside unless it is asked for."""


def cell_experiment(cell: str, experiment: str = "", overrides: Sequence[str] = ()) -> Experiment:
    """The experiment that trains a known cell; see `nasdrop.train_cell`."""
    source = RunFolder(Path(cell))
    found = is_folder(cell)
    path = source.experiment
    if found:
        source.read_experiment()  # or this is no run folder
        path = source.best if source.best.is_file() else path
    if experiment or not found:
        path = resources.find("experiments", experiment or DEFAULT)
    tree = config.read_toml(path)
    genotype = Genotype.read(source.genotype if found else cell)
    text = cell if cell in PUBLISHED else json.dumps(json.loads(genotype.to_json()))
    space = str(run_space(source).source_files[0]) if found else _space_of(genotype, str(tree.get("space", "darts")))
    tree["space"] = space
    tree["search"] = {"kind": "cell", "genotype": text}
    tree["final"] = tree.get("final", {}) | NO_BASELINES
    tree["name"] = f"{cell.lower() if cell in PUBLISHED else 'cell'}-{tree.get('name', '')}"
    return config.build(Experiment, tree, str(path), overrides)


def _space_of(genotype: Genotype, wanted: str) -> str:
    """The experiment's space if the cell is of it, else the cell's own."""
    own = genotype.space
    try:
        load_space(wanted).validate(genotype)
    except GenotypeError:
        if own == wanted or own not in resources.names("search_spaces"):
            raise
        return own
    return wanted


def given_cell(settings: CellSettings, space: SearchSpace) -> Genotype:
    """The cell that is to be trained.

    Raises:
        GenotypeError: it cannot be read, or is not of the space.
    """
    genotype = Genotype.read(settings.genotype)
    space.validate(genotype)
    return genotype


def check_shared(experiment: Experiment, ranks: Ranks) -> None:
    """Refuse what several processes cannot share, before hours are spent.

    Raises:
        ConfigError: the batches of the final trainings cannot be divided among them.
    """
    if experiment.final.seeds and experiment.train.batch_size % ranks.world_size:
        rule = f"must be divisible by the {ranks.world_size} processes that share a batch"
        raise ConfigError(f"train.batch_size: {rule}, got {experiment.train.batch_size}")


def without_published(training: Training) -> Training:
    """The same training with no published cell among the baselines."""
    final = training.experiment.final.model_copy(update={"genotype": ""})
    return replace(training, experiment=training.experiment.model_copy(update={"final": final}))


def final_training(training: Training, data: Dataset, ranks: Ranks | None = None) -> Training:
    """How cells are trained for good.

    Args:
        training: of the search.
        data: all of it, in its three splits.
        ranks: the processes that share each training.
    """
    final = training.experiment.final
    data = (data if final.validate_epochs else data.merged()).to(training.device)
    found = replace(training.discrete(), data=data, ranks=ranks or training.ranks)
    if not final.inherit:
        return found
    folder = RunFolder(Path(final.inherit))
    folder.read_experiment()  # or this is no run folder
    return replace(found, parent=Parent(folder, run_space(folder), found))


def score_best(
    training: Training, result: SearchResult, measured: Mapping[str, float], folder: RunFolder, observer: Observer
) -> list[FinalScore]:
    """Train the best cell and the baselines, score them on test, write the best one's weights.

    Args:
        training: see `final_training`.
        result: with the best cell.
        measured: what a table holds of it.
        folder: of the run.
        observer: is told what happens.
    """
    wanted = list(candidates(training, training.experiment.final, result.genotype))
    workers = worker_commands(folder.path, training.experiment, "--finals")
    with Trainings(folder) as store:
        if len(workers) > 1 and training.ranks.world_size == 1:
            finals_with(training, wanted, store, workers, folder.logs, observer)
        train_candidates(training, wanted, store, folder, observer)  # all, or what workers have left
        known = store.known()
    rows = final_rows(training, wanted, known)
    if training.ranks.leads:
        summary = {
            "validation_accuracy": None if math.isnan(result.score) else result.score,
            "validation_note": result.note,
            "genotype": result.genotype.to_text("json"),
            "chosen": dict(result.chosen),
            "test": [vars(row) for row in rows],
            "table": measured,
            "trainings": known,
        }
        write_json(folder.result, summary)
    return rows


def train_candidates(
    training: Training,
    wanted: Sequence[Candidate],
    store: Trainings,
    folder: RunFolder,
    observer: Observer,
    stop: threading.Event | None = None,
) -> None:
    """Do the final trainings that nobody has done or is doing; the first one of the best cell leaves its weights."""

    def trained(candidate: Candidate, seed: int, outcome: Outcome) -> None:
        if candidate.label == label_of(training) and seed == candidate.seeds[0]:
            metadata = {
                "genotype": candidate.genotype.to_json(),
                "experiment": training.experiment.model_dump_json(),
                "shape": json.dumps(training.data.shape),
                "num_classes": str(training.data.num_classes),
                "mean": json.dumps(training.data.mean),
                "std": json.dumps(training.data.std),
                "classes": json.dumps(training.data.classes),
                "test_accuracy": f"{outcome.accuracy:.6f}",
                "test_metrics": json.dumps(dict(outcome.score.metrics)),
            }
            save_weights(folder.weights, outcome.network, metadata)

    train_finals(training, wanted, store, trained=trained, observer=observer, stop=stop or threading.Event())
