"""`nasdrop search`: the main job."""

from pathlib import Path

import click

from nasdrop.cli.options import experiment_argument, load_experiment, overrides_argument


@click.command()
@experiment_argument
@overrides_argument
@click.option("--out", type=click.Path(path_type=Path), help="Run folder. [default: runs/<name>-<digest>]")
@click.option("--workers", type=click.IntRange(0), help="Processes that search side by side; 0: one a GPU or core.")
@click.option("--fresh", is_flag=True, help="Start anew; an old run is kept beside, renamed.")
def search(
    experiment: str,
    overrides: tuple[str, ...],
    out: Path | None,
    workers: int | None,
    fresh: bool,  # noqa: FBT001 - click passes options by name
) -> None:
    """Search cells as EXPERIMENT says, then train the best one and its baselines and score them on test.

    EXPERIMENT is a file or a shipped name. Settings are changed by KEY=VALUE, such as search.trials=40. The same
    command again continues the run. Where cells are looked up in a table, nothing is trained.
    """
    if workers is not None:
        overrides += (f"workers={workers}",)
    settings = load_experiment(experiment, overrides)
    from nasdrop.experiment import open_folder, run
    from nasdrop.view.live import LiveView
    from nasdrop.view.terminal import print_closing, results_table, stderr_console, stdout_console, table

    log, out_console = stderr_console(), stdout_console()
    folder = open_folder(settings, out, fresh=fresh)
    with LiveView(log) as view:
        report = run(settings, folder, view)
    if not report.written:
        return  # one of several processes, and not the one that speaks
    best = [
        (record.number, f"{record.value:.4f}", record.parameters, f"{record.seconds:.1f} s")
        for record in report.search.best(5)
    ]
    out_console.print(table(["trial", "validation", "params", "time"], best, title="Best cells of the search"))
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
