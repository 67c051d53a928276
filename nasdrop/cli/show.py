"""`nasdrop show`: a run, a genotype or a search space, as text, table and picture."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nasdrop import resources
from nasdrop.errors import InputError
from nasdrop.files import is_folder
from nasdrop.run_folder import RunFolder

if TYPE_CHECKING:
    from rich.console import Console

    from nasdrop.space import Genotype, SearchSpace


@click.command()
@click.argument("what")
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Also write the picture to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(what: str, svg: Path | None, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Show WHAT: a run folder, a genotype (a file, a text, or a published name such as DARTS_V2), or a search space."""
    from nasdrop.view.terminal import stdout_console

    console = stdout_console()
    if is_folder(what):
        genotype = _show_run(RunFolder(Path(what)), console, as_json=as_json)
    elif what in resources.names("search_spaces") or what.endswith(".toml"):
        if svg:
            raise InputError(f"--svg: a search space has no picture, got {what!r}")
        _show_space(what, console, as_json=as_json)
        return
    else:
        from nasdrop.space import Genotype

        genotype = Genotype.read(what)
        _show_genotype(genotype, console, as_json=as_json)
    if svg:
        from nasdrop.exporters import text
        from nasdrop.files import write_text

        write_text(svg, text(genotype, "svg"))
        click.echo(f"wrote  {svg}", err=True)


def _show_genotype(genotype: "Genotype", console: "Console", *, as_json: bool) -> None:
    if as_json:
        click.echo(genotype.to_text("json"))
        return
    from nasdrop.view.cell_text import genotype_table
    from nasdrop.view.terminal import ascii_only

    _print_options(genotype, console)
    console.print(genotype_table(genotype, width=console.width, ascii_only=ascii_only(console)))


def _print_options(genotype: "Genotype", console: "Console") -> None:
    from nasdrop.view.terminal import summary

    if genotype.options:
        console.print(summary(genotype.options))
        console.print()


def _show_space(name: str, console: "Console", *, as_json: bool) -> None:
    from nasdrop.space import load_space
    from nasdrop.view.terminal import summary, table

    space = load_space(name)
    if as_json:
        click.echo(json.dumps(_space_facts(space), indent=2))
        return
    console.print(summary(_space_facts(space).items()))
    rows = [(decision.name, len(decision.choices), " ".join(decision.choices)) for decision in space.decisions]
    console.print(table(["decision", "choices", "which"], rows))


def _space_facts(space: "SearchSpace") -> dict[str, Any]:
    operations = sorted(space.candidate_operations)
    return {
        "space": space.name,
        "source": space.source,
        "skeleton": space.skeleton,
        "cells": ", ".join(space.cell_names),
        "operations": ", ".join(operations),
        "genotypes": space.size,
    }


def _show_run(folder: RunFolder, console: "Console", *, as_json: bool) -> "Genotype":
    from nasdrop.space import Genotype
    from nasdrop.space.fractal import BLOCK

    experiment = folder.read_best()
    result = folder.read_json(folder.result) if folder.result.exists() else {}
    genotype = Genotype.read(str(folder.genotype)) if folder.genotype.exists() else None
    if genotype is None:
        raise InputError(f"{folder.path}: no cell has been found yet; run the search again to continue it")
    if as_json:
        click.echo(json.dumps({"experiment": experiment.model_dump(mode="json"), "result": result}, indent=2))
        return genotype
    from nasdrop.view.cell_text import genotype_table
    from nasdrop.view.terminal import ascii_only, print_closing, stderr_console, summary
    from nasdrop.view.units import settings_text

    given = experiment.search.kind == "cell"  # nobody searched it
    validation = result.get("validation_accuracy")
    accuracy = "not finished" if validation is None else f"{100 * validation:.2f} %"
    note = f" ({result['validation_note']})" if result.get("validation_note") else ""
    console.print(
        summary(
            [
                ("run", folder.path),
                ("experiment", experiment.description or experiment.name),
                ("space", experiment.space),
                ("drop path", f"{experiment.drop.policy}, {experiment.drop.schedule} to p = {experiment.drop.p:g}"),
                *([("beside the cell", settings_text(result["chosen"]))] if result.get("chosen") else []),
                *([] if given else [("validation", accuracy + note)]),
            ]
        )
    )
    if result.get("test"):
        from nasdrop.searchers.finals import FinalScore
        from nasdrop.view.terminal import results_table
        from nasdrop.view.units import measures

        rows = [FinalScore.from_json(row) for row in result["test"]]
        console.print()
        console.print(results_table(rows))
        console.print(summary([(rows[0].label, ", ".join(measures(rows[0].metrics)))]))
    console.print()
    _print_options(genotype, console)
    console.print(genotype_table(genotype, width=console.width, ascii_only=ascii_only(console)))
    form = "--column deepest" if [cell.name for cell in genotype.cells] == [BLOCK] else "--format darts"
    print_closing(stderr_console(), (), f"nasdrop export {folder.path} {form}")
    return genotype
