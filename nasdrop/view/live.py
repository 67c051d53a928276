"""The live view of a run: a bar for trials and epochs on a terminal, and a lasting line a trial everywhere.

It has the methods that a search calls on whoever watches it; in a pipe there is no bar, only the lines.
"""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from nasdrop.view import units
from nasdrop.view.records import TrialLike
from nasdrop.view.terminal import DropRow, ascii_only, drop_table, epoch_line, summary, trial_line


class LiveView:
    """Shows a run while it goes on; use it in a `with` block, so that the terminal is left in order.

    Args:
        console: where to draw.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._best: float | None = None
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24) if not ascii_only(console) else TextColumn(""),
            MofNCompleteColumn(),
            TextColumn("{task.fields[tail]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._training = self._label = ""
        self._outer: TaskID | None = None
        self._inner: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def planned(self, facts: Sequence[tuple[str, object]], rates: Sequence[DropRow]) -> None:
        """A run begins: what it will do, and where drop is active."""
        self.console.print(summary(facts))
        self.console.print()
        self.console.print(drop_table(rates))
        self.console.print()

    def note(self, line: str) -> None:
        """Something the user should know."""
        self.console.print(Text(line, style="yellow"))

    def trial_started(self, number: int, total: int) -> None:
        """A trial begins; `number` are over."""
        self._begin("trials", number, total)

    def epoch_ended(self, epoch: int, epochs: int, accuracy: float | None) -> None:
        """An epoch of the present training is over; `epoch` counts from 1."""
        tail = "" if accuracy is None else f"{accuracy:.4f}"
        if self._inner is None:
            self._inner = self._progress.add_task("epochs", total=epochs, tail=tail)
        self._progress.update(self._inner, completed=epoch, total=epochs, tail=tail)

    def trial_ended(self, record: TrialLike) -> None:
        """A trial is over."""
        value = record.value if record.outcome == "done" else None
        best = value is not None and (self._best is None or value > self._best)
        if best:
            self._best = value
        self.console.print(trial_line(record, best=best))
        turned_away = record.outcome == "over_limit" and record.value is None
        if self._outer is not None and record.outcome != "duplicate" and not turned_away:
            self._progress.advance(self._outer)

    def search_epoch(self, epoch: int, epochs: int, facts: Mapping[str, str]) -> None:
        """An epoch of a search by gradient is over; `epoch` counts from 1."""
        self._begin("epochs", epoch, epochs)
        self.console.print(epoch_line(epoch, epochs, facts, width=self.console.width))

    def training_started(self, label: str, number: int, total: int) -> None:
        """One of the final trainings begins; `number` are over."""
        self._training = f"training {number + 1:>2} of {total}"
        self._label = label
        self._begin("trainings", number, total)

    def training_ended(self, accuracy: float, seconds: float) -> None:
        """That training is over."""
        line = f"{self._training}  {accuracy:.4f}  {units.duration(seconds):>7}  {self._label}"
        self.console.print(Text(line), no_wrap=True, overflow="ellipsis")

    def _begin(self, noun: str, number: int, total: int) -> None:
        """Show the outer bar at `number` of `total`, and drop the epochs of the training before."""
        if self._inner is not None:
            self._progress.remove_task(self._inner)
            self._inner = None
        if self._outer is None:
            self._outer = self._progress.add_task(noun, total=total, tail="")
        self._progress.update(self._outer, description=noun, completed=number, total=total, tail=self._tail())

    def _tail(self) -> str:
        return "" if self._best is None else f"best {self._best:.4f}"
