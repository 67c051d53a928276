"""The study's journal file: Optuna's, one JSON object a line, written by any number of processes of one host.

The kernel drops the lock of a writer that dies, and the next writer cuts off what that one left unfinished, so a kill
at any moment neither blocks nor damages the study. What a kill cannot take, a power failure can: a line is forced to
the disk when a trial is queued or told, and with it all lines before.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from nasdrop.errors import RunError, RunFolderError


def open_journal(path: Path) -> JournalStorage:
    """The study storage in a journal file.

    Raises:
        RunFolderError: the file cannot be read as a journal.
    """
    try:
        return JournalStorage(Journal(path))
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError, RecursionError, OSError) as error:
        raise RunFolderError(f"{path}: damaged: Optuna cannot replay it: {error!r}") from None


class Journal(JournalFileBackend):
    """Optuna's journal file with a lock that dies with its holder, and one `fsync` a trial instead of one a line.

    Args:
        path: the file; made if missing.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records, all or none.

        Raises:
            RunError: the file cannot be written.
        """
        content = b"".join(json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in logs)
        try:
            with _locked(self.path) as file:
                _append(file, content)
                if any("state" in log for log in logs):
                    os.fsync(file.fileno())
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written: {error.strerror or error}") from error


def repair(path: Path) -> str | None:
    """Cut a torn last line off a journal; the line to tell the user, or None if all was well.

    Raises:
        RunFolderError: a line other than the last is damaged; the file is left as it is.
    """
    if not path.exists():
        return None
    with _locked(path) as file:
        content = path.read_bytes()
        whole, torn = _split(content, path)
        if not torn:
            return None
        original = _free_name(path)
        original.write_bytes(content)
        file.truncate(len(whole))
        os.fsync(file.fileno())
    return (
        f"{path}: the last line was torn ({len(torn)} bytes, an interrupted write) and has been cut off; "
        f"the original is {original.name}"
    )


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """Hold the journal against other writers; readers need no lock, they leave an unfinished line alone."""
    with path.open("ab+", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _append(file: BinaryIO, content: bytes) -> None:
    """Write to the end, after cutting off what a writer that died has left without an end."""
    size = os.fstat(file.fileno()).st_size
    if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
        size = os.pread(file.fileno(), size, 0).rfind(b"\n") + 1
        file.truncate(size)
    try:
        _write(file, content)
    except OSError:
        file.truncate(size)
        raise


def _write(file: BinaryIO, content: bytes) -> None:
    while content:
        content = content[file.write(content) :]


def _split(content: bytes, path: Path) -> tuple[bytes, bytes]:
    end = 0
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        if not _is_record(line):
            if end + len(line) < len(content):
                raise RunFolderError(f"{path}: line {number}: damaged: not a JSON object; restore it from a copy")
            break
        end += len(line)
    return content[:end], content[end:]


def _is_record(line: bytes) -> bool:
    try:
        return line.endswith(b"\n") and isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _free_name(path: Path) -> Path:
    number = 1
    while (candidate := path.with_name(f"{path.name}.torn{number}")).exists():
        number += 1
    return candidate
