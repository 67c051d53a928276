"""`nasdrop status`: how a search stands, while it runs or after."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasdrop.cli.options import storage_option
from nasdrop.errors import RunFolderError
from nasdrop.run_folder import RunFolder, newest

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Group

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


def _reader(folder: RunFolder) -> "Callable[[], Status]":
    from nasdrop.searchers.status import read_status
    from nasdrop.searchers.storage import find_study, place_of
    from nasdrop.settings import StudySettings

    experiment = folder.read_experiment()
    settings = experiment.search
    if not isinstance(settings, StudySettings):
        raise RunFolderError(f"{folder.path}: only a study has trials to tell of, got search kind {settings.kind!r}")
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
        ("time left", "unknown" if now.seconds_left is None else f"about {units.duration(now.seconds_left)}"),
    ]
    seen = time.time()
    workers = [
        (worker.name, worker.device, now.running.get(worker.name, "-"), units.duration(max(0.0, seen - worker.joined)))
        for worker in now.workers
    ]
    best = [
        (record.number, f"{record.value:.4f}", record.parameters, units.duration(record.seconds)) for record in now.best
    ]
    return Group(
        summary(facts),
        *([table(["worker", "device", "trial", "for"], workers)] if workers else []),
        *([table(["trial", "validation", "params", "time"], best, title="Best so far")] if best else []),
    )
