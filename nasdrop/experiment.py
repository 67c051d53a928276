"""The only wiring: an experiment in, a run folder and a result out."""

import math
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import cast

import torch
from torch import nn

from nasdrop import config, resources
from nasdrop.beside import applied
from nasdrop.drop import DropScheduler
from nasdrop.errors import ConfigError
from nasdrop.exporters import text
from nasdrop.files import write_json, write_text
from nasdrop.retrain import (
    announce_cell,
    cell_experiment,
    check_shared,
    final_training,
    given_cell,
    score_best,
    without_published,
)
from nasdrop.run_folder import RunFolder, default_path, set_aside
from nasdrop.searchers.costs import NetworkCosts
from nasdrop.searchers.evaluators import Evaluator, Function, FunctionEvaluator, TableEvaluator, TrainingEvaluator
from nasdrop.searchers.fidelity import ladder_text
from nasdrop.searchers.finals import FinalScore, check
from nasdrop.searchers.goals import check_goals, limits_text
from nasdrop.searchers.gradient.part import build_supernet
from nasdrop.searchers.gradient.search import GradientSearch
from nasdrop.searchers.gradient.stages import stages
from nasdrop.searchers.inherited import InheritedEvaluator, trained_supernet
from nasdrop.searchers.result import Observer, SearchResult, Silent
from nasdrop.searchers.storage import open_study, place_of, publish, without_password
from nasdrop.searchers.study import StudySearch
from nasdrop.searchers.study_events import front_chart, write_study
from nasdrop.searchers.supervisor import search_with, worker_commands
from nasdrop.searchers.table import Table
from nasdrop.searchers.training import Training, check_beside
from nasdrop.settings import CellSettings, Experiment, StudySettings
from nasdrop.space import Genotype, SearchSpace, load_space
from nasdrop.train import Dataset, Recorder, choose_device, load, set_threads
from nasdrop.train.criterion import loss_file
from nasdrop.train.ranks import Ranks, joined, own_device
from nasdrop.view.chart_svg import chart_svg


@dataclass(frozen=True)
class Report:
    """What a run ends with.

    Attributes:
        search: the best cell and every trial.
        finals: test scores of the best cell and of the baselines.
        written: the files that a user will want.
        measured: what a table holds of the best cell.
    """

    search: SearchResult
    finals: tuple[FinalScore, ...]
    written: tuple[Path, ...]
    measured: Mapping[str, float] = field(default_factory=dict)


def search(
    experiment: str | Path | Experiment, *overrides: str, out: Path | None = None, evaluator: Function | None = None
) -> SearchResult:
    """Search cells as an experiment says, train and score the best one; continue where an equal call stopped.

    Args:
        experiment: a file, a shipped name, or the settings themselves.
        overrides: texts such as `search.trials=5`.
        out: the run folder; by default `runs/<name>-<digest>`. A changed evaluator wants another one.
        evaluator: gives a cell its value instead of a training: called with a genotype and `report(epoch, value)`,
            returns a number, higher is better. Nothing is trained then, and all is done in this process.

    Raises:
        InputError: the experiment, the space, the data or the run folder is wrong.
        RunError: no cell could be trained.
    """
    if not isinstance(experiment, Experiment):
        experiment = config.load(Experiment, resources.find("experiments", str(experiment)), overrides)
    if evaluator is not None:
        if not isinstance(experiment.search, StudySettings):
            raise ConfigError(f"evaluator: only a study asks for values of cells, got kind {experiment.search.kind!r}")
        settings = experiment.search.model_copy(update={"evaluator": "python"})
        experiment = experiment.model_copy(update={"search": settings, "workers": 1})
    return run(experiment, open_folder(experiment, out), Silent(), evaluator).search


