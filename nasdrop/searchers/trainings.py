"""The finished final trainings of a run, in its result file, to which several processes may add."""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from nasdrop.files import write_json
from nasdrop.run_folder import RunFolder

_FILE = 0  # the byte that stands for the result file; byte n + 1 stands for job n


class Trainings:
    """Results by key, each written down at once; use it in a `with` block.

    Who claims a job holds a byte of a lock file, which the kernel gives back when the process ends, however it ends.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._file = folder.result.with_name(f".{folder.result.name}.lock").open("ab")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def known(self) -> dict[str, Mapping[str, Any]]:
        """Every result so far.

        Raises:
            RunFolderError: the result file is damaged.
        """
        if not self.folder.result.exists():
            return {}
        trainings: dict[str, Mapping[str, Any]] = self.folder.read_json(self.folder.result).get("trainings", {})
        return trainings

    def add(self, key: str, result: Mapping[str, Any]) -> None:
        """Keep a result."""
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, _FILE)
        try:
            write_json(self.folder.result, {"trainings": self.known() | {key: result}})
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _FILE)

    @contextmanager
    def claimed(self, job: int) -> Iterator[bool]:
        """Whether job number `job` is this process's to do, until the end of the block."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, job + 1)
        except OSError:
            yield False
            return
        try:
            yield True
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, job + 1)
