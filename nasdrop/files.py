"""Writing a file whole or not at all, and telling one file from another."""

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

TEMPORARY_PREFIX = ".partial-"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary file in the folder of `path`; on a clean exit it takes the place of `path`, durably.

    A process that dies in between leaves the old file as it was, and at most a `.partial-` file beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = _temporary(path.parent)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


def _temporary(folder: Path) -> tuple[int, Path]:
    """A new file, and a handle that holds its lock: `sweep` leaves alone what somebody is writing."""
    while True:
        handle, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=folder)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:  # not swept away before it was locked
            return handle, Path(name)
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path) -> None:
    """Remove what writers that died have left behind; the kernel has dropped the locks on that."""
    for stray in folder.rglob(f"{TEMPORARY_PREFIX}*"):
        with suppress(OSError), stray.open("rb") as file:  # gone already, or locked by who writes it
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            stray.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def digest(content: bytes | str) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def is_folder(text: str) -> bool:
    """Whether a text names a folder; one that is too long for a name does not."""
    try:
        return Path(text).is_dir()
    except (OSError, ValueError):
        return False
