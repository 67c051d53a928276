"""NumPy archives (.npz), read without pickle and with headers checked before memory is taken; a user's own data set."""

import math
import sys
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from nasdrop.errors import DataError, suggest
from nasdrop.train.lookup import reading, refuse_absurd
from nasdrop.train.readers import Labels, check_labels

Array = npt.NDArray[Any]

PARTS = ("train", "valid", "test")


def read_npz(path: Path, wanted: Collection[str] | None = None) -> dict[str, Array]:
    """The arrays of an .npz file, or those whose names are in `wanted`, in native byte order.

    Raises:
        DataError: no zip archive, truncated, a checksum fails, an array of Python objects (a pickle, never loaded),
            or a header that promises other bytes than the archive holds.
    """
    with reading(path), zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        return {
            name: _read_member(path, archive, members[name]) for name in members if wanted is None or name in wanted
        }


def read_array(path: Path) -> Array:
    """The array of an .npy file; see `read_npz`."""
    with reading(path):
        return _read(str(path), lambda: path.open("rb"), path.stat().st_size)


def _read_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    refuse_absurd(path, info.file_size, info.compress_size)
    place = f"{path}[{info.filename.removesuffix('.npy')}]"
    return _read(place, lambda: archive.open(info), info.file_size)


def _read(place: str, opening: Callable[[], IO[bytes]], size: int) -> Array:
    """One array of so many bytes, header included, after the header was compared with the bytes that are there."""
    with opening() as stream:
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        version = np.lib.format.read_magic(stream)
        if version not in readers:
            raise DataError(f"{place}: must be of .npy version 1.0 or 2.0, got {version}")
        shape, _, dtype = readers[version](stream)
        if dtype.hasobject:
            raise DataError(f"{place}: must hold numbers or text, got Python objects, which are never unpickled")
        promised = math.prod(shape) * dtype.itemsize
        if promised != size - stream.tell():
            raise DataError(f"{place}: must hold {promised} bytes for its shape {shape}, got {size - stream.tell()}")
    with opening() as stream:
        array = np.lib.format.read_array(stream, allow_pickle=False)
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")).reshape(shape)
    if array.dtype.kind == "U" and (np.frombuffer(array.tobytes(), np.uint32) > sys.maxunicode).any():
        raise DataError(f"{place}: must hold text, got characters that there are not")
    return array


class UserArchive:
    """A user's .npz: pixels, labels, the part that each sample belongs to, class names.

    Two forms are read. Either `x` (N, C, L), (N, C, H, W) or (N, C, D, H, W), `y` (N,) of whole numbers from 0 and,
    optionally, `split` (N,) of the words train, valid, test or the numbers 0, 1, 2; or `x_train`, `y_train` and
    optionally `x_valid`, `y_valid`, `x_test`, `y_test`. `classes`, a list of names, may stand beside either form.

    Attributes:
        pixels: uint8 as it is; every other number as float32.
        labels: (N,), each in 0 .. len(classes) - 1.
        parts: (N,), indices into PARTS.
        classes: the names, or "0", "1", ...
    """

    def __init__(self, path: Path) -> None:
        pairs = [f"{axis}_{part}" for axis in "xy" for part in PARTS]
        arrays = read_npz(path, {"x", "y", "split", "classes", *pairs})
        if "x" not in arrays and "x_train" in arrays:
            arrays = _joined(path, arrays)
        missing = [name for name in ("x", "y") if name not in arrays]
        if missing:
            raise DataError(
                f"{path}: must hold the arrays x and y, or x_train and y_train; missing: {', '.join(missing)}"
            )
        self.pixels = _pixels(f"{path}[x]", arrays["x"])
        count = len(self.pixels)
        labels = _whole_numbers(f"{path}[y]", arrays["y"], count)
        self.parts = _parts(f"{path}[split]", arrays.get("split", np.zeros(count, dtype=np.int64)), count)
        self.classes = _class_names(path, arrays, labels)
        self.labels = check_labels(f"{path}[y]", labels, len(self.classes))