def train_cell(cell: str | Path, experiment: str | Path = "", *overrides: str, out: Path | None = None) -> Report:
    """Train a known cell on train + validation data and score it on test; continue where an equal call stopped.

    Args:
        cell: a published name, a text or a file of a genotype, or a run folder, whose best cell is meant.
        experiment: a file or a shipped name; empty: the run folder's own, else digits. Its search is left out, and so
            are the baselines that no override asks for.
        overrides: texts such as `final.seeds=3`, `train.epochs=600`, `final.resnet=true` or `final.inherit=RUN`.
        out: the run folder; by default `runs/<cell>-<name>-<digest>`.

    Returns:
        `finals`, a row of test scores each for the cell and the baselines, and `search.folder`, the run folder.

    Raises:
        InputError: the cell, the experiment, the data or the run folder is wrong.
        RunError: the training diverged.
    """
    settings = cell_experiment(str(cell), str(experiment), overrides)
    return run(settings, open_folder(settings, out), Silent())


def open_folder(
    experiment: Experiment, out: Path | None = None, *, fresh: bool = False, database: str = ""
) -> RunFolder:
    """The folder of an experiment; with `fresh` an old run is renamed out of the way."""
    path = out or default_path(experiment, sources(load_space(experiment.space), experiment), Path("runs"))
    if fresh:
        with RunFolder(path).locked():
            set_aside(path)
    return RunFolder(path, database)


def run(
    experiment: Experiment,
    folder: RunFolder,
    observer: Observer,
    function: Function | None = None,
    space: SearchSpace | None = None,
) -> Report:
    """Experiment -> space -> search -> genotype -> network -> files; `space`, if given, is the one that a run holds."""
    resumed, space = space is not None, space or load_space(experiment.space)
    settings = experiment.search
    if isinstance(settings, StudySettings) and settings.evaluator in ("table", "python"):
        return run_untrained(experiment, settings, space, folder, observer, function)
    own = (folder.sources, Path()) if resumed else (Path(),)
    if isinstance(settings, StudySettings):
        check_goals(settings, NetworkCosts.names)
    device = own_device(choose_device(experiment.device))
    set_threads(experiment.threads)
    data = load(experiment.data)
    training = make_training(experiment, space, data.limited(experiment.data.train_limit), folder, device)
    with ExitStack() as stack:
        ranks = stack.enter_context(joined(device))
        check_shared(experiment, ranks)
        if ranks.leads:
            stack.enter_context(folder.locked())
            folder.claim(experiment, sources(space, experiment, own), data.fingerprint)
        else:
            observer = Silent()
        if reason := check(training, experiment.final):
            observer.note(f"the baseline {experiment.final.genotype} is left out: {reason}")
            training = without_published(training)
        if isinstance(settings, StudySettings):
            check_beside(training, settings.beside)
        if ranks.leads:
            announce(training, folder, observer)
        result = search_cells(training, folder, observer, ranks)
        if ranks.world_size > 1:
            ranks.wait()  # until rank 0 has written the cell
            result = replace(result, genotype=Genotype.read(folder.genotype))
        table = Table.load(experiment.final.table, space) if experiment.final.table else None
        measured = look_up(table, result, observer)
        chosen = training.under(result.chosen)
        finals = score_best(final_training(chosen, data, ranks), result, measured, folder, observer)
    if not ranks.leads:
        return Report(result, (), ())
    written = (
        folder.genotype,
        folder.picture,
        folder.best,
        folder.front,
        folder.front_picture,
        folder.weights,
        folder.result,
    )
    return Report(replace(result, folder=folder.path), tuple(finals), tuple(filter(Path.exists, written)), measured)


def look_up(table: Table | None, result: SearchResult, observer: Observer) -> Mapping[str, float]:
    """Tell, and give back, what a table holds of the best cell."""
    measured = table.describe(result.genotype) if table else {}
    if table:
        accuracies = ", ".join(f"{name} {value:.2f} %" for name, value in measured.items() if "accuracy" in name)
        observer.note(f"best cell in {table.name}: {accuracies or 'not measured'}")
    return measured


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


