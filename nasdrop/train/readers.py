"""Binary image files: IDX (MNIST and its kin, raw or gzip) and the CIFAR binary version.

Every byte is accounted for: a file that is longer or shorter than its header or its format promises is refused.
"""

import gzip
import math
import struct
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from nasdrop.errors import DataError
from nasdrop.train.lookup import reading, refuse_absurd

Bytes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

_IDX_UINT8 = 0x08
_GZIP_MAGIC = b"\x1f\x8b"
_CIFAR_SHAPE = (3, 32, 32)


def read_idx(path: Path, axes: int) -> Bytes:
    """The array of an IDX file of unsigned bytes, plain or gzip-compressed (told by content, not by name).

    Args:
        path: the file.
        axes: how many axes the array must have: 3 for images, 1 for labels.

    Raises:
        DataError: wrong magic number, wrong type or rank, truncated, longer than promised, or a gzip check failed.
    """
    with reading(path), path.open("rb") as raw:
        packed = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        stream = cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if packed else raw
        shape, header_size = _idx_header(path, stream, axes)
        size = math.prod(shape)
        stored = path.stat().st_size
        if packed:
            refuse_absurd(path, size, stored)
            content = stream.read(size + 1)
            found = f"{len(content)}{' or more' if len(content) > size else ''}"
        else:
            found = str(stored - header_size)
            content = stream.read() if stored - header_size == size else b""
        if len(content) != size:
            raise DataError(f"{path}: must hold {size} bytes for its shape {shape}, got {found}")
    return np.frombuffer(bytearray(content), dtype=np.uint8).reshape(shape)


def _idx_header(path: Path, stream: BinaryIO, axes: int) -> tuple[tuple[int, ...], int]:
    """Shape and length in bytes of an IDX header."""
    magic = stream.read(4)
    expected = bytes([0, 0, _IDX_UINT8, axes])
    if magic != expected:
        raise DataError(
            f"{path}: must start with the IDX magic number {expected.hex()} "
            f"(unsigned bytes, {axes} axes), got {magic.hex() or 'an empty file'}"
        )
    shape = struct.unpack(f">{axes}I", stream.read(4 * axes))
    return shape, 4 + 4 * axes


def read_cifar(path: Path, images: int, label_bytes: int = 1) -> tuple[Bytes, Labels]:
    """Pixels (N, 3, 32, 32) and labels (N,) of one file of the CIFAR binary version.

    A record is `label_bytes` labels, the last of them the one that counts (CIFAR-100: coarse, then fine), and 3,072
    bytes of pixels, channel by channel.

    Args:
        path: the file.
        images: how many records the file must hold; a cut between two records would go unseen otherwise.
        label_bytes: labels a record: 1 for CIFAR-10, 2 for CIFAR-100.

    Raises:
        DataError: the file's size is not that of `images` records.
    """
    record = label_bytes + math.prod(_CIFAR_SHAPE)
    with reading(path):
        size = path.stat().st_size
        if size != images * record:
            raise DataError(
                f"{path}: must hold {images} records of {record} bytes ({images * record}), got {size} bytes"
            )
        records = np.fromfile(path, dtype=np.uint8).reshape(images, record)
    pixels = np.ascontiguousarray(records[:, label_bytes:]).reshape(images, *_CIFAR_SHAPE)
    return pixels, records[:, label_bytes - 1].astype(np.int64)


def read_names(path: Path, count: int) -> tuple[str, ...]:
    """Class names, one a line, of a data set's text file; the numbers 0, 1, ... where there is no such file.

    Raises:
        DataError: the file holds another number of names.
    """
    if not path.is_file():
        return tuple(str(index) for index in range(count))
    with reading(path):
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    if len(names) != count:
        raise DataError(f"{path}: must hold {count} class names, got {len(names)}")
    return names


def check_labels(place: str, labels: npt.NDArray[Any], num_classes: int) -> Labels:
    """The labels as int64, every one in 0 .. num_classes - 1.

    Raises:
        DataError: a label is out of range; the line names the first one and where it is.
    """
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if wrong.size:
        first = int(wrong[0])
        raise DataError(f"{place}: labels must lie in 0..{num_classes - 1}, got {labels[first]} at index {first}")
    return labels.astype(np.int64)
