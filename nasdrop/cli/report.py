"""`nasdrop report`: one or more runs as one HTML file to read, to print or to send."""

import shlex
from pathlib import Path

import click

from nasdrop.cli.options import storage_option
from nasdrop.errors import InputError
from nasdrop.run_folder import RunFolder


@click.command()
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write. [default: report.html in the run folder, or here where there are several]",
)
@storage_option
def report(runs: tuple[Path, ...], out: Path | None, storage: str) -> None:
    """Write runs as one self-contained page: summary, cells, drop path planned and realised, search, results.

    The file needs no network and no server; of several runs it begins with a comparison. It may be written while a run
    is under way.
    """
    path = out or (runs[0] if len(runs) == 1 else Path()) / "report.html"
    if path.suffix not in (".html", ".htm"):
        raise InputError(f"--out: must end in .html, got {str(path)!r}")
    from nasdrop.files import write_text
    from nasdrop.reports.pages import report as page
    from nasdrop.view.terminal import print_closing, stderr_console

    write_text(path, page([RunFolder(run, storage) for run in runs]))
    print_closing(stderr_console(), (path,), f"xdg-open {shlex.quote(str(path))}")
