"""`nasdrop sweep`: an experiment at every point of a grid; each is an ordinary run that can be continued."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasdrop.cli.options import experiment_argument, load_experiment
from nasdrop.errors import ConfigError, RunError
from nasdrop.files import digest, write_json, write_text
from nasdrop.settings import Experiment

if TYPE_CHECKING:
    from nasdrop.experiment import Report

SEED = "seed"
TABLE_TEST = "test_accuracy_200"  # of NAS-Bench-201's table, in percent


@dataclass(frozen=True)
class Point:
    """One run of a sweep.

    Attributes:
        values: what the grid sets here, by key.
        validation: accuracy in [0, 1] that cells may be chosen by; None where there is none of the cell itself.
        test: mean test accuracy in [0, 1] of the found cell, or what a table holds of it; None where neither is known.
        skips: skip connections of the found cell by kind, as `3/8`.
        note: why there are no figures, or what they are of.
    """

    values: Mapping[str, str]
    validation: float | None = None
    test: float | None = None
    skips: Mapping[str, str] | None = None
    note: str = ""


@click.command()
@experiment_argument
@click.argument("grid", nargs=-1, required=True, metavar="KEY=VALUE[,VALUE]...")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the runs. [default: runs/<name>-sweep-<digest>]"
)
def sweep(experiment: str, grid: tuple[str, ...], out: Path | None) -> None:
    """Run EXPERIMENT at every point of a grid and tabulate what was found.

    A key with several values is an axis: drop.p=0,0.2,0.4,0.6 seed=0,1,2 are twelve runs. The same command again
    continues the sweep. Cells are chosen by validation: R-DARTS is the best of the four rates.
    """
    axes = [parse_axis(text) for text in grid]
    points = [dict(zip((key for key, _ in axes), values, strict=True)) for values in product(*(v for _, v in axes))]
    varied = [key for key, values in axes if len(values) > 1]
    settings = [
        load_experiment(experiment, tuple(f"{key}={value}" for key, value in point.items())) for point in points
    ]
    folder = out or Path("runs") / f"{settings[0].name}-sweep-{digest(json.dumps([experiment, axes]))[:8]}"
    from nasdrop.view.terminal import print_closing, stderr_console, stdout_console, table

    log, rows = stderr_console(), []
    for number, (point, setting) in enumerate(zip(points, settings, strict=True), start=1):
        shown = {key: point[key] for key in varied}
        log.print(f"run {number} of {len(points)}: {_name(shown)}")
        rows.append(_run(setting, folder / _name(shown), shown))
        _write(folder, varied, rows)
    cells = [_cells(row, varied) for row in rows]
    stdout_console().print(table(_headers(varied, rows), cells, title=f"{settings[0].name}: {len(rows)} runs"))
    for line in chosen(rows):
        click.echo(line)
    print_closing(log, (folder / "sweep.md", folder / "sweep.json"), f"nasdrop show {folder / _name(rows[0].values)}")


def parse_axis(text: str) -> tuple[str, tuple[str, ...]]:
    """A key and its values; commas inside brackets and quotes divide nothing.

    Raises:
        ConfigError: there is no `=`, or a value is empty or comes twice.
    """
    key, equals, values = text.partition("=")
    parts, depth, quote = [""], 0, ""
    for character in values:
        quote = "" if character == quote else quote or (character if character in "'\"" else "")
        depth += 0 if quote else (character in "[{") - (character in "]}")
        if character == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += character
    parts = [part.strip() for part in parts]
    if not equals or not key.strip() or not all(parts) or len(set(parts)) < len(parts):
        raise ConfigError(f"sweep: must read key=value,value,... with different values, got {text!r}")
    return key.strip(), tuple(parts)


def chosen(rows: Sequence[Point]) -> list[str]:
    """The best run after validation of each seed, and the mean of what they have on test."""
    known = [row for row in rows if row.validation is not None]
    if len(known) < len(rows) or len(rows) < 2:
        return ["nothing is chosen: not every run has a validation of its cell (search.validation_epochs)"][: len(rows)]
    groups: dict[str, list[Point]] = {}
    for row in known:
        groups.setdefault(row.values.get(SEED, ""), []).append(row)
    best = {seed: max(group, key=lambda row: row.validation or 0.0) for seed, group in groups.items()}
    lines = [
        f"best after validation{f', seed {seed}' if seed else ''}: {_name(row.values)}, {_percent(row.validation)} %"
        + (f", test {_percent(row.test)} %" if row.test is not None else "")
        for seed, row in best.items()
    ]
    tests = [row.test for row in best.values() if row.test is not None]
    if len(tests) > 1:
        spread = f"{100 * statistics.fmean(tests):.2f} % ± {100 * statistics.stdev(tests):.2f}"
        lines.append(f"their test accuracy: {spread} ({len(tests)} seeds)")
    return lines


def _run(settings: Experiment, folder: Path, values: Mapping[str, str]) -> Point:
    from nasdrop.experiment import open_folder, run
    from nasdrop.view.live import LiveView
    from nasdrop.view.terminal import stderr_console

    try:
        with LiveView(stderr_console()) as view:
            report = run(settings, open_folder(settings, folder), view)
    except RunError as error:
        return Point(values, note=f"failed: {error}")
    return _point(report, values)


def _point(report: "Report", values: Mapping[str, str]) -> Point:
    result = report.search
    skips = {
        cell.name: f"{sum(edge.operation == 'skip_connect' for edge in cell.edges)}/{len(cell.edges)}"
        for cell in result.genotype.cells
    }
    known = report.measured.get(TABLE_TEST)
    test = report.finals[0].mean if report.finals else None if known is None else known / 100
    return Point(values, None if result.note else result.score, test, skips, result.note)


def _headers(varied: Sequence[str], rows: Sequence[Point]) -> list[str]:
    kinds = next((list(row.skips) for row in rows if row.skips), [])
    return [*varied, "validation", "test", *(f"skips, {kind}" for kind in kinds), "note"]


def _cells(row: Point, varied: Sequence[str]) -> list[str]:
    skips = list((row.skips or {}).values())
    return [*(row.values[key] for key in varied), _percent(row.validation), _percent(row.test), *skips, row.note]


def _write(folder: Path, varied: Sequence[str], rows: Sequence[Point]) -> None:
    """The table as JSON and as Markdown, after every run."""
    write_json(folder / "sweep.json", [asdict(row) for row in rows])
    headers = _headers(varied, rows)
    lines = [headers, ["---"] * len(headers), *(_cells(row, varied) for row in rows)]
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    write_text(folder / "sweep.md", text + "".join(f"\n{line}\n" for line in chosen(rows)))


def _name(values: Mapping[str, str]) -> str:
    """A point's folder: `drop.p=0.2,seed=1`; what a file system does not take becomes a dash."""
    text = ",".join(f"{key}={value}" for key, value in values.items())
    return "".join(character if character.isalnum() or character in ".,=_-" else "-" for character in text) or "run"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
