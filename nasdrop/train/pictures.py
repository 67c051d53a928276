"""Picture files of a user: what their headers promise, and their pixels at one size.

Nothing is decoded before its size is checked, and only by decoders that run no other program. Shapes: (C, H, W).
"""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from nasdrop.errors import DataError
from nasdrop.train.lookup import reading
from nasdrop.train.readers import Bytes

ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})
"""Of files that are taken for pictures, in small letters."""

_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_CHANNELS = {"1": 1, "L": 1, "LA": 1, "I": 1, "I;16": 1, "I;16B": 1, "I;16L": 1, "RGBA": 4, "RGBa": 4}  # others: 3
_DEEP = ("I", "I;16", "I;16B", "I;16L")  # 16 bits a pixel
_ORIENTATION = 0x0112  # the tag that says how a camera was held
_SIDEWAYS = (5, 6, 7, 8)  # of its values, those that swap height and width


@dataclass(frozen=True)
class Header:
    """What the header of a picture promises.

    Attributes:
        height: in pixels, as the picture is to be looked at.
        width: likewise.
        channels: 1 (grey), 3 (RGB and what is turned into it) or 4 (RGB and opacity).
    """

    height: int
    width: int
    channels: int


@contextmanager
def opened(place: Path | str, file: Path | bytes, formats: Sequence[str] = _FORMATS) -> Iterator[Image.Image]:
    """A picture whose header is read and whose pixels are not.

    Args:
        place: begins an error's line.
        file: a path, or the content of a file.
        formats: Pillow's names of the decoders that may be used.

    Raises:
        DataError: it is of another kind, damaged, or larger than Pillow's limit against decompression bombs; raised
            for what goes wrong inside the context too.
    """
    with reading(place), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metadata that are damaged; the pixels need not be
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=tuple(formats)) as image:
                yield image
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise DataError(f"{place}: must have at most {Image.MAX_IMAGE_PIXELS} pixels, got more") from None
        except UnidentifiedImageError:
            raise DataError(f"{place}: is damaged, or no file of the kinds {', '.join(formats)}") from None


def read_header(path: Path) -> Header:
    """Size and channels of a picture file.

    Raises:
        DataError: as `opened`, or it holds floating-point numbers, which bytes cannot.
    """
    with opened(path, path) as image:
        return _header(path, image)


def read_picture(path: Path, shape: Sequence[int]) -> Bytes:
    """The pixels of a picture: scaled until it just covers the wanted size, then its middle.

    16-bit greys keep their upper 8 bits. The opacity of RGBA is dropped where fewer channels are wanted.

    Args:
        path: the file.
        shape: (C, H, W) with C of 1, 3 or 4.

    Returns:
        uint8, of that shape.

    Raises:
        DataError: as `read_header`.
    """
    channels, height, width = shape
    with opened(path, path) as image:
        _header(path, image)
        side = 2 * max(height, width)
        image.draft(_MODES[channels], (side, side))  # a far larger JPEG is decoded at a part of its size
        upright = ImageOps.exif_transpose(image) if _orientation(image) != 1 else image
        picture = _eight_bits(upright).convert(_MODES[channels])
        if picture.size != (width, height):
            picture = ImageOps.fit(picture, (width, height), Image.Resampling.BILINEAR)
        pixels = np.asarray(picture, dtype=np.uint8)
    return np.ascontiguousarray(np.atleast_3d(pixels).transpose(2, 0, 1))


def _header(path: Path, image: Image.Image) -> Header:
    if image.mode == "F":
        raise DataError(f"{path}: must hold whole numbers, got floating-point ones; put such data into an .npz file")
    width, height = image.size
    if _orientation(image) in _SIDEWAYS:
        height, width = width, height
    return Header(height, width, _CHANNELS.get(image.mode, 3))


def _orientation(image: Image.Image) -> int:
    """How the camera was held, 1 to 8; of the kinds of files alone whose header says it."""
    return int(image.getexif().get(_ORIENTATION, 1)) if image.format in ("JPEG", "MPO") else 1


def _eight_bits(image: Image.Image) -> Image.Image:
    """Upper 8 bits of 16-bit greys; palettes as the colours that they stand for."""
    if image.mode in _DEEP:
        deep = np.asarray(image).astype(np.int64).clip(0, 2**16 - 1)
        return Image.fromarray((deep >> 8).astype(np.uint8))
    return image.convert("RGB") if image.mode in ("P", "PA") else image
