"""The only wiring: an experiment in, a run folder and a result out."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from nasdrop import config, resources
from nasdrop.announcing import announce
from nasdrop.errors import ConfigError
from nasdrop.files import write_json
from nasdrop.retrain import (
    cell_experiment,
    check_shared,
    final_training,
    score_best,
    without_published,
)
from nasdrop.run_folder import RunFolder, default_path, set_aside
from nasdrop.searchers.costs import NetworkCosts
from nasdrop.searchers.evaluators import Function, FunctionEvaluator, TableEvaluator
from nasdrop.searchers.finals import FinalScore, check
from nasdrop.searchers.goals import check_goals, limits_text
from nasdrop.searchers.result import Observer, SearchResult, Silent
from nasdrop.searchers.table import Table
from nasdrop.searchers.training import check_beside
from nasdrop.searching import make_training, search_cells, search_study
from nasdrop.settings import Experiment, StudySettings
from nasdrop.space import Genotype, SearchSpace, load_space
from nasdrop.train import choose_device, load, set_threads
from nasdrop.train.criterion import loss_file
from nasdrop.train.ranks import joined, own_device


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
