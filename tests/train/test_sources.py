import gzip
import io
import struct

import numpy as np
import pytest
from PIL import Image

from nasdrop.errors import DataError
from nasdrop.settings import DataSettings
from nasdrop.train import sources
from nasdrop.train.sources import SOURCES, locate, read


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_fashion(folder, counts=(6, 4), label=None):
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in zip(("train", "t10k"), counts, strict=True):
        pixels = np.full((count, 28, 28), count, dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) if label is None else np.full(count, label, dtype=np.uint8)
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pixels)))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))


def write_sparse(path, record, count, last):
    """A file of zeros with one last record, without taking the disk space."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(record * count)
        file.seek(record * (count - 1))
        file.write(bytes(last))


def refused(**settings):
    with pytest.raises(DataError) as caught:
        read(DataSettings(**settings))
    (line,) = caught.value.lines
    assert "\n" not in line
    return line


def test_digits_are_the_real_ones():
    pixels, labels = read(DataSettings()).parts["train"]
    assert pixels.shape == (1797, 1, 8, 8)
    assert (pixels.dtype, pixels.max(), labels.dtype) == (np.uint8, 16, np.int64)
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert locate(DataSettings()) == "inside scikit-learn"


@pytest.mark.parametrize("inside", ["", "fashion-mnist"])
def test_fashion_mnist_lies_in_the_root_or_a_folder_of_it(tmp_path, inside):
    write_fashion(tmp_path / inside)
    settings = DataSettings(name="fashion_mnist", root=str(tmp_path))
    source = read(settings)
    assert source.parts["train"][0].shape == (6, 1, 28, 28)
    assert source.parts["test"][0].shape == (4, 1, 28, 28)
    assert source.parts["train"][1].tolist() == list(range(6))
    assert source.classes[9] == "boot"
    assert locate(settings) == str(tmp_path / inside)


def test_fashion_mnist_is_also_looked_for_where_debian_puts_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_FASHION_SYSTEM", tmp_path / "system")
    line = refused(name="fashion_mnist", root=str(tmp_path / "mine"))
    for part in ("train-images-idx3-ubyte.gz", "mine", "system", "apt-get install dataset-fashion-mnist"):
        assert part in line
    write_fashion(tmp_path / "system")
    assert locate(DataSettings(name="fashion_mnist", root=str(tmp_path / "mine"))) == str(tmp_path / "system")


def test_labels_of_fashion_mnist_must_fit_the_images(tmp_path):
    write_fashion(tmp_path, label=10)
    assert "labels must lie in 0..9, got 10 at index 0" in refused(name="fashion_mnist", root=str(tmp_path))
    write_fashion(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(3, np.uint8)))
    assert "a label for each image" in refused(name="fashion_mnist", root=str(tmp_path))


def test_cifar10_is_read_from_its_six_files(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    for number, name in enumerate(["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"]):
        write_sparse(folder / f"{name}.bin", 3073, 10_000, [number + 1, *[number] * 3072])
    settings = {"name": "cifar10", "root": str(tmp_path)}
    line = refused(**settings)
    assert all(part in line for part in ("test_batch.bin", str(folder), "cifar-10-binary.tar.gz"))
    write_sparse(folder / "test_batch.bin", 3073, 10_000, [9, *[255] * 3072])
    (folder / "batches.meta.txt").write_text("\n".join("abcdefghij"))
    source = read(DataSettings(**settings))
    pixels, labels = source.parts["train"]
    assert pixels.shape == (50_000, 3, 32, 32)
    assert labels[9_999::10_000].tolist() == [1, 2, 3, 4, 5]
    assert pixels[9_999::10_000, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert source.parts["test"][1][-1] == 9
    assert source.classes == tuple("abcdefghij")
    write_sparse(folder / "data_batch_3.bin", 3073, 9_999, [0])
    assert "data_batch_3.bin: must hold 10000 records" in refused(**settings)


def test_cifar100_uses_the_fine_labels(tmp_path):
    write_sparse(tmp_path / "cifar-100-binary" / "train.bin", 3074, 50_000, [19, 99])
    write_sparse(tmp_path / "cifar-100-binary" / "test.bin", 3074, 10_000, [3, 42])
    source = read(DataSettings(name="cifar100", root=str(tmp_path)))
    assert source.parts["train"][1][-1] == 99
    assert source.parts["test"][1][-1] == 42
    assert len(source.classes) == 100
    write_sparse(tmp_path / "cifar-100-binary" / "test.bin", 3074, 10_000, [3, 100])
    assert "labels must lie in 0..99, got 100 at index 9999" in refused(name="cifar100", root=str(tmp_path))


def test_cifar10_jpeg_says_that_it_is_one(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (9, 9, 9)).save(buffer, "JPEG")
    stream = np.frombuffer(buffer.getvalue(), dtype=np.uint8)
    arrays = {"classes": np.array(["a", "b"])}
    for part in ("train", "test"):
        arrays |= {f"{part}_jpeg": stream, f"{part}_offsets": np.array([0, len(stream)]), f"{part}_labels": [1]}
    np.savez(tmp_path / "cifar10_jpeg.npz", **arrays)
    source = read(DataSettings(name="cifar10_jpeg", root=str(tmp_path)))
    assert source.parts["test"][0].shape == (1, 3, 32, 32)
    assert source.classes == ("a", "b")
    assert "JPEG" in source.note
    np.savez(tmp_path / "cifar10_jpeg.npz", **arrays | {"test_labels": np.array([2])})
    assert "test_labels]: labels must lie in 0..1, got 2" in refused(name="cifar10_jpeg", root=str(tmp_path))


def test_an_archive_of_the_user_may_bring_its_splits(tmp_path, monkeypatch):
    x, y = np.arange(12, dtype=np.uint8).reshape(4, 1, 3), np.array([0, 1, 1, 0])
    np.savez(tmp_path / "own.npz", x=x, y=y, split=["test", "train", "valid", "train"])
    monkeypatch.setenv("NASDROP_DATA", str(tmp_path))
    source = read(DataSettings(name="npz", file="own.npz"))
    assert {name: part[0][:, 0, 0].tolist() for name, part in source.parts.items()} == {
        "train": [3, 9],
        "valid": [6],
        "test": [0],
    }
    np.savez(tmp_path / "own.npz", x=x, y=y, split=["test"] * 4)
    assert "must leave samples to train on" in refused(name="npz", file="own.npz")


def test_names_and_files_that_do_not_fit_are_one_line():
    assert refused(name="digts") == "data.name: must be a data set, got 'digts'; did you mean 'digits'?"
    assert "must name the .npz file" in refused(name="npz")
    assert "data.file: is read for data.name = 'npz' and 'csv' only" in refused(name="digits", file="x.npz")
    assert "are for pictures, data.name = 'folder' or 'csv', got 32, 0 for 'digits'" in refused(name="digits", size=32)
    for name in SOURCES.keys() - {"digits", "fashion_mnist"}:
        assert "/nowhere" in refused(name=name, root="/nowhere", file=f"x.{name}" if name in ("npz", "csv") else "")
