"""`nasdrop search`: the main job; `nasdrop resume`: the rest of it."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasdrop.cli.options import as_interrupt, experiment_argument, load_experiment, overrides_argument, storage_option
from nasdrop.run_folder import RunFolder

if TYPE_CHECKING:
    from nasdrop.settings import Experiment
    from nasdrop.space import SearchSpace


@click.command()
@experiment_argument
@overrides_argument
@click.option("--out", type=click.Path(path_type=Path), help="Run folder. [default: runs/<name>-<digest>]")
@click.option("--workers", type=click.IntRange(0), help="Processes that search side by side; 0: one a GPU or core.")
@storage_option
@click.option("--fresh", is_flag=True, help="Start anew; an old run is kept beside, renamed.")
def search(
    experiment: str,
    overrides: tuple[str, ...],
    out: Path | None,
    workers: int | None,
    storage: str,
    fresh: bool,  # noqa: FBT001 - click passes options by name
) -> None:
    """Search cells as EXPERIMENT says, then train the best one and its baselines and score them on test.

    EXPERIMENT is a file or a shipped name. Settings are changed by KEY=VALUE, such as search.trials=40. The same
    command again continues the run. Where cells are looked up in a table, nothing is trained.
    """
    settings = load_experiment(experiment, _with_workers(overrides, workers))
    from nasdrop.experiment import open_folder

    run_and_tell(settings, open_folder(settings, out, fresh=fresh, database=storage))


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@overrides_argument
@click.option("--workers", type=click.IntRange(0), help="Processes that search side by side; 0: one a GPU or core.")
@storage_option
def resume(run: Path, overrides: tuple[str, ...], workers: int | None, storage: str) -> None:
    """Continue the run in the run folder RUN from its own copy of the experiment and of the search space.

    KEY=VALUE may enlarge the budget (search.trials=80), or change what a run does not depend on (device, threads).
    """
    from nasdrop import config
    from nasdrop.settings import Experiment
    from nasdrop.trained import run_space

    folder = RunFolder(run, storage)
    folder.read_experiment()
    settings = config.load(Experiment, folder.experiment, _with_workers(overrides, workers))
    run_and_tell(settings, folder, run_space(folder))


def _with_workers(overrides: tuple[str, ...], workers: int | None) -> tuple[str, ...]:
    return overrides if workers is None else (*overrides, f"workers={workers}")


def run_and_tell(settings: "Experiment", folder: RunFolder, space: "SearchSpace | None" = None) -> None:
    """Run an experiment while a view draws, print its tables, and say what was written and what comes next."""
    from nasdrop.experiment import run
    from nasdrop.view import units
    from nasdrop.view.live import LiveView
    from nasdrop.view.terminal import print_closing, results_table, stderr_console, stdout_console, table
    from nasdrop.view.units import settings_text

    log, out_console = stderr_console(), stdout_console()
    with LiveView(log) as view, as_interrupt(signal.SIGTERM):
        report = run(settings, folder, view, space=space)
    if not report.written:
        return  # one of several processes, and not the one that speaks
    beside = ["beside the cell"] if report.search.chosen else []
    best = [
        (record.number, f"{record.value:.4f}", units.count(record.parameters), units.duration(record.seconds))
        + ((settings_text(record.chosen),) if beside else ())
        for record in report.search.best(5)
    ]
    if best:
        columns = ["trial", "validation", "params", "time", *beside]
        out_console.print(table(columns, best, title="Best cells of the search"))
        out_console.print()
    if costs := getattr(settings.search, "costs", ()):
        front = [
            (row.number, f"{row.value:.4f}", *(f"{cost:g}" for cost in row.costs)) for row in report.search.front()
        ]
        out_console.print(table(["trial", "validation", *costs], front, title="Pareto front"))
        out_console.print()
    if report.finals:
        out_console.print(results_table(report.finals))
        out_console.print()
    print_closing(log, report.written, f"nasdrop show {folder.path}")
