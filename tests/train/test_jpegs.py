import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nasdrop.errors import DataError
from nasdrop.train.jpegs import read_jpegs

PATH = Path("pack.npz")


def jpeg(value, side=32):
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (value, 255 - value, 7)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def pack(files, labels=None):
    offsets = np.cumsum([0, *map(len, files)])
    labels = np.arange(len(files), dtype=np.uint8) if labels is None else labels
    stream = np.frombuffer(b"".join(files), dtype=np.uint8)
    return {"train_jpeg": stream, "train_offsets": offsets, "train_labels": labels}


def refused(arrays):
    with pytest.raises(DataError) as caught:
        read_jpegs(PATH, "train", arrays)
    (line,) = caught.value.lines
    assert line.startswith("pack.npz")
    assert "\n" not in line
    return line


def test_images_are_decoded_channels_first():
    pixels, labels = read_jpegs(PATH, "train", pack([jpeg(0), jpeg(200)]))
    assert pixels.shape == (2, 3, 32, 32)
    assert labels.tolist() == [0, 1]
    assert np.abs(pixels[1].mean((1, 2)) - [200, 55, 7]).max() < 3


def test_an_image_cut_anywhere_is_refused():
    whole = jpeg(90)
    for length in range(1, len(whole) - 2, 7):
        line = refused(pack([jpeg(1), whole[:length]]))
        assert "train_jpeg] image 1: " in line and "damaged" in line


def test_other_sizes_and_kinds_are_refused_before_they_are_decoded():
    assert "must be 32 x 32 pixels, got 64 x 64" in refused(pack([jpeg(1, side=64)]))
    huge = bytearray(jpeg(1))
    start = huge.index(b"\xff\xc0")
    huge[start + 5 : start + 9] = b"\xff\x00\xff\x00"  # height and width 65,280: a decompression bomb
    refused(pack([bytes(huge)]))
    huge[start + 5 : start + 9] = b"\x27\x10\x27\x10"  # 10,000 x 10,000: Pillow only warns
    refused(pack([bytes(huge)]))
    png = io.BytesIO()
    Image.new("RGB", (32, 32)).save(png, "PNG")
    assert "is damaged, or no file of the kinds JPEG" in refused(pack([png.getvalue()]))


def test_arrays_that_do_not_fit_each_other_are_refused():
    good = pack([jpeg(0), jpeg(1)])
    offsets = good["train_offsets"]
    assert "missing: train_labels" in refused({k: v for k, v in good.items() if k != "train_labels"})
    wrong = [
        {"train_jpeg": good["train_jpeg"].astype(np.int16)},
        {"train_offsets": offsets.astype(float)},
        {"train_offsets": offsets[:-1]},
        {"train_labels": np.array([0.0, 1.0])},
    ]
    for change in wrong:
        assert "must hold bytes, N + 1 whole offsets and N whole labels" in refused(good | change)
    for bad in (offsets + 1, offsets[::-1].copy(), offsets * [1, 0, 1], offsets - [0, 0, 1]):
        assert "must rise from 0" in refused(good | {"train_offsets": bad})
