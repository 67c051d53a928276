"""`nasdrop tensorboard`: the events of one or more runs, served on loopback."""

import subprocess
import sys
from pathlib import Path

import click

from nasdrop.errors import RunFolderError
from nasdrop.run_folder import RunFolder


@click.command()
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--port", default=6006, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; loopback unless you say so."
)
def tensorboard(runs: tuple[Path, ...], port: int, host: str) -> None:
    """Open runs in TensorBoard; Ctrl-C stops it."""
    for run in runs:
        if not RunFolder(run).events.is_dir():
            raise RunFolderError(f"{run}: no TensorBoard events; is it a run folder?")
    spec = ",".join(f"{run.name}:{RunFolder(run).events.resolve()}" for run in runs)
    base = f"http://{host}:{port}/"
    click.echo(
        f"Drop schedules: {base}?tagFilter=drop#timeseries\nCharts: {base}#custom_scalars\nCtrl-C stops.", err=True
    )
    command = [sys.executable, "-m", "tensorboard.main", "--logdir_spec", spec, "--port", str(port), "--host", host]
    sys.exit(subprocess.call(command))
