"""One training's folder of TensorBoard events: numbers, texts, pictures, settings, and the layout of its charts."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from PIL import Image

from nasdrop.errors import RunError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

# Charts of TensorBoard's custom scalars: name of the group -> name of the chart -> kind and patterns of tags.
Layout = Mapping[str, Mapping[str, Sequence[Any]]]
Setting = str | int | float | bool
Method = TypeVar("Method", bound=Callable[..., None])


def _told(method: Method) -> Method:
    """A method of Events whose OSError (a full disk; from the writer's thread, at the next call) names the folder."""

    @wraps(method)
    def telling(self: "Events", *args: Any, **kwargs: Any) -> None:
        try:
            method(self, *args, **kwargs)
        except OSError as error:
            raise RunError(f"{self.folder}: cannot be written: {error.strerror or error}") from error

    return cast(Method, telling)


class Events:
    """Writes one folder of events; a folder has one writer at a time.

    Args:
        folder: where the event files go.

    Raises:
        RunError: the folder cannot be written; every method may.
    """

    @_told
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer = _open_writer(folder)
        self._end: Any = None

    @_told
    def scalars(self, values: Mapping[str, float], step: int, at: float | None = None) -> None:
        """Write numbers of one step; `at`: when they were so, in seconds since 1970, by default now."""
        for tag, value in values.items():
            self._writer.add_scalar(tag, value, step, walltime=at)

    @_told
    def text(self, tag: str, text: str, step: int = 0) -> None:
        """Write a text, which is shown as Markdown."""
        self._writer.add_text(tag, text, step)

    @_told
    def image(self, tag: str, png: bytes, step: int = 0) -> None:
        """Write a picture."""
        with Image.open(BytesIO(png)) as image:
            self._writer.add_image(tag, np.asarray(image.convert("RGB")), step, dataformats="HWC")

    @_told
    def layout(self, charts: Layout) -> None:
        """Say once how the custom scalars arrange the tags."""
        self._writer.add_custom_scalars({group: dict(chart) for group, chart in charts.items()})

    @_told
    def hparams(self, settings: Mapping[str, Setting], metrics: Sequence[str]) -> None:
        """Say once what this training was made with, and which of its numbers the table of settings shows.

        Args:
            settings: by the names that the experiment file has.
            metrics: tags of numbers that are written anyway; the table shows their latest values.
        """
        from torch.utils.tensorboard.summary import hparams

        experiment, start, self._end = hparams(dict(settings), dict.fromkeys(metrics, 0.0))  # type: ignore[no-untyped-call]
        self._add(experiment)
        self._add(start)

    @_told
    def close(self) -> None:
        """Write out what the writer's thread still holds."""
        if self._end is not None:
            self._add(self._end)
        self._writer.close()

    def _add(self, summary: Any) -> None:
        files: Any = self._writer.file_writer
        files.add_summary(summary)


def _open_writer(folder: Path) -> "SummaryWriter":
    """TensorBoard's writer, imported when the first one is opened: the import takes more than a second."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from torch.utils.tensorboard import SummaryWriter
    return SummaryWriter(log_dir=str(folder))
