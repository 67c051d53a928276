"""What the command line says: consoles, tables, lines, the end of a command; readable at 80 columns and in a pipe.

Nothing here prints: functions take plain data and return what a rich console can print. Styles vanish where the console
has none (a pipe, NO_COLOR), so no meaning hangs on colour.
"""

import math
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from io import TextIOWrapper
from itertools import groupby
from pathlib import Path
from typing import Literal, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nasdrop.view import units
from nasdrop.view.chart import Chart
from nasdrop.view.chart_text import chart_glyphs
from nasdrop.view.palette import SERIES_TERMINAL
from nasdrop.view.records import ScoreLike, TrialLike

DropRow = tuple[str, float, float, float]
"""Name of a path (or of several), its rate at the first, the middle and the last epoch."""

_MOST_DROP_ROWS = 24
_LONGEST_RANGES = 16
_NUMBER = re.compile(r"\d+")


def stdout_console() -> Console:
    """The console of results."""
    return make_console(sys.stdout)


def stderr_console() -> Console:
    """The console of progress and of hints."""
    return make_console(sys.stderr)


def make_console(file: TextIO, *, width: int | None = None) -> Console:
    """A console that shows text as it is: no markup, no emoji, no guessed highlights.

    Args:
        file: where it writes; it has colours if it is a terminal and NO_COLOR is not set.
        width: in characters; None: the terminal's, or 80 in a pipe.
    """
    if isinstance(file, TextIOWrapper) and not file.encoding.lower().startswith("utf"):
        file.reconfigure(errors="replace")  # a question mark beats a traceback
    if width is None and not file.isatty() and "COLUMNS" not in os.environ:
        width = 80
    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    return Console(
        file=file,
        width=width,
        color_system=colours,
        markup=False,
        emoji=False,
        highlight=False,
    )


def ascii_only(console: Console) -> bool:
    """Whether the console's encoding cannot show box and braille characters."""
    return not console.encoding.lower().startswith("utf")


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "", caption: str = "") -> Table:
    """A plain table; columns that hold numbers only are set to the right."""
    kept = [[_text(cell) for cell in row] for row in rows]
    built = _table(title, caption)
    for number, header in enumerate(headers):
        numeric = bool(kept) and all(_is_number(row[number].plain) for row in kept)
        built.add_column(Text(header), justify="right" if numeric else "left", overflow="fold")
    for row in kept:
        built.add_row(*row)
    return built


def summary(rows: Iterable[tuple[str, object]]) -> Table:
    """Names and values, without rules: what a command is about to do."""
    built = Table.grid(padding=(0, 2))
    built.add_column(style="bold", no_wrap=True)
    built.add_column(overflow="fold")
    for name, value in rows:
        built.add_row(Text(name), _text(value))
    return built


def results_table(rows: Sequence[ScoreLike], *, title: str = "Test accuracy") -> Table:
    """The best cell beside its baselines: accuracy ± spread, size, time; the first row is the best cell's.

    Args:
        rows: in the order to show; accuracies of one and the same test split.
        title: heading.
    """
    built = _table(title, _results_caption(rows))
    built.add_column("network", overflow="fold", min_width=12)
    for name in ("accuracy", "runs", "params", "mult-adds", "time/run"):
        built.add_column(name, justify="right", no_wrap=True)
    for number, row in enumerate(rows):
        accuracy = units.percent(row.mean)
        if len(row.accuracies) > 1:
            accuracy += f" ± {100 * row.spread:.2f}"
        cells = [row.label, accuracy, str(len(row.accuracies)), units.count(row.parameters)]
        cells += [units.count(row.multiply_adds), units.duration(row.seconds)]
        built.add_row(*map(_text, cells), style="" if number else "bold")
    return built


def drop_table(rows: Sequence[DropRow], *, title: str = "Where drop is active") -> Table:
    """Which paths drop, with which rates over time; rows of equal rates and alike names share a row.

    Args:
        rows: as `DropScheduler.table` gives them: a path, a module or a run of cells each.
        title: heading.
    """
    built = _table(title, "" if rows else "nowhere: nothing drops")
    built.add_column("paths", overflow="fold", min_width=16)
    for name in ("first", "middle", "last"):
        built.add_column(name, justify="right", no_wrap=True)
    groups: dict[tuple[float, ...], list[str]] = {}
    for name, *rates in rows:
        groups.setdefault(tuple(rates), []).append(name)
    shown = [(common_name(names), *map(_rate, rates)) for rates, names in groups.items()]
    left_out = len(shown) - _MOST_DROP_ROWS
    if left_out > 0:
        half = _MOST_DROP_ROWS // 2
        shown[half : half + left_out] = [(f"... {left_out} rows more", "", "", "")]
    for row in shown:
        built.add_row(*map(_text, row))
    return built


