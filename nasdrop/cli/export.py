"""`nasdrop export`: a run's cell as a text or a picture, its network with trained weights."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from nasdrop.errors import InputError
from nasdrop.run_folder import RunFolder

if TYPE_CHECKING:
    from nasdrop.space import Genotype

TEXTS = ("json", "darts", "nas-bench-201", "svg", "dot", "mermaid")
PICTURE = "png"
NETWORKS = {"pt2": ".pt2", "onnx": ".onnx", "source": ".py"}
"""Formats of networks -> ending of the file."""
NEXT = {
    "pt2": "torch.export.load({path!r}).module() in Python",
    "onnx": "onnxruntime.InferenceSession({path!r}) in Python",
    "source": "python -c 'import {stem}; print({stem}.load(\"{stem}.pt\"))' in the folder of the files",
}


@click.command()
@click.argument("source")
@click.option("--format", "name", type=click.Choice((*TEXTS, PICTURE, *NETWORKS)), default="json", show_default=True)
@click.option("--all", "everything", is_flag=True, help="Write every format and a model card into a folder, --out.")
@click.option("--column", help="Of a fractal run: one column alone, by its number from 0, deepest or shallowest.")
@click.option("--out", type=click.Path(path_type=Path), help="File to write; texts go to stdout without it.")
@click.pass_context
def export(
    context: click.Context,
    source: str,
    name: str,
    everything: bool,  # noqa: FBT001 - click passes options by name
    column: str | None,
    out: Path | None,
) -> None:
    """Write SOURCE (a run folder; for texts and pictures also a genotype or a published name) as others read it."""
    if everything:
        if column is not None or context.get_parameter_source("name") is not ParameterSource.DEFAULT:
            raise InputError("--all: writes every format of the whole network, got --format or --column as well")
        _export_all(source, out)
        return
    if column is not None and context.get_parameter_source("name") is ParameterSource.DEFAULT:
        name = "pt2"  # a column is a network, not a text
    if name in NETWORKS:
        _export_network(source, name, out, column)
        return
    if column is not None:
        raise InputError(f"--column: needs a format of networks, {', '.join(NETWORKS)}, got {name!r}")
    from nasdrop.exporters import text
    from nasdrop.files import write_text
    from nasdrop.space import Genotype

    folder = RunFolder(Path(source))
    genotype = Genotype.read(str(folder.genotype) if folder.path.is_dir() else source)
    if name == PICTURE:
        _export_picture(genotype, out or (folder.path if folder.path.is_dir() else Path()) / "cell.png", source)
        return
    content = text(genotype, name)
    if out is None:
        click.echo(content, nl=False)
    else:
        write_text(out, content)
        click.echo(f"wrote  {out}\nnext   nasdrop show {source}", err=True)


def _export_picture(genotype: "Genotype", out: Path, source: str) -> None:
    from nasdrop.exporters import export as write

    if out.suffix != f".{PICTURE}":
        raise InputError(f"--out: must end in .{PICTURE}, got {out.name!r}")
    click.echo(f"wrote  {write(genotype, out)}\nnext   nasdrop show {source}", err=True)


def _run_folder(source: str, option: str) -> RunFolder:
    folder = RunFolder(Path(source))
    if not folder.path.is_dir():
        raise InputError(f"{option}: needs a run folder with trained weights, got {source!r}")
    return folder


def _export_all(source: str, out: Path | None) -> None:
    folder = _run_folder(source, "--all")
    from nasdrop.trained import bundle

    card, *files = bundle(folder, out or folder.path / "bundle")
    names = ", ".join(str(file.relative_to(card.parent)) for file in (card, *files))
    click.echo(f"wrote  {card.parent}: {names}\nnext   nasdrop predict {card.parent} FILES", err=True)


def _export_network(source: str, name: str, out: Path | None, column: str | None) -> None:
    folder = _run_folder(source, f"--format {name}")
    path = out or folder.path / (("network" if column is None else f"column_{column}") + NETWORKS[name])
    if name == "source" and not (path.suffix == ".py" and path.stem.isidentifier()):
        raise InputError(f"--out: source must be a file that Python can import, such as network.py, got {path.name!r}")
    from nasdrop.trained import export_network

    written = export_network(folder, name, path, column)
    lines = [f"wrote  {file}" for file in written]
    lines.append("next   " + NEXT[name].format(path=str(path), stem=path.stem))
    click.echo("\n".join(lines), err=True)