def _joined(path: Path, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The form x_train, y_train, ... turned into x, y, split."""
    present = [part for part in PARTS if f"x_{part}" in arrays]
    for part in present:
        if f"y_{part}" not in arrays:
            raise DataError(f"{path}: x_{part} needs its labels, missing: y_{part}")
    xs = [_pixels(f"{path}[x_{part}]", arrays[f"x_{part}"]) for part in present]
    shapes = {x.shape[1:] for x in xs}
    if len(shapes) > 1 or len({x.dtype for x in xs}) > 1:
        got = ", ".join(f"x_{part} {x.shape} {x.dtype}" for part, x in zip(present, xs, strict=True))
        raise DataError(f"{path}: all parts must be of one shape and type, got {got}")
    ys = [_whole_numbers(f"{path}[y_{part}]", arrays[f"y_{part}"], len(x)) for part, x in zip(present, xs, strict=True)]
    codes = [np.full(len(x), PARTS.index(part)) for part, x in zip(present, xs, strict=True)]
    joined = {"x": np.concatenate(xs), "y": np.concatenate(ys), "split": np.concatenate(codes)}
    return joined | {name: arrays[name] for name in ("classes",) if name in arrays}


def _pixels(place: str, x: Array) -> Array:
    """Pixels as uint8 or finite float32, of 3 to 5 axes."""
    if x.ndim not in (3, 4, 5) or 0 in x.shape:
        raise DataError(f"{place}: must have the axes (N, C, L), (N, C, H, W) or (N, C, D, H, W), got shape {x.shape}")
    if x.ndim > 3 and x.shape[-1] in (1, 3, 4) and x.shape[1] == x.shape[2] > 4:
        raise DataError(f"{place}: channels must be axis 1, got shape {x.shape} with channels last")
    if x.dtype == np.uint8:
        return x
    if x.dtype.kind not in "iuf":
        raise DataError(f"{place}: must be numbers (uint8 or float), got {x.dtype}")
    with np.errstate(over="ignore"):
        converted = x.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(converted))
    if bad.size:
        where = tuple(int(i) for i in np.unravel_index(bad[0], x.shape))
        raise DataError(f"{place}: must be finite in float32, got {x[where]} at index {where}")
    return converted


def _whole_numbers(place: str, y: Array, count: int) -> Labels:
    """Labels as int64, one a sample, none negative."""
    if y.shape != (count,):
        raise DataError(f"{place}: must have one label a sample, shape ({count},), got shape {y.shape}")
    if y.dtype.kind not in "iu":
        raise DataError(f"{place}: must be whole numbers, got {y.dtype}")
    return check_labels(place, y, np.iinfo(np.int64).max)


def _parts(place: str, split: Array, count: int) -> Labels:
    """Index into PARTS of each sample, from the words or their numbers."""
    if split.shape != (count,):
        raise DataError(f"{place}: must have one entry a sample, shape ({count},), got shape {split.shape}")
    if split.dtype.kind in "iu":
        return check_labels(place, split, len(PARTS))
    if split.dtype.kind not in "US":
        raise DataError(f"{place}: must be the words {', '.join(PARTS)} or the numbers 0, 1, 2, got {split.dtype}")
    words = split.astype(np.str_)
    for word in np.unique(words):
        if word not in PARTS:
            raise DataError(f"{place}: must be one of {', '.join(PARTS)}, got {str(word)!r}; {suggest(word, PARTS)}")
    return np.select([words == part for part in PARTS], range(len(PARTS))).astype(np.int64)


def _class_names(path: Path, arrays: Mapping[str, Array], labels: Labels) -> tuple[str, ...]:
    """The archive's own class names; without them every label 0 .. K-1 must occur, or K is a guess."""
    if "classes" in arrays:
        classes = arrays["classes"]
        if classes.ndim != 1 or classes.dtype.kind not in "US":
            raise DataError(f"{path}[classes]: must be a list of names, got {classes.dtype} of shape {classes.shape}")
        return tuple(str(name) for name in classes.astype(np.str_))
    found = np.unique(labels)
    if found[-1] != len(found) - 1:
        raise DataError(
            f"{path}[y]: labels must be 0..K-1 without gaps where no `classes` names them, "
            f"got {len(found)} different ones from {found[0]} to {found[-1]}"
        )
    return tuple(str(index) for index in range(len(found)))