def trial_line(trial: TrialLike, *, best: bool = False) -> Text:
    """One trial in one line: `trial 12  0.9812  23.4k params  6.2 s  pruned at epoch 3`.

    Args:
        trial: what happened.
        best: whether its value is the best so far.
    """
    value = "-" if trial.value is None else f"{trial.value:.4f}"
    size = f"{units.count(trial.parameters)} params" if trial.parameters else "-"
    endings = {
        "done": "done, best so far" if best else "done",
        "pruned": f"pruned at epoch {trial.epochs}",
        "duplicate": trial.note or "duplicate",
        "failed": f"failed: {trial.note}" if trial.note else "failed",
        "over_limit": f"over its limit: {trial.note}",
    }
    styles = {"done": "bold green" if best else "green", "failed": "red"}
    line = Text(f"trial {trial.number:>3}  {value:>6}  ")
    line.append(f"{size:>12}  {units.duration(trial.seconds):>7}  ")
    return line.append(endings.get(trial.outcome, trial.outcome), style=styles.get(trial.outcome, "dim"))


def epoch_line(epoch: int, epochs: int, facts: Mapping[str, str], *, width: int = 80) -> Text:
    """One epoch of a search by gradient: `epoch  3 of 20  loss 1.2034  skips 3/8 1/8`.

    What does not fit into `width` characters stands below, indented.
    """
    line = Text(f"epoch {epoch:>{len(str(epochs))}} of {epochs}")
    indent = used = len(line.plain)
    for name, words in facts.items():
        length = len(name) + len(words) + 3
        if used > indent and used + length > width:
            line.append("\n" + " " * indent)
            used = indent
        line.append(f"  {name} ", style="dim").append(words)
        used += length
    return line


def print_closing(console: Console, written: Sequence[str | Path], command: str) -> None:
    """Print the end of a command: the files it wrote and what to type next, unbroken, to be copied."""
    lines = [("wrote" if number == 0 else "", str(path), "") for number, path in enumerate(written)]
    lines += [("next", command, "bold")] if command else []
    for head, words, style in lines:
        console.print(Text.assemble((f"{head:<7}", "dim"), (words, style)), soft_wrap=True)


def chart(picture: Chart, console: Console, *, height: int = 14) -> Text:
    """A chart as wide as the console (at most 100 columns), its curves coloured where the console has colours."""
    rows = chart_glyphs(picture, width=min(console.width, 100), height=height, ascii_only=ascii_only(console))
    lines = []
    for row in rows:
        line = Text(no_wrap=True, overflow="crop")
        for series, glyphs in groupby(row, key=lambda glyph: glyph.series):
            style = "" if series is None else SERIES_TERMINAL[series % len(SERIES_TERMINAL)]
            line.append("".join(glyph.character for glyph in glyphs), style=style)
        line.rstrip()
        lines.append(line)
    return Text("\n").join(lines)


def common_name(names: Sequence[str]) -> str:
    """One name for many that differ in numbers: `cells.0-7.edges.0,3`; "in part" where not all combinations occur."""
    if len({_NUMBER.sub("#", name) for name in names}) != 1:
        return names[0] if len(names) == 1 else f"{names[0]} ... {names[-1]}"
    columns = [sorted(set(column)) for column in zip(*(map(int, _NUMBER.findall(name)) for name in names), strict=True)]
    ranges = map(_ranges, columns)
    common = _NUMBER.sub(lambda _: next(ranges), names[0])
    return common if math.prod(map(len, columns)) == len(set(names)) else f"{common}, in part"


def _ranges(values: Sequence[int]) -> str:
    """Sorted numbers as ranges, `0-2,5`, or a star where that is long."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    written = ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return written if len(written) <= _LONGEST_RANGES else "*"


def _results_caption(rows: Sequence[ScoreLike]) -> str:
    if not rows:
        return ""
    first = rows[0]
    spread = "mean ± standard deviation over runs; " if any(len(row.accuracies) > 1 for row in rows) else ""
    error = f"{100 * first.standard_error:.2f} %"
    return f"{spread}{first.images} test images allow a standard error of {error}"


def _table(title: str, caption: str) -> Table:
    return Table(
        title=Text(title, style="bold") if title else None,
        caption=Text(caption, style="dim") if caption else None,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        header_style="bold",
    )


def _text(value: object) -> Text:
    return value if isinstance(value, Text) else Text(str(value))


def _rate(rate: float) -> str:
    return f"{rate:.4f}".rstrip("0").rstrip(".") if rate else "0"


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(" %", ""))
    except ValueError:
        return False
    return True
