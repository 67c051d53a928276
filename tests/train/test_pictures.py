import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from nasdrop.errors import DataError
from nasdrop.train.pictures import Header, read_header, read_picture

GRADIENT = np.arange(20 * 30, dtype=np.int64).reshape(20, 30)


def refused(path, shape=(3, 8, 8)):
    with pytest.raises(DataError) as caught:
        read_picture(path, shape)
    (line,) = caught.value.lines
    assert line.startswith(str(path)) and "\n" not in line and len(line) < 400
    return line


def saved(path, mode, size=(30, 20), colour=None, **options):
    Image.new(mode, size, colour).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("mode", "ending", "channels"),
    [("1", "png", 1), ("L", "png", 1), ("LA", "png", 1), ("P", "png", 3), ("RGB", "png", 3), ("RGBA", "png", 4),
     ("I;16", "png", 1), ("CMYK", "jpg", 3), ("L", "jpg", 1), ("RGB", "bmp", 3), ("L", "pgm", 1), ("RGB", "tif", 3),
     ("RGB", "webp", 3), ("P", "gif", 3)],
)  # fmt: skip
def test_every_kind_has_its_channels_and_its_shape(tmp_path, mode, ending, channels):
    path = saved(tmp_path / f"x.{ending}", mode)
    assert read_header(path) == Header(20, 30, channels)
    for wanted in (1, 3, 4):
        pixels = read_picture(path, (wanted, 20, 30))
        assert (pixels.shape, pixels.dtype) == ((wanted, 20, 30), np.uint8)
        assert pixels.flags.c_contiguous


def test_pixels_that_need_no_scaling_are_the_files_own(tmp_path):
    grey = (GRADIENT % 256).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "x.png")
    assert np.array_equal(read_picture(tmp_path / "x.png", (1, 20, 30))[0], grey)
    assert np.array_equal(read_picture(tmp_path / "x.png", (3, 20, 30)), np.stack([grey] * 3))
    colours = np.stack([grey, grey[::-1], 255 - grey], axis=-1)
    Image.fromarray(colours).save(tmp_path / "y.png")
    assert np.array_equal(read_picture(tmp_path / "y.png", (3, 20, 30)), colours.transpose(2, 0, 1))


def test_sixteen_bits_keep_their_upper_eight(tmp_path):
    deep = (GRADIENT * 100).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "x.png")
    assert np.array_equal(read_picture(tmp_path / "x.png", (1, 20, 30))[0], deep >> 8)


def test_a_picture_is_scaled_until_it_covers_the_square_and_its_middle_is_taken(tmp_path):
    stripes = np.zeros((20, 60), np.uint8)
    stripes[:, 20:40] = 200
    Image.fromarray(stripes).save(tmp_path / "wide.png")
    Image.fromarray(stripes.T.copy()).save(tmp_path / "high.png")
    for name in ("wide", "high"):
        assert (read_picture(tmp_path / f"{name}.png", (1, 20, 20)) == 200).all()
        small = read_picture(tmp_path / f"{name}.png", (1, 10, 10))
        assert (small[0, 1:-1, 1:-1] == 200).all() and small.min() >= 150  # the border mixes in what lies beyond it


def test_a_picture_that_the_camera_took_sideways_is_turned(tmp_path):
    colours = np.zeros((16, 32, 3), np.uint8)
    colours[:, :16] = (250, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: left comes to the top
    Image.fromarray(colours).save(tmp_path / "x.jpg", exif=exif, quality=95)
    assert read_header(tmp_path / "x.jpg") == Header(32, 16, 3)
    pixels = read_picture(tmp_path / "x.jpg", (3, 32, 16))
    assert pixels[0, :12].min() > 200 > 60 > pixels[0, 20:].max()


def test_a_large_jpeg_is_scaled_as_if_it_were_decoded_whole(tmp_path):
    smooth = np.add.outer(np.arange(600), np.arange(800)) * 255 // 1400
    Image.fromarray(smooth.astype(np.uint8)).convert("RGB").save(tmp_path / "x.jpg", quality=95)
    Image.open(tmp_path / "x.jpg").save(tmp_path / "x.png")
    drafted, whole = (read_picture(tmp_path / f"x.{end}", (3, 32, 32)).astype(int) for end in ("jpg", "png"))
    assert np.abs(drafted - whole).max() <= 3


def png(width, height):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_000, 65_000, 2**31 - 1])
def test_absurd_sizes_are_refused_before_memory_is_taken(tmp_path, side):
    (tmp_path / "x.png").write_bytes(png(side, side))
    assert refused(tmp_path / "x.png").endswith("pixels, got more")
    with pytest.raises(DataError):
        read_header(tmp_path / "x.png")


@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "tif", "webp", "bmp"])
def test_a_picture_cut_anywhere_is_one_line(tmp_path, ending):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, {"jpg": "JPEG", "tif": "TIFF"}.get(ending, ending.upper()))
    whole, path = buffer.getvalue(), tmp_path / f"x.{ending}"
    for length in range(0, len(whole) * 3 // 4, max(1, len(whole) // 25)):
        path.write_bytes(whole[:length])
        refused(path)


def test_what_is_no_picture_is_one_line(tmp_path):
    path = tmp_path / "x.png"
    for content in (b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\0" * 1000):
        path.write_bytes(content)
        assert "is damaged, or no file of the kinds JPEG" in refused(path)
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "x.tif")
    assert "floating-point" in refused(tmp_path / "x.tif")
    assert "No such file" in refused(tmp_path / "missing.png")
