"""The study's journal file: Optuna's, one JSON object a line.

A process killed in the middle of a write leaves a torn last line, after which Optuna never loads the file again.
That line is cut off, under Optuna's own lock, with the original kept beside it; damage anywhere else is an error.
"""

import json
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from nasdrop.errors import RunFolderError
from nasdrop.files import replacing


def open_journal(path: Path) -> JournalStorage:
    """The study storage in a journal file.

    Raises:
        RunFolderError: the file cannot be read as a journal.
    """
    try:
        return JournalStorage(JournalFileBackend(str(path)))
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError, OSError) as error:
        raise RunFolderError(f"{path}: damaged: Optuna cannot replay it: {error!r}") from None


def repair(path: Path) -> str | None:
    """Cut a torn last line off a journal; the line to tell the user, or None if all was well.

    The caller holds the run folder, so a lock that is still there belongs to a process that died.

    Raises:
        RunFolderError: a line other than the last is damaged; the file is left as it is.
    """
    if not path.exists():
        return None
    lock = JournalFileSymlinkLock(str(path))
    Path(f"{path}.lock").unlink(missing_ok=True)
    lock.acquire()
    try:
        content = path.read_bytes()
        whole, torn = _split(content, path)
        if not torn:
            return None
        original = _free_name(path)
        original.write_bytes(content)
        with replacing(path) as temporary:
            temporary.write_bytes(whole)
        return (
            f"{path}: the last line was torn ({len(torn)} bytes, an interrupted write) and has been cut off; "
            f"the original is {original.name}"
        )
    finally:
        lock.release()


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
    except ValueError:
        return False


def _free_name(path: Path) -> Path:
    number = 1
    while (candidate := path.with_name(f"{path.name}.torn{number}")).exists():
        number += 1
    return candidate
