"""Images kept as JPEG files inside a NumPy archive, decoded once into bytes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nasdrop.errors import DataError
from nasdrop.train.archives import Array
from nasdrop.train.pictures import opened
from nasdrop.train.readers import Bytes


def read_jpegs(path: Path, part: str, arrays: Mapping[str, Array], side: int = 32) -> tuple[Bytes, Array]:
    """Decode `<part>_jpeg` (all files end to end) by `<part>_offsets` (N + 1) into (N, 3, side, side), and the labels.

    Raises:
        DataError: an array is missing or of another type, the offsets do not fit, an image is damaged or too large.
    """
    names = [f"{part}_{kind}" for kind in ("jpeg", "offsets", "labels")]
    missing = [name for name in names if name not in arrays]
    if missing:
        raise DataError(f"{path}: must hold the arrays {', '.join(names)}; missing: {', '.join(missing)}")
    stream, offsets, labels = (arrays[name] for name in names)
    kinds = (stream.dtype == np.uint8, offsets.dtype.kind in "iu", labels.dtype.kind in "iu")
    if not all(kinds) or stream.ndim != 1 or labels.ndim != 1 or offsets.shape != (len(labels) + 1,):
        got = ", ".join(f"{name} {arrays[name].dtype} {arrays[name].shape}" for name in names)
        raise DataError(f"{path}: must hold bytes, N + 1 whole offsets and N whole labels, got {got}")
    ends = offsets.astype(np.int64)
    if len(labels) == 0 or ends[0] != 0 or ends[-1] != len(stream) or (np.diff(ends) <= 0).any():
        raise DataError(f"{path}[{part}_offsets]: must rise from 0 to {len(stream)}, the length of {part}_jpeg")
    content = stream.tobytes()
    pixels = np.empty((len(labels), 3, side, side), dtype=np.uint8)
    for index, (start, end) in enumerate(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)):
        pixels[index] = _decode(f"{path}[{part}_jpeg] image {index}", content[start:end], side)
    return pixels, labels


def _decode(place: str, content: bytes, side: int) -> Bytes:
    """One JPEG as (3, side, side); its size is checked before a pixel is decoded."""
    with opened(place, content, ["JPEG"]) as image:
        if image.size != (side, side):
            raise DataError(f"{place}: must be {side} x {side} pixels, got {image.size[0]} x {image.size[1]}")
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
