"""`nasdrop status`: how a search stands, while it runs or after."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasdrop.cli.options import storage_option
from nasdrop.run_folder import RunFolder, newest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.console import Group, RenderableType

    from nasdrop.searchers.status import Status

_REFRESH = 2.0  # seconds


@click.command()
@click.argument("run", type=click.Path(path_type=Path), required=False)
@storage_option
@click.option("--watch", is_flag=True, help="Refresh until the search is over; Ctrl-C stops watching.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(run: Path | None, storage: str, watch: bool, as_json: bool) -> None:  # noqa: FBT001 - click's way
    """Tell how the search in the run folder RUN stands; by default the newest one under ./runs."""
    from nasdrop.view.terminal import print_closing, stderr_console, stdout_console

    folder = RunFolder(run or newest(Path("runs")), storage)
    if not _has_trials(folder):
        _print_epochs(folder, as_json=as_json)
        return
    read = _reader(folder)
    if as_json:
        click.echo(json.dumps(asdict(read()), indent=2, default=lambda value: value.to_text("json")))
        return
    console = stdout_console()
    if watch:
        from rich.live import Live

        with Live(console=console, auto_refresh=False) as live:
            while (now := read()).done < now.wanted:
                live.update(_page(folder, now), refresh=True)
                time.sleep(_REFRESH)
            live.update(_page(folder, now), refresh=True)
    else:
        console.print(_page(folder, now := read()))
    over = now.done >= now.wanted or now.workers
    print_closing(stderr_console(), (), f"nasdrop {'show' if over else 'resume'} {folder.path}")


def _has_trials(folder: RunFolder) -> bool:
    from nasdrop.settings import StudySettings

    return isinstance(folder.read_experiment().search, StudySettings)


def _print_epochs(folder: RunFolder, *, as_json: bool) -> None:
    """How a search by gradient, or a training of a given cell, stands: the epochs of each training, the latest last."""
    from nasdrop.reports.facts import RunFacts
    from nasdrop.reports.pages import state, validation
    from nasdrop.view.terminal import print_closing, stderr_console, stdout_console, summary, table

    run = RunFacts(folder)
    rows = [
        (run.told(label), len(lines), _shown(lines[-1], "valid/accuracy"), _shown(lines[-1], "drop/realised/mean"))
        for label, lines in run.trainings.items()
    ]
    if as_json:
        keys = ("training", "epochs", "valid_accuracy", "realised_drop")
        told = [dict(zip(keys, row, strict=True)) for row in rows]
        click.echo(json.dumps({"state": state(run), "trainings": told}, indent=2))
        return
    console = stdout_console()
    facts = [("run", folder.path), ("search", run.method), ("state", state(run)), ("validation", validation(run))]
    console.print(summary(facts))
    if rows:
        console.print()
        console.print(table(["training", "epochs", "validation", "drop rate"], rows, title="Trainings"))
    print_closing(stderr_console(), (), f"nasdrop {'show' if run.result else 'resume'} {folder.path}")


def _shown(record: "Mapping[str, float]", tag: str) -> str:
    return f"{record[tag]:.4f}" if tag in record else "-"


def _reader(folder: RunFolder) -> "Callable[[], Status]":
    from nasdrop.searchers.status import read_status
    from nasdrop.searchers.storage import find_study, place_of
    from nasdrop.settings import StudySettings

    experiment = folder.read_experiment()
    settings = experiment.search
    assert isinstance(settings, StudySettings)  # noqa: S101 - its caller has looked
    study = find_study(*place_of(folder, experiment))
    return lambda: read_status(study, settings)


def _page(folder: RunFolder, now: "Status") -> "Group":
    from rich.console import Group

    from nasdrop.view import units
    from nasdrop.view.terminal import summary, table

    outcomes = ", ".join(f"{count} {name}" for name, count in now.outcomes.items() if count)
    facts = [
        ("run", folder.path),
        ("trials", f"{now.done} of {now.wanted}" + (f" ({outcomes})" if outcomes else "")),
        ("best", f"{now.best[0].value:.4f}" if now.best else "none yet"),
        ("workers", f"{len(now.workers)} alive, {now.process_hours:.2f} process hours so far"),
        ("time left", _time_left(now)),
    ]
    seen = time.time()
    workers = [
        (worker.name, worker.device, now.running.get(worker.name, "-"), units.duration(max(0.0, seen - worker.joined)))
        for worker in now.workers
    ]
    best = [
        (record.number, f"{record.value:.4f}", units.count(record.parameters), units.duration(record.seconds))
        for record in now.best
    ]
    shown: list[RenderableType] = [summary(facts)]
    if workers:
        shown += ["", table(["worker", "device", "trial", "for"], workers)]
    if best:
        shown += ["", table(["trial", "validation", "params", "time"], best, title="Best so far")]
    return Group(*shown)


def _time_left(now: "Status") -> str:
    from nasdrop.view import units

    if now.done >= now.wanted:
        return "none, all trials are done"
    return "unknown" if now.seconds_left is None else f"about {units.duration(now.seconds_left)}"
