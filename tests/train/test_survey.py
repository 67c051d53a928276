import numpy as np
import pytest
import torch

from nasdrop.train import Dataset, Images
from nasdrop.train.survey import class_counts, mirrors, uneven


def data_of(means, shape, count=60):
    """Noise around a mean image a class."""
    dice = np.random.default_rng(0)
    labels = torch.arange(count) % len(means)
    pixels = torch.from_numpy(np.stack(means).astype(np.float32))[labels]
    pixels = (pixels + torch.from_numpy(dice.normal(0, 20, (count, *shape)))).clip(0, 255).to(torch.uint8)
    images = Images(pixels, labels)
    names = tuple(map(str, range(len(means))))
    return Dataset(
        "own", images[: count // 2], images[count // 2 :], images[:0], names, (100.0,) * shape[0], (50.0,) * shape[0]
    )


def side(left, right, shape=(1, 12, 12)):
    image = np.full(shape, float(right))
    image[..., : shape[-1] // 2] = left
    return image


def test_arrows_are_not_mirrored_and_heights_are():
    assert not mirrors(data_of([side(200, 50), side(50, 200)], (1, 12, 12)))
    up, down = (side(*pair).transpose(0, 2, 1) for pair in ((200, 50), (50, 200)))
    assert mirrors(data_of([up, down], (1, 12, 12)))


def test_where_nothing_can_be_told_nothing_is_mirrored(digits):
    assert not mirrors(data_of([side(100, 100)] * 4, (1, 12, 12)))  # classes that no mean tells apart
    assert not mirrors(digits)
    up, down = (np.full((1, 12), 50.0), np.full((1, 12), 200.0))
    assert not mirrors(data_of([up, down], (1, 12)))  # a signal has no left


@pytest.mark.parametrize(("counts", "expected"), [([10, 15], False), ([10, 16], True), ([5, 0], True), ([7], False)])
def test_uneven_classes(counts, expected):
    assert uneven(counts) == expected


def test_counts(digits):
    assert sum(class_counts(digits.test, 10)) == 360
    assert class_counts(digits.test[:0], 10) == [0] * 10
