"""`nasdrop spaces`, `nasdrop config`, `nasdrop doctor`: what there is, without running anything."""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import click

from nasdrop import config as toml
from nasdrop import resources
from nasdrop.cli.options import experiment_argument, load_experiment, overrides_argument
from nasdrop.errors import NasdropError
from nasdrop.settings import DataSettings, Experiment


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def spaces(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """List the search spaces that ship with nasdrop."""
    from nasdrop.space import load_space

    loaded = [load_space(name) for name in resources.names("search_spaces")]
    rows: list[dict[str, Any]] = [
        {
            "name": space.name,
            "cells": list(space.cell_names),
            "operations": len(space.candidate_operations),
            "size": space.size,
            "source": space.source,
        }
        for space in loaded
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    from nasdrop.view.terminal import stdout_console, table

    console = stdout_console()
    cells = [
        (row["name"], ", ".join(row["cells"]), row["operations"], f"{row['size']:.3g}", row["source"]) for row in rows
    ]
    console.print(table(["space", "cells", "operations", "genotypes", "source"], cells))
    click.echo("Next: nasdrop show darts", err=True)


@click.group()
def config() -> None:
    """Show an experiment with all its defaults, or the schema of such files."""


@config.command("show")
@experiment_argument
@overrides_argument
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def config_show(experiment: str, overrides: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001
    """Print an experiment with every default written out."""
    settings = load_experiment(experiment, overrides)
    click.echo(settings.model_dump_json(indent=2) if as_json else toml.dump(settings), nl=as_json)


@config.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of experiment files, for editors."""
    click.echo(json.dumps(Experiment.model_json_schema(), indent=2))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Check this machine: versions, device, threads, data sets, disk."""
    checks = _checks()
    if as_json:
        click.echo(json.dumps(checks, indent=2))
        return
    from nasdrop.view.terminal import stdout_console, table

    stdout_console().print(table(["check", "found"], list(checks.items())))
    click.echo("Next: nasdrop search experiments/digits.toml", err=True)


def _checks() -> dict[str, str]:
    import torch

    from nasdrop.run_folder import versions

    checks: dict[str, Any] = dict(versions())
    checks["device"] = f"cuda: {torch.cuda.get_device_name()}" if torch.cuda.is_available() else "cpu"
    checks["cores"] = str(os.cpu_count())
    checks["threads"] = str(torch.get_num_threads())
    for name in ("digits", "fashion_mnist", "cifar10", "cifar10_jpeg", "cifar100"):
        checks[f"data: {name}"] = _data_set(name)
    checks["folder"] = _folder(Path())
    return checks


def _data_set(name: str) -> str:
    from nasdrop.train import locate

    try:
        return locate(DataSettings(name=name))
    except NasdropError as error:
        return f"not found: {error.lines[0]}"


def _folder(path: Path) -> str:
    free = shutil.disk_usage(path).free / 2**30
    try:
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"nasdrop")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return f"cannot be written: {error.strerror}"
    return f"{path.resolve()}: can be written, {free:.1f} GiB free"
