import io
import zipfile

import numpy as np
import pytest

from nasdrop.errors import DataError
from nasdrop.train.archives import UserArchive, read_npz

X = np.arange(4 * 2 * 3 * 3, dtype=np.uint8).reshape(4, 2, 3, 3)
Y = np.array([0, 1, 0, 1])


@pytest.fixture
def archive(tmp_path):
    """Writes an archive and reads it as a user's data set."""

    def write_and_read(**arrays):
        np.savez(tmp_path / "own.npz", **arrays)
        return UserArchive(tmp_path / "own.npz")

    return write_and_read


def refused(call, *arguments, **options):
    with pytest.raises(DataError) as caught:
        call(*arguments, **options)
    (line,) = caught.value.lines
    assert "\n" not in line
    assert ".npz" in line
    return line


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_only_the_wanted_arrays_are_read(tmp_path, save):
    path = tmp_path / "a.npz"
    save(path, x=X, big=Y.astype(">i4"), other=Y)
    read = read_npz(path, {"x", "big", "missing"})
    assert set(read) == {"x", "big"}
    assert np.array_equal(read["x"], X)
    assert read["big"].dtype.isnative
    assert read["big"].tolist() == Y.tolist()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_cut_anywhere_is_refused(tmp_path, save):
    path = tmp_path / "a.npz"
    save(path, x=X)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        refused(read_npz, path, {"x"})


def test_a_flipped_byte_anywhere_is_refused_or_harmless(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=X)
    content = path.read_bytes()
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :])
        try:
            read = read_npz(path, {"x"})
        except DataError as error:
            assert len(error.lines) == 1
            continue
        assert not read or np.array_equal(read["x"], X)  # a name, a date or an attribute of the archive


def test_pickles_are_never_loaded(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object))
    assert "Python objects, which are never unpickled" in refused(read_npz, path, {"x"})


def write_member(path, header, content=b"", compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, header)
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("x.npy", buffer.getvalue() + content)


def test_absurd_headers_are_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "a.npz"
    write_member(path, {"shape": (10**6, 10**6), "fortran_order": False, "descr": "|u1"}, b"abc")
    assert "must hold 1000000000000 bytes for its shape (1000000, 1000000), got 3" in refused(read_npz, path, {"x"})
    path.write_bytes(path.read_bytes().replace(b"\x93NUMPY\x01", b"\x93NUMPY\x09"))
    refused(read_npz, path, {"x"})


def test_later_versions_of_the_format_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x.npy", b"\x93NUMPY\x03\x00" + bytes(100))
    assert "must be of .npy version 1.0 or 2.0, got (3, 0)" in refused(read_npz, path, {"x"})


def test_fortran_order_is_read_as_it_is_meant(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.asfortranarray(X))
    assert np.array_equal(read_npz(path, {"x"})["x"], X)


# ---- the user's own ----


@pytest.mark.parametrize("shape", [(4, 2, 7), (4, 2, 3, 3), (4, 1, 2, 3, 4)])
def test_signals_images_and_volumes_are_read(archive, shape):
    x = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    own = archive(x=x, y=Y)
    assert own.pixels.dtype == np.uint8
    assert np.array_equal(own.pixels, x)
    assert own.labels.tolist() == [0, 1, 0, 1]
    assert own.labels.dtype == np.int64
    assert own.parts.tolist() == [0, 0, 0, 0]
    assert own.classes == ("0", "1")


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "int16", "int64", "uint16"])
def test_other_numbers_than_bytes_become_float32(archive, kind):
    own = archive(x=X.astype(kind), y=Y)
    assert own.pixels.dtype == np.float32
    assert np.array_equal(own.pixels, X)


@pytest.mark.parametrize(
    "split", [["train", "test", "valid", "train"], [0, 2, 1, 0], [b"train", b"test", b"valid", b"train"]]
)
def test_the_split_is_words_or_numbers(archive, split):
    assert archive(x=X, y=Y, split=np.array(split)).parts.tolist() == [0, 2, 1, 0]


