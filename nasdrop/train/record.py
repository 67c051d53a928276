"""Numbers of a run over time, as JSON lines for programs and as TensorBoard events for eyes."""

import fcntl
import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nasdrop.errors import RunError, RunFolderError
from nasdrop.train.events import Events, Layout, Setting

__all__ = ["METRICS", "Layout", "Recorder", "read_metrics"]

METRICS = "metrics.jsonl"


class Recorder:
    """Writes what a training measures. Many processes may share a metrics file; a folder of events has one writer.

    Args:
        events: folder of TensorBoard's event files.
        metrics: the file of JSON lines; by default `metrics.jsonl` in the folder of events.
        run: names this training in the metrics file.
        tensorboard: false writes JSON lines only.

    Raises:
        RunError: the folder or the file cannot be written.
    """

    def __init__(self, events: Path, *, metrics: Path | None = None, run: str = "", tensorboard: bool = True) -> None:
        self.path = metrics or events / METRICS
        self.run = run
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab+", buffering=0)
            self._drop_torn_line()
            self._events = Events(events) if tensorboard else None
        except OSError as error:
            raise RunError(f"{error.filename or self.path}: cannot be written: {error.strerror}") from error

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Record one number."""
        self.scalars({tag: value}, step)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Record numbers of one step."""
        self._append({tag: value if math.isfinite(value) else None for tag, value in values.items()}, step)
        if self._events:
            self._events.scalars(values, step)

    def text(self, tag: str, text: str, step: int = 0) -> None:
        """Record a text; TensorBoard shows it as Markdown."""
        self._append({tag: text}, step)
        if self._events:
            self._events.text(tag, text, step)

    def image(self, tag: str, png: bytes, step: int = 0) -> None:
        """Show a picture in TensorBoard; the numbers it is drawn from are what the JSON lines keep."""
        if self._events:
            self._events.image(tag, png, step)

    def layout(self, charts: Layout) -> None:
        """Say once how TensorBoard's custom scalars arrange the tags."""
        if self._events:
            self._events.layout(charts)

    def hparams(self, settings: Mapping[str, Setting], metrics: Sequence[str]) -> None:
        """Say once what this training was made with, for TensorBoard's table of settings; see `Events.hparams`."""
        if self._events:
            self._events.hparams(settings, metrics)

    def close(self) -> None:
        """Write out what TensorBoard's thread still holds."""
        self._file.close()
        if self._events:
            self._events.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, values: Mapping[str, float | str | None], step: int) -> None:
        """Append one line under the lock; a line that does not fit on the disk is taken back."""
        record = {"run": self.run, "step": step, "time": round(time.time(), 3), **values}
        with self._locked() as size:
            try:
                content = f"{json.dumps(record)}\n".encode()
                while content:
                    content = content[self._file.write(content) :]
            except OSError as error:
                self._file.truncate(size)
                raise RunError(f"{self.path}: cannot be written: {error.strerror}") from error

    def _drop_torn_line(self) -> None:
        """Cut off a last line without an end: its writer died, and the next line must not be glued to it."""
        with self._locked() as size:
            if size == 0 or os.pread(self._file.fileno(), 1, size - 1) == b"\n":
                return
            content = os.pread(self._file.fileno(), size, 0)
            self._file.truncate(content.rfind(b"\n") + 1)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Hold the metrics file against other processes; gives its size."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield self._file.seek(0, os.SEEK_END)
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Every record of a metrics file: `run`, `step`, `time` (seconds since 1970) and values by tag.

    There is one record a run and step, at the place of its first line. A value recorded twice, as after a kill between
    record and checkpoint, counts once, the later one; NaN stands where no finite number was. A last line that was torn
    by a kill is left out.

    Raises:
        RunFolderError: the file is missing, or a line other than a torn last one is damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read: {error.strerror}") from None
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            record: dict[str, Any] = json.loads(line)
            record = {tag: math.nan if value is None else value for tag, value in record.items()}
            found.setdefault((record["run"], record["step"]), {}).update(record)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise RunFolderError(f"{path}: line {number} is damaged: {line[:60]!r}") from None
    return list(found.values())
