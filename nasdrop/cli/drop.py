"""`nasdrop drop`: which policies and schedules there are, and what one will do, before anything runs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasdrop import resources
from nasdrop.cli.options import load_experiment, overrides_argument
from nasdrop.errors import DropError, InputError
from nasdrop.settings import Experiment

if TYPE_CHECKING:
    from nasdrop.view.chart import Chart


@click.group()
def drop() -> None:
    """List drop policies and schedules, or draw one before anything runs."""


@drop.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def drop_list(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """List schedules (curves and papers' presets) and policies, each with its source."""
    from nasdrop.drop import CURVES, POLICIES, PRESETS
    from nasdrop.view.terminal import print_closing, stderr_console, stdout_console, table

    curves = {name: curve.text for name, curve in CURVES.items()}
    if as_json:
        presets = {name: {"source": entry.source, "policy": entry.policy} for name, entry in PRESETS.items()}
        policies = {name: {"text": entry.text, "source": entry.source} for name, entry in POLICIES.items()}
        click.echo(json.dumps({"curves": curves, "presets": presets, "policies": policies}, indent=2))
        return
    console = stdout_console()
    console.print(table(["curve", "rate over progress"], list(curves.items()), title="Curves"))
    console.print()
    rows = [(name, entry.policy, entry.source) for name, entry in PRESETS.items()]
    console.print(table(["preset", "policy", "source"], rows, title="Presets"))
    console.print()
    drops = [(name, entry.text, entry.source) for name, entry in POLICIES.items()]
    console.print(table(["policy", "what drops together", "source"], drops, title="Policies"))
    print_closing(stderr_console(), (), "nasdrop drop show nasnet-v3")


@drop.command("show")
@click.argument("what")
@overrides_argument
@click.option("--epochs", type=click.IntRange(1, 100_000), help="Length of the run. [default: the experiment's, or 50]")
@click.option(
    "--cells", type=click.IntRange(1, 10_000), help="Cells of the network. [default: the experiment's, or 20]"
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write the charts as .svg or .png; `-depth` and `-silent` are added to the names of the further ones.",
)
def drop_show(what: str, overrides: tuple[str, ...], epochs: int | None, cells: int | None, out: Path | None) -> None:
    """Draw the schedule of WHAT: a preset, a curve, or an experiment, the last with KEY=VALUE changes."""
    from nasdrop.drop import CURVES, PRESETS, make_schedule, rate_grid
    from nasdrop.view.chart import rate_over_depth, rate_over_time, silent_nodes
    from nasdrop.view.terminal import chart, print_closing, stderr_console, stdout_console

    named = what in CURVES or what in PRESETS
    if named and overrides:
        raise DropError(f"{what}: only an experiment takes KEY=VALUE, got {' '.join(overrides)}")
    settings = _as_experiment(what) if named else load_experiment(_known(what, [*CURVES, *PRESETS]), overrides)
    drop = settings.drop
    schedule = make_schedule(drop.schedule, drop.p, depth=drop.depth, clock=drop.clock)
    epochs = epochs or settings.train.epochs
    cells = cells or settings.network.num_cells
    grid = rate_grid(schedule, epochs=epochs, cells=cells)
    shown = sorted({0, cells // 2, cells - 1})
    moments = {"first epoch": 0, "middle epoch": epochs // 2, "last epoch": epochs - 1}
    charts = {
        "": rate_over_time({f"cell {cell}": [row[cell] for row in grid] for cell in shown}, epochs=epochs),
        "-depth": rate_over_depth({name: grid[epoch] for name, epoch in moments.items()}),
    }
    if silent := _expected_silent(settings, grid):
        charts["-silent"] = silent_nodes(silent, epochs=epochs)
    console = stdout_console()
    for picture in charts.values():
        console.print(chart(picture, console))
        console.print()
    written = [_write(picture, out.with_stem(out.stem + suffix)) for suffix, picture in charts.items()] if out else []
    print_closing(stderr_console(), written, "nasdrop drop list" if named else f"nasdrop search {what}")


def _known(what: str, schedules: list[str]) -> str:
    """The experiment's name, or an error that also knows the schedules."""
    if Path(what).is_file() or Path(what).stem in resources.names("experiments"):
        return what
    from nasdrop.errors import suggest

    known = [*schedules, *resources.names("experiments")]
    raise InputError(f"drop show: no preset, curve or experiment {what!r}; {suggest(what, known)}")


def _as_experiment(name: str) -> Experiment:
    """A schedule of a paper's name as the paper's network has it: 20 cells, the paper's rate and policy."""
    from nasdrop.drop import PRESETS, make_schedule

    drop: dict[str, object] = {"p": make_schedule(name).p, "schedule": name}
    if name in PRESETS:
        preset = PRESETS[name]
        drop |= {"policy": preset.policy, "mode": preset.mode, "exempt_identity": preset.exempt_identity}
    size = {"num_cells": 20, "channels": 4}
    return Experiment.model_validate({"name": name, "drop": drop, "network": size, "train": {"epochs": 50}})


def _expected_silent(settings: Experiment, grid: list[list[float]]) -> dict[str, list[float]]:
    """Expected silent nodes of a sample in each epoch: of DARTS_V2 in the darts space, else of some cell."""
    import random

    import torch

    from nasdrop.drop import POLICIES
    from nasdrop.searchers.training import build_network
    from nasdrop.space import Genotype, load_space

    policy = POLICIES.get(settings.drop.policy)
    if policy is not None and policy.choice:
        return {}  # chooses operations or columns, which a network of discrete cells has not
    space = load_space(settings.space)
    name = "DARTS_V2" if space.name == "darts" else "a random cell"
    genotype = (
        Genotype.read(name) if space.name == "darts" else space.sample(random.Random(settings.seed))  # noqa: S311
    )
    size = settings.network.model_copy(update={"num_cells": len(grid[0])})
    settings = settings.model_copy(update={"network": size})
    path_drop = build_network(settings, space, genotype, shape=(1, 32, 32), num_classes=10).path_drop
    droppable = torch.tensor(path_drop.droppable)
    cells = [path.cell for path in path_drop.paths]
    return {name: [path_drop.silent(torch.tensor(row)[cells] * droppable) for row in grid]}


def _write(picture: "Chart", path: Path) -> Path:
    if path.suffix == ".png":
        from nasdrop.view.chart_png import chart_png

        chart_png(picture, path)
    elif path.suffix == ".svg":
        from nasdrop.files import write_text
        from nasdrop.view.chart_svg import chart_svg

        write_text(path, chart_svg(picture))
    else:
        raise InputError(f"--out: must end in .svg or .png, got {str(path)!r}")
    return path
