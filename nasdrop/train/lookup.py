"""Where data files are looked for, and how a missing or damaged one is reported: one line, always a DataError."""

import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nasdrop.errors import DataError
from nasdrop.settings import DataSettings

ENVIRONMENT = "NASDROP_DATA"

# What the readers of NumPy, zipfile, gzip and Pillow raise on bytes that are not what they should be.
_DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    SyntaxError,
    IndexError,
    OverflowError,
    MemoryError,
    RuntimeError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)

# Deflate turns one byte into at most 1,032: a header that promises more is a lie, found before memory is taken.
_LARGEST_INFLATION = 1032


def data_root(settings: DataSettings) -> Path:
    """The folder of data files: `data.root`, else the environment's NASDROP_DATA, else ./data."""
    return Path(settings.root or os.environ.get(ENVIRONMENT) or "data").expanduser()


def find_file(names: Sequence[str], folders: Sequence[Path], advice: str) -> Path:
    """The first of `names` that exists in the first of `folders` that has one.

    Args:
        names: file names for the same content, the preferred one first.
        folders: where to look, in this order.
        advice: how to get the file, as the end of "get it: ...".

    Raises:
        DataError: none exists; the line names file, places and advice.
    """
    for folder in folders:
        for name in names:
            path = folder / name
            if path.is_file():
                return path
    places = ", ".join(str(folder) for folder in folders)
    raise DataError(
        f"{' or '.join(names)}: not found in {places}; get it: {advice}; data.root or {ENVIRONMENT} names the folder"
    )


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Turn what goes wrong while `path`, or another place of that name, is read into one DataError line."""
    try:
        yield
    except DataError:
        raise
    except _DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: cannot be read, it is damaged or of another kind ({reason[:200]})") from error


def refuse_absurd(path: Path, promised: int, stored: int) -> None:
    """Refuse a compressed part that promises more bytes than it can hold, or than the machine has memory for.

    Args:
        path: the file, for the message.
        promised: bytes that its header promises.
        stored: bytes that the compressed part takes in the file.

    Raises:
        DataError: `promised` is out of reach.
    """
    most = _LARGEST_INFLATION * stored + 1024
    if promised > most:
        raise DataError(f"{path}: its header promises {promised} bytes, more than {stored} compressed bytes can hold")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if promised > memory:
        raise DataError(f"{path}: must fit into memory ({memory} bytes), got {promised} bytes")
