"""`nasdrop init`: look at a user's own data and write an experiment for it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasdrop.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from nasdrop.train import Dataset

_MOST_ROWS = 20  # classes that are listed one by one


@click.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write. [default: <name>.toml]")
@click.option("--size", type=click.IntRange(0), default=0, help="Side that pictures are brought to; 0: as fits.")
@click.option("--minutes", type=click.FloatRange(1), default=30.0, show_default=True, help="Time for the whole run.")
@click.option("--device", default="auto", show_default=True, help="Where it will run: auto, cpu, cuda or cuda:N.")
@click.option("--force", is_flag=True, help="Replace the file.")
def init(path: Path, out: Path | None, size: int, minutes: float, device: str, force: bool) -> None:  # noqa: FBT001
    """Look at the data in PATH, tell what was found, and write an experiment file for it.

    PATH is a folder with one folder a class (or folders train, val and test of such ones), a CSV file with the columns
    path and label, or an .npz file with x and y.
    """
    from nasdrop.files import write_text
    from nasdrop.proposal import look_at, propose
    from nasdrop.train import load
    from nasdrop.view.terminal import print_closing, stderr_console, stdout_console, summary
    from nasdrop.view.units import duration

    console = stdout_console()
    settings, facts = look_at(path, size, device)
    console.print(summary([("data", path), *facts]))
    data = load(settings)  # all pictures are decoded here: damaged ones are told
    _print_classes(data, console)
    proposal = propose(data, settings, path, minutes=minutes, device=device)
    out = out or Path(f"{proposal.experiment.name}.toml")
    if out.exists() and not force:
        raise InputError(f"{out}: is there already; give another --out, or --force to replace it")
    write_text(out, proposal.text)
    search, epochs = proposal.experiment.search, proposal.experiment.train.epochs
    trials, most = (getattr(search, name, 0) for name in ("trials", "epochs"))
    plan = [
        ("one image", " x ".join(map(str, data.shape)) + (f"; {data.note}" if data.note else "")),
        (
            "search",
            f"{trials} cells of at most {most} epochs, {proposal.experiment.workers} at once",
        ),
        ("then", f"{proposal.experiment.final.seeds} x {epochs} epochs of the best cell, and one test score each"),
        ("time", f"at most about {duration(proposal.seconds)} here; one training step takes {duration(proposal.step)}"),
    ]
    console.print(summary(plan))
    print_closing(stderr_console(), (out,), f"nasdrop search {out}")


def _print_classes(data: "Dataset", console: "Console") -> None:
    from nasdrop.train.survey import class_counts
    from nasdrop.view.terminal import table

    columns = [class_counts(part, data.num_classes) for part in (data.train, data.valid, data.test)]
    rows = [*zip(data.classes, *columns, strict=True)]
    if len(rows) > _MOST_ROWS:
        rest = rows[_MOST_ROWS - 1 :]
        sums = tuple(sum(row[number] for row in rest) for number in (1, 2, 3))
        rows = [*rows[: _MOST_ROWS - 1], (f"{len(rest)} more", *sums)]
    total = ("all", *map(sum, columns))
    console.print(table(["class", "train", "validation", "test"], [*rows, total]))
