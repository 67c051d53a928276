"""`nasdrop export`: a run's cell as a text or a picture, its network as a program."""

from pathlib import Path

import click
from click.core import ParameterSource

from nasdrop.errors import InputError
from nasdrop.run_folder import RunFolder

TEXTS = ("json", "darts", "nas-bench-201", "svg", "dot", "mermaid")
PROGRAMS = ("pt2",)


@click.command()
@click.argument("source")
@click.option("--format", "name", type=click.Choice(TEXTS + PROGRAMS), default="json", show_default=True)
@click.option("--column", help="Of a fractal run: one column alone, by its number from 0, deepest or shallowest.")
@click.option("--out", type=click.Path(path_type=Path), help="File to write; texts go to stdout without it.")
@click.pass_context
def export(context: click.Context, source: str, name: str, column: str | None, out: Path | None) -> None:
    """Write SOURCE (a run folder; for texts also a genotype or a published name) in a form that others read."""
    if column is not None and context.get_parameter_source("name") is ParameterSource.DEFAULT:
        name = "pt2"  # a column is a network, not a text
    if name in PROGRAMS:
        _export_program(source, out, column)
        return
    if column is not None:
        raise InputError(f"--column: needs the format {' or '.join(PROGRAMS)}, got {name!r}")
    from nasdrop.exporters import text
    from nasdrop.files import write_text
    from nasdrop.space import Genotype

    folder = RunFolder(Path(source))
    genotype = Genotype.read(str(folder.genotype) if folder.path.is_dir() else source)
    content = text(genotype, name)
    if out is None:
        click.echo(content, nl=False)
    else:
        write_text(out, content)
        click.echo(f"wrote  {out}\nnext   nasdrop show {source}", err=True)


def _export_program(source: str, out: Path | None, column: str | None) -> None:
    folder = RunFolder(Path(source))
    if not folder.path.is_dir():
        raise InputError(f"--format pt2: needs a run folder with trained weights, got {source!r}")
    from nasdrop.experiment import load_network, one_column
    from nasdrop.exporters import save_program

    network, shape = load_network(folder)
    path = out or folder.path / ("network.pt2" if column is None else f"column_{column}.pt2")
    save_program(network if column is None else one_column(network, column), shape, path)
    click.echo(f"wrote  {path}\nnext   torch.export.load({str(path)!r}).module() in Python", err=True)
