"""What there is to know of a data set before training: whether its classes are even, whether mirroring is fit."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from nasdrop.train.data import Dataset, sample
from nasdrop.train.images import AnyImages

_MOST = 2000  # images of a split that are looked at
_SIDE = 8  # what they are shrunk to: coarse shapes tell left from right
_UNEVEN = 1.5  # times the smallest class


def class_counts(images: AnyImages, num_classes: int) -> list[int]:
    """Images of each class."""
    return [int(count) for count in torch.bincount(images.labels, minlength=num_classes)]


def uneven(counts: Sequence[int]) -> bool:
    """Whether classes differ so much in size that accuracy hides the small ones."""
    return max(counts) > _UNEVEN * max(1, min(counts))


def mirrors(data: Dataset) -> bool:
    """Whether a mirrored picture looks like one of its class.

    Asked of the nearest class mean, on coarse pictures: it has to know more than chance, and mirrored validation
    images hardly less well. Digits and letters fail this, photographs pass it. Signals and volumes are never mirrored.
    """
    if len(data.shape) != 3 or not len(data.valid):
        return False
    train, valid = (_coarse(part, data) for part in (data.train, data.valid))
    means = torch.stack([train[0][train[1] == label].mean(0) for label in range(data.num_classes)]).nan_to_num(1e9)
    plain, mirrored = (_nearest(images, valid[1], means) for images in (valid[0], valid[0].flip(-1)))
    return plain > 1.5 / data.num_classes and mirrored >= 0.95 * plain


def _coarse(images: AnyImages, data: Dataset) -> tuple[Tensor, Tensor]:
    """A sample of images, normalised and shrunk to a few pixels, and their labels."""
    taken = sample(images, _MOST)
    ((pixels, labels),) = taken.batches([slice(None)])
    shape = (1, -1, 1, 1)
    normal = (pixels.float() - torch.tensor(data.mean).view(shape)) / torch.tensor(data.std).view(shape)
    return functional.adaptive_avg_pool2d(normal, _SIDE), labels


def _nearest(images: Tensor, labels: Tensor, means: Tensor) -> float:
    """Share of images whose nearest mean is that of their class."""
    return float((torch.cdist(images.flatten(1), means.flatten(1)).argmin(1) == labels).float().mean())