def run_untrained(
    experiment: Experiment,
    settings: StudySettings,
    space: SearchSpace,
    folder: RunFolder,
    observer: Observer,
    function: Function | None,
) -> Report:
    """A search whose cells are looked up, or valued by a user's function: no data, no network, no weights."""
    table = None
    if settings.evaluator == "table":
        table = Table.load(settings.table.name, space)
    elif function is None:
        raise ConfigError("search.evaluator: 'python' is for nasdrop.search(..., evaluator=a_function)")
    evaluator = TableEvaluator(table, settings.table.value) if table else FunctionEvaluator(cast(Function, function))
    check_goals(settings, evaluator.known_costs)
    with folder.locked():
        folder.claim(experiment, sources(space, experiment))
        facts = [
            ("run folder", folder.path),
            ("space", f"{space.name}: {space.size:.3g} genotypes"),
            ("search", f"{settings.trials} cells, {settings.sampler}{limits_text(settings)}"),
            ("values", f"{settings.table.value} of {table.name}" if table else "a function of the caller's"),
        ]
        observer.planned(facts, ())
        result = search_study(experiment, settings, space, lambda: evaluator, folder, observer)
        measured = look_up(table, result, observer)
        summary = {
            "validation_accuracy": result.score,
            "genotype": result.genotype.to_text("json"),
            "table": measured,
        }
        write_json(folder.result, summary)
    written = (folder.genotype, folder.picture, folder.front, folder.front_picture, folder.result)
    return Report(replace(result, folder=folder.path), (), tuple(filter(Path.exists, written)), measured)


def announce(training: Training, folder: RunFolder, observer: Observer) -> None:
    """Say what will be done and where drop is active, before anything runs."""
    experiment, data, settings = training.experiment, training.data, training.experiment.search
    if isinstance(settings, CellSettings):
        announce_cell(training.discrete(), given_cell(settings, training.space), folder, observer)
        return
    genotype = training.space.sample(random.Random(experiment.seed))  # noqa: S311 - any cell shows the rates
    network: nn.Module
    drop, epochs = experiment.drop, settings.epochs
    if isinstance(settings, StudySettings) and settings.evaluator == "training":
        network, cost = training.network(genotype), training.cost(genotype)
        plan = f"{settings.trials} trials of at most {settings.epochs} epochs, {settings.sampler}"
        plan += limits_text(settings) + ladder_text(settings)
    else:
        supernet = settings.supernet if isinstance(settings, StudySettings) else settings
        network, cost = build_supernet(training, supernet, supernet.num_cells), training.discrete().cost(genotype)
        size = f"{supernet.num_cells} cells, {supernet.channels} channels"
        epochs = supernet.epochs
        if isinstance(settings, StudySettings):
            plan = f"{settings.trials} cells, {settings.sampler}, by a supernet's weights after {epochs} epochs: {size}"
        else:
            plan = f"{settings.strategy}, {epochs * len(stages(settings))} epochs: {size}"
    scheduler = DropScheduler(network, training.schedule(genotype), epochs=epochs)
    facts = [
        ("run folder", folder.path),
        ("space", f"{training.space.name}: {training.space.size:.3g} genotypes"),
        ("data", f"{data.name}: {len(data.train)} train, {len(data.valid)} validation, {len(data.test)} test images"),
        *([("", data.note)] if data.note else []),
        (
            "network",
            f"{experiment.network.num_cells} cells, {experiment.network.channels} channels "
            f"(a random one: {cost.parameters:,} parameters, {cost.multiply_adds:,} multiply-adds)",
        ),
        ("search", plan),
        *(
            [("beside the cell", ", ".join(settings.beside))]
            if isinstance(settings, StudySettings) and settings.beside
            else []
        ),
        ("drop path", f"{drop.policy}, {drop.schedule} to p = {drop.p:g}, a decision a {drop.mode}"),
        ("device", f"{training.device}, {torch.get_num_threads()} threads"),
    ]
    observer.planned(facts, scheduler.table())


def sources(space: SearchSpace, experiment: Experiment, folders: Sequence[Path] = (Path(),)) -> dict[str, Path]:
    """The files that define a space, and a user's own losses, by the name that they get in a run folder.

    Args:
        space: names its files.
        experiment: names the losses.
        folders: where these are looked for.
    """
    losses = {experiment.train.loss, getattr(experiment.search, "loss", "")} - {""}
    paths = [*space.source_files, *(loss_file(loss, folders) for loss in sorted(losses))]
    named = {path.name: path for path in paths}
    for path in paths:
        if path.read_bytes() != named[path.name].read_bytes():
            raise ConfigError(f"{path}: must not have the name of another file of this run, {named[path.name]}")
    return named
