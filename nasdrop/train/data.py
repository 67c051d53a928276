"""Data sets in memory: pixels as they are stored, fixed stratified splits, statistics of the training split alone.

Shapes: N images, C channels, spatial axes (L), (H, W) or (D, H, W).
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from nasdrop.errors import DataError
from nasdrop.settings import DataSettings
from nasdrop.train.readers import Labels
from nasdrop.train.sources import read

TEST_FRACTION = 0.2  # of a data set that comes without a test split: 360 (rounded up) of the 1,797 digits
SPLIT_SEED = (
    0  # splits are a part of the data set, not of a run: every seed of a run trains and scores on the same ones
)
_CHUNK = 4096  # images at a time while statistics are computed in fp64


@dataclass(frozen=True)
class Images:
    """Labelled images.

    Attributes:
        pixels: (N, C, *spatial), uint8; float32 where a user's archive holds other numbers than bytes.
        labels: (N,), int64.
    """

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> "Images":
        """The same images on a device."""
        return Images(self.pixels.to(device), self.labels.to(device))

    def __getitem__(self, index: Tensor | slice) -> "Images":
        return Images(self.pixels[index], self.labels[index])


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
    train: Images
    valid: Images
    test: Images
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
        return tuple(self.train.pixels.shape[1:])

    def to(self, device: torch.device | str) -> "Dataset":
        """The same data on a device, all of it."""
        return replace(self, train=self.train.to(device), valid=self.valid.to(device), test=self.test.to(device))

    def merged(self) -> "Dataset":
        """Train and valid as one training split, with its own statistics; valid is empty."""
        train = Images(
            torch.cat([self.train.pixels, self.valid.pixels]), torch.cat([self.train.labels, self.valid.labels])
        )
        mean, std = statistics(train.pixels)
        return replace(self, train=train, valid=self.valid[:0], mean=mean, std=std)

    def limited(self, count: int, *, seed: int = SPLIT_SEED) -> "Dataset":
        """A stratified sample of `count` training images with its own statistics; 0 or a large count: all."""
        if count == 0 or count >= len(self.train):
            return self
        chosen = np.sort(stratified_order(self.train.labels.cpu().numpy(), seed)[:count])
        train = self.train[torch.from_numpy(chosen).to(self.train.labels.device)]
        mean, std = statistics(train.pixels)
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
    parts = {
        name: Images(torch.from_numpy(pixels), torch.from_numpy(labels))
        for name, (pixels, labels) in source.parts.items()
    }
    train = parts["train"]
    if "test" not in parts:
        parts["test"], train = split(train, TEST_FRACTION, seed)
    if "valid" not in parts:
        parts["valid"], train = split(train, settings.valid_fraction, seed)
    if min(len(train), len(parts["valid"]), len(parts["test"])) == 0:
        sizes = f"{len(train)} for training, {len(parts['valid'])} for validation, {len(parts['test'])} for test"
        raise DataError(f"data: every split must have images, got {sizes}")
    mean, std = statistics(train.pixels)
    return Dataset(settings.name, train, parts["valid"], parts["test"], source.classes, mean, std, source.note)


def split(images: Images, fraction: float, seed: int) -> tuple[Images, Images]:
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


def stratified_order(labels: Labels, seed: int) -> Labels:
    """A shuffled order of which every beginning holds the classes in proportion, to within one image a class.

    Within its class, the image of rank r among n takes the place (r + 1/2) / n; sorting by place interleaves the
    classes. The shuffle sorts the raw output of PCG64, whose stream NumPy promises to keep in all versions.
    """
    keys = np.random.PCG64(seed).random_raw(len(labels))
    shuffled = np.argsort(keys, kind="stable")
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels)
    ends = np.cumsum(counts)
    place = np.empty(len(labels))
    for start, end in pairwise([0, *ends]):
        if end > start:
            place[by_class[start:end]] = (np.arange(end - start) + 0.5) / (end - start)
    return shuffled[np.argsort(place[shuffled], kind="stable")]


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
