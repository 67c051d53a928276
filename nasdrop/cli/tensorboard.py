"""`nasdrop tensorboard`: the events of one or more runs, served on loopback, with links to where to look."""

import signal
import tempfile
import threading
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from nasdrop.cli.options import as_interrupt
from nasdrop.errors import InputError, NasdropError, RunFolderError
from nasdrop.run_folder import RunFolder

LINKS = {
    "charts, laid out": "#custom_scalars",
    "drop rates": "?tagFilter=drop#timeseries",
    "cells": "#images",
    "edges over epochs": "#images&tagFilter=edges_over_epochs",
    "settings, results": "#hparams",
}
"""What a page shows -> the end of its address."""

_MOST_IMAGES = 500  # of one tag; TensorBoard's own limit of 10 would leave out most cells of a search


@click.command()
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on. [default: 6006, or the next free one]")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; loopback unless you say so."
)
def tensorboard(runs: tuple[Path, ...], port: int | None, host: str) -> None:
    """Open one or more runs side by side in TensorBoard; Ctrl-C stops it.

    Nothing is fetched from the network. The address and the pages to look at are printed once it answers.
    """
    folders = [RunFolder(run) for run in runs]
    missing = [str(folder.path) for folder in folders if not folder.path.is_dir()]
    missing = missing or [str(folder.path) for folder in folders if not (_refreshed(folder) or folder.events.is_dir())]
    if missing:
        raise RunFolderError(*(f"{path}: no TensorBoard events; is it a run folder?" for path in missing))
    with tempfile.TemporaryDirectory(prefix="nasdrop-tensorboard-") as scratch, as_interrupt(signal.SIGTERM):
        base = _serve(_side_by_side(folders, Path(scratch)), host, port)
        lines = [f"{name:<19}{base}{end}" for name, end in LINKS.items()]
        click.echo("\n".join([f"{'TensorBoard':<19}{base}", *lines, "Ctrl-C stops it."]))
        with suppress(KeyboardInterrupt):
            _wait()
    click.echo("Stopped.", err=True)


def _wait() -> None:
    """Wait for Ctrl-C."""
    threading.Event().wait()


def _refreshed(folder: RunFolder) -> bool:
    """Write the events of a study as it stands now; false where there is no study to be read."""
    from nasdrop.searchers.storage import find_study, place_of
    from nasdrop.searchers.study_events import write_study
    from nasdrop.settings import StudySettings

    try:
        experiment = folder.read_experiment()
        if not isinstance(experiment.search, StudySettings):
            return False
        write_study(folder.events, find_study(*place_of(folder, experiment)), experiment.search.costs)
    except (NasdropError, PermissionError) as error:
        click.echo(f"the study itself is left out: {error}", err=True)
        return False
    return True


def _side_by_side(folders: Sequence[RunFolder], scratch: Path) -> Path:
    """The folder to serve: a single run's events, or links to those of several by their runs' names."""
    if len(folders) == 1:
        return folders[0].events
    for folder in folders:
        name = folder.path.resolve().name
        taken = sum(link.name == name or link.name.startswith(f"{name} (") for link in scratch.iterdir())
        (scratch / (f"{name} ({taken + 1})" if taken else name)).symlink_to(folder.events.resolve())
    return scratch


def _serve(logs: Path, host: str, port: int | None) -> str:
    """Start TensorBoard in this process; its address, once it listens.

    Raises:
        InputError: it cannot listen there.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TensorBoard's own
        from tensorboard.program import TensorBoard, TensorBoardServerException

        server = TensorBoard()
    arguments = ["--logdir", str(logs), "--host", host, "--samples_per_plugin", f"images={_MOST_IMAGES}"]
    arguments += ["--load_fast", "true" if _has_fast_loader() else "false"]
    server.configure(argv=["tensorboard", *arguments, *([] if port is None else ["--port", str(port)])])
    try:
        return str(server.launch())
    except TensorBoardServerException as error:
        raise InputError(f"tensorboard: cannot listen on {host}, port {port}: {error.msg}") from None


def _has_fast_loader() -> bool:
    """Whether TensorBoard's own data server is installed and fits this machine."""
    try:
        import tensorboard_data_server
    except ImportError:
        return False
    return tensorboard_data_server.server_binary() is not None
