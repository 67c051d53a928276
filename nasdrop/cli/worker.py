"""`nasdrop worker`: one more process for a search, started by hand, by ssh, by Slurm or by Kubernetes."""

from pathlib import Path

import click

from nasdrop.cli.options import storage_option
from nasdrop.errors import InputError


@click.command()
@click.argument("run", type=click.Path(path_type=Path), required=False)
@storage_option
@click.option("--study", default="", help="Name of a study in the database, for a host without the run folder.")
@click.option("--out", type=click.Path(path_type=Path), help="With --study: run folder here.  [default: runs/<study>]")
@click.option("--device", default="", help="cpu, cuda or cuda:N. [default: the experiment's]")
@click.option("--threads", default=0, type=click.IntRange(0), help="CPU threads. [default: the experiment's, else 1]")
@click.option("--number", default="", hidden=True, help="Of a worker that a search has started.")
@click.option("--supervised", is_flag=True, hidden=True, help="End when standard input ends.")
@click.option("--finals", is_flag=True, hidden=True, help="Do final trainings instead of trials.")
def worker(
    run: Path | None,
    storage: str,
    study: str,
    out: Path | None,
    device: str,
    threads: int,
    number: str,
    supervised: bool,  # noqa: FBT001 - click passes options by name
    finals: bool,  # noqa: FBT001
) -> None:
    """Run trials of a search until its budget is spent: of the run folder RUN, or of --study in --storage.

    Any number of workers may do so at once. Ctrl-C or SIGTERM ends a worker after its epoch, a second one at once; what
    it was training is taken up by another worker, or by `nasdrop resume`.
    """
    if not run and not (storage and study):
        raise InputError("worker: needs a run folder, or --storage and --study")
    from nasdrop.run_folder import RunFolder
    from nasdrop.searchers.processes import StopSignal
    from nasdrop.searchers.storage import fetch
    from nasdrop.view.live import LiveView
    from nasdrop.view.terminal import stderr_console
    from nasdrop.worker import work, work_on_finals

    with StopSignal(lambda: click.echo("Stopping after this epoch; once more stops at once.", err=True)) as stop:
        if supervised:
            stop.end_with_supervisor()
        folder = RunFolder(run, storage) if run else fetch(storage, study, out)
        with LiveView(stderr_console()) as view:
            if finals:
                work_on_finals(folder, view, device=device, threads=threads, stop=stop.event)
            else:
                work(folder, view, device=device, threads=threads, label=f"worker {number}", stop=stop.event)
    if stop.event.is_set():
        raise KeyboardInterrupt