def test_parts_may_be_arrays_of_their_own(archive):
    own = archive(x_test=X[3:], y_test=Y[3:], x_train=X[:3], y_train=Y[:3], classes=np.array(["a", "b"]))
    assert np.array_equal(own.pixels, X)
    assert own.parts.tolist() == [0, 0, 0, 2]
    assert own.classes == ("a", "b")


def test_named_classes_need_not_all_occur(archive):
    assert archive(x=X, y=np.array([0, 2, 0, 2]), classes=np.array(["a", "b", "c"])).classes == ("a", "b", "c")


def with_value(value):
    x = X.astype(np.float64)
    x[1, 0, 2, 1] = value
    return x


@pytest.mark.parametrize(
    ("arrays", "line"),
    [
        ({"x": X}, "missing: y"),
        ({"pixels": X, "labels": Y}, "missing: x, y"),
        ({"x_train": X}, "missing: y_train"),
        ({"x_train": X, "y_train": Y, "x_test": X[..., :2], "y_test": Y}, "all parts must be of one shape and type"),
        ({"x": X[:, 0, 0], "y": Y}, "got shape (4, 3)"),
        ({"x": X[:0], "y": Y[:0]}, "got shape (0, 2, 3, 3)"),
        ({"x": np.zeros((4, 28, 28, 3), np.uint8), "y": Y}, "channels must be axis 1, got shape (4, 28, 28, 3)"),
        ({"x": X > 3, "y": Y}, "must be numbers (uint8 or float), got bool"),
        ({"x": X.astype(complex), "y": Y}, "got complex128"),
        ({"x": X.astype(str), "y": Y}, "must be numbers"),
        ({"x": with_value(np.nan), "y": Y}, "must be finite in float32, got nan at index (1, 0, 2, 1)"),
        ({"x": with_value(-np.inf), "y": Y}, "got -inf at index (1, 0, 2, 1)"),
        ({"x": with_value(1e300), "y": Y}, "got 1e+300 at index (1, 0, 2, 1)"),
        ({"x": X, "y": Y[:3]}, "one label a sample, shape (4,), got shape (3,)"),
        ({"x": X, "y": Y[:, None]}, "got shape (4, 1)"),
        ({"x": X, "y": Y.astype(float)}, "must be whole numbers, got float64"),
        ({"x": X, "y": Y - 1}, "got -1 at index 0"),
        ({"x": X, "y": Y + 1}, "without gaps where no `classes` names them, got 2 different ones from 1 to 2"),
        ({"x": X, "y": Y * 10**9}, "from 0 to 1000000000"),
        ({"x": X, "y": Y, "classes": np.array(["a"])}, "labels must lie in 0..0, got 1 at index 1"),
        ({"x": X, "y": Y, "classes": np.array([1.5, 2.5])}, "must be a list of names, got float64"),
        ({"x": X, "y": Y, "split": np.array([0, 1, 2])}, "one entry a sample"),
        ({"x": X, "y": Y, "split": np.array([0, 1, 2, 3])}, "labels must lie in 0..2, got 3"),
        ({"x": X, "y": Y, "split": np.array([0, 1, 2, 0.5])}, "got float64"),
        ({"x": X, "y": Y, "split": np.array(["train", "trian", "test", "test"])}, "got 'trian'; did you mean 'train'?"),
    ],
)
def test_what_a_user_may_get_wrong_is_one_line(archive, arrays, line):
    assert line in refused(archive, **arrays)


def test_text_of_characters_that_there_are_not_is_refused(tmp_path):
    words = np.array(["train", "test"])
    words.view(np.uint32)[0] = 0x110000
    np.savez(tmp_path / "x.npz", split=words)
    with pytest.raises(DataError, match="characters that there are not"):
        read_npz(tmp_path / "x.npz")
