"""Data sets: pixels as they are stored, fixed stratified splits, statistics of the training split alone.

Shapes: N images, C channels, spatial axes (L), (H, W) or (D, H, W).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from nasdrop.errors import DataError
from nasdrop.files import digest
from nasdrop.settings import DataSettings
from nasdrop.train.images import AnyImages, Images, StoredImages, in_memory, joined
from nasdrop.train.listings import Listing, refuse
from nasdrop.train.order import stratified_order
from nasdrop.train.sizes import look, streams
from nasdrop.train.sources import Part, read

__all__ = ["AnyImages", "Dataset", "Images", "StoredImages", "load", "split", "statistics", "stratified_order"]

TEST_FRACTION = 0.2  # of a data set that comes without a test split: 360 (rounded up) of the 1,797 digits
SPLIT_SEED = (
    0  # splits are a part of the data set, not of a run: every seed of a run trains and scores on the same ones
)
_CHUNK = 4096  # images at a time while statistics are computed in fp64
_SAMPLE = 1024  # images on disk that statistics are taken from, in proportion of the classes


@dataclass(frozen=True)
class Dataset:
    """A data set in its three splits.

    Attributes:
        name: as in the settings.
        train: what weights are trained on.
        valid: what a search scores on; empty after `merged`.
        test: what is scored once, at the end.
        classes: names of the labels.
        mean: of `train`, a value a channel, in the units of the stored pixels (0..255 for bytes).
        std: likewise; 1 for a channel that is constant.
        note: what a reader of the figures must know.
    """

    name: str
    train: AnyImages
    valid: AnyImages
    test: AnyImages
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    note: str = ""

    @property
    def num_classes(self) -> int:
        """How many labels there are."""
        return len(self.classes)

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, *spatial) of one image."""
        return self.train.shape

    @property
    def fingerprint(self) -> str:
        """Tells these images from others of the same name: labels of all splits, classes, shape and statistics."""
        moments = [f"{value:.5g}" for value in (*self.mean, *self.std)]
        labels = b"".join(part.labels.cpu().numpy().tobytes() for part in (self.train, self.valid, self.test))
        return digest(repr((self.shape, self.classes, moments)).encode() + labels)[:16]

    def to(self, device: torch.device | str) -> "Dataset":
        """The same data on a device, all of it."""
        return replace(self, train=self.train.to(device), valid=self.valid.to(device), test=self.test.to(device))

    def merged(self) -> "Dataset":
        """Train and valid as one training split, with its own statistics; valid is empty."""
        train = joined(self.train, self.valid)
        mean, std = normalisation(train)
        return replace(self, train=train, valid=self.valid[:0], mean=mean, std=std)

    def limited(self, count: int, *, seed: int = SPLIT_SEED) -> "Dataset":
        """A stratified sample of `count` training images with its own statistics; 0 or a large count: all."""
        if count == 0 or count >= len(self.train):
            return self
        train = sample(self.train, count, seed)
        mean, std = normalisation(train)
        return replace(self, train=train, mean=mean, std=std)


def load(settings: DataSettings, seed: int = SPLIT_SEED) -> Dataset:
    """Read a data set and split it.

    `settings.train_limit` is not applied here, since training for good uses all images: call `Dataset.limited`.

    Args:
        settings: which data set, where, and which share of the training images becomes `valid`.
        seed: of the splits. It is not the seed of a run: leave it alone, and all runs see the same splits.

    Raises:
        DataError: a file is missing, damaged or of another shape, or a split would be empty.
    """
    source = read(settings)
    parts, note = _images(source.parts, source.listing, settings)
    train = parts["train"]
    if "test" not in parts:
        parts["test"], train = split(train, TEST_FRACTION, seed)
    if "valid" not in parts:
        parts["valid"], train = split(train, settings.valid_fraction, seed)
    if min(len(train), len(parts["valid"]), len(parts["test"])) == 0:
        sizes = f"{len(train)} for training, {len(parts['valid'])} for validation, {len(parts['test'])} for test"
        raise DataError(f"data: every split must have images, got {sizes}")
    mean, std = normalisation(train)
    note = "; ".join(filter(None, (source.note, note)))
    return Dataset(settings.name, train, parts["valid"], parts["test"], source.classes, mean, std, note)


def _images(
    parts: Mapping[str, Part], listing: Listing | None, settings: DataSettings
) -> tuple[dict[str, AnyImages], str]:
    """The images of each part, and what was done to them; `parts` are rows of the listing, where there is one."""
    arrays = {name: (torch.from_numpy(first), torch.from_numpy(labels)) for name, (first, labels) in parts.items()}
    if listing is None:
        return {name: Images(pixels, labels) for name, (pixels, labels) in arrays.items()}, ""
    found = look(listing)
    shape = found.shape(settings)
    stored = {
        name: StoredImages(listing, rows, labels, shape, settings.loader_workers)
        for name, (rows, labels) in arrays.items()
    }
    note = f"pictures of {found.describe()} pixels, brought to {shape[2]} x {shape[1]} in {shape[0]} channels"
    if streams(settings, len(listing.names), shape):
        refuse(found.faults)
        return dict(stored), f"{note}; read from disk by {settings.loader_workers} workers while training"
    return dict(in_memory(stored)), note


def split(images: AnyImages, fraction: float, seed: int) -> tuple[AnyImages, AnyImages]:
    """A stratified part of the images, and the rest; both in the order of the file.

    Args:
        images: what to split.
        fraction: share of the first part, in (0, 1), rounded up to whole images.
        seed: which ones.
    """
    order = stratified_order(images.labels.cpu().numpy(), seed)
    count = int(np.ceil(fraction * len(order) - 1e-9))
    first, rest = (torch.from_numpy(np.sort(part)) for part in (order[:count], order[count:]))
    return images[first], images[rest]


def sample(images: AnyImages, count: int, seed: int = SPLIT_SEED) -> AnyImages:
    """A stratified sample, in the order of the file; all of them where there are no more."""
    chosen = np.sort(stratified_order(images.labels.cpu().numpy(), seed)[:count])
    return images[torch.from_numpy(chosen).to(images.labels.device)]


def normalisation(images: AnyImages) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation a channel; of a stratified sample where the images are on disk."""
    if isinstance(images, Images):
        return statistics(images.pixels)
    taken = sample(images, _SAMPLE)
    assert isinstance(taken, StoredImages)  # noqa: S101 - a part of what was given
    return statistics(in_memory({"": taken})[""].pixels)


def statistics(pixels: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation a channel of pixels (N, C, *spatial), in fp64, in the units of the pixels."""
    axes = [axis for axis in range(pixels.dim()) if axis != 1]
    count = pixels.numel() / pixels.shape[1]
    chunks = [pixels[start : start + _CHUNK] for start in range(0, len(pixels), _CHUNK)]
    mean = torch.stack([chunk.double().sum(axes) for chunk in chunks]).sum(0) / count
    centre = mean.view(1, -1, *[1] * (pixels.dim() - 2))
    variance = torch.stack([(chunk.double() - centre).square().sum(axes) for chunk in chunks]).sum(0) / count
    std = torch.where(variance > 0, variance.sqrt(), 1.0)
    return tuple(mean.tolist()), tuple(std.tolist())
