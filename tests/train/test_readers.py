import gzip
import struct

import numpy as np
import pytest

from nasdrop.errors import DataError
from nasdrop.train.readers import check_labels, read_cifar, read_idx, read_names

IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)


def idx(array, kind=8):
    return bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def refused(call, *arguments):
    with pytest.raises(DataError) as caught:
        call(*arguments)
    (line,) = caught.value.lines
    assert "\n" not in line
    return line


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["raw", "gzip"])
def test_idx_round_trip(tmp_path, pack):
    path = tmp_path / "images"
    path.write_bytes(pack(idx(IMAGES)))
    read = read_idx(path, 3)
    assert read.dtype == np.uint8
    assert np.array_equal(read, IMAGES)
    assert read.flags.writeable  # torch warns about arrays that are not


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["raw", "gzip"])
def test_idx_cut_anywhere_is_refused(tmp_path, pack):
    content = pack(idx(IMAGES))
    path = tmp_path / "images"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert str(path) in refused(read_idx, path, 3)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["raw", "gzip"])
def test_idx_with_more_than_it_promises_is_refused(tmp_path, pack):
    path = tmp_path / "images"
    path.write_bytes(pack(idx(IMAGES) + b"x"))
    assert "must hold 60 bytes for its shape (3, 4, 5), got 61" in refused(read_idx, path, 3)


def test_idx_of_another_type_rank_or_kind_is_refused(tmp_path):
    path = tmp_path / "file"
    for content in (idx(IMAGES, kind=0x0D), idx(IMAGES[0]), b"PK\x03\x04 a zip", b""):
        path.write_bytes(content)
        assert "magic number 00000803" in refused(read_idx, path, 3)


def test_a_flipped_bit_in_gzip_is_seen_by_its_checksum(tmp_path):
    path = tmp_path / "images.gz"
    content = bytearray(gzip.compress(idx(IMAGES)))
    content[-6] ^= 1  # in the CRC-32
    path.write_bytes(content)
    assert "CRC" in refused(read_idx, path, 3)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["raw", "gzip"])
def test_absurd_shapes_are_refused_before_memory_is_taken(tmp_path, pack):
    path = tmp_path / "images"
    path.write_bytes(pack(bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1) + b"x"))
    assert str((2**32 - 1) ** 3) in refused(read_idx, path, 3)


@pytest.mark.parametrize("label_bytes", [1, 2])
def test_cifar_records_hold_labels_then_channels(tmp_path, label_bytes):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32)).astype(np.uint8)
    labels = np.array([[9, 1], [8, 0], [7, 2], [6, 3]], dtype=np.uint8)[:, 2 - label_bytes :]
    path = tmp_path / "batch.bin"
    path.write_bytes(np.concatenate([labels, pixels.reshape(4, -1)], axis=1).tobytes())
    read, fine = read_cifar(path, 4, label_bytes)
    assert np.array_equal(read, pixels)
    assert fine.tolist() == [1, 0, 2, 3]  # the last label counts: the fine one of CIFAR-100


def test_cifar_cut_anywhere_is_refused_between_records_too(tmp_path):
    path = tmp_path / "batch.bin"
    for size in (0, 1, 3072, 3073, 2 * 3073, 3 * 3073 - 1, 3 * 3073 + 1, 4 * 3073):
        path.write_bytes(bytes(size))
        assert f"must hold 3 records of 3073 bytes (9219), got {size} bytes" in refused(read_cifar, path, 3)


def test_class_names_come_from_their_file_or_are_numbers(tmp_path):
    path = tmp_path / "names.txt"
    assert read_names(path, 3) == ("0", "1", "2")
    path.write_text("cat\ndog\n\n")
    assert read_names(path, 2) == ("cat", "dog")
    assert "must hold 3 class names, got 2" in refused(read_names, path, 3)
    path.write_bytes(b"\xff\xfe\xff")
    assert "cannot be read" in refused(read_names, path, 3)


def test_labels_out_of_range_are_named_with_their_place():
    assert check_labels("y", np.array([0, 2], dtype=np.uint8), 3).dtype == np.int64
    assert refused(check_labels, "y", np.array([0, 3, 4]), 3) == "y: labels must lie in 0..2, got 3 at index 1"
    assert "got -1 at index 0" in refused(check_labels, "y", np.array([-1]), 3)
