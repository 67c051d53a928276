"""Which images train what: the halves do not meet, and an epoch can be entered in its middle."""

import pytest
import torch

from nasdrop.errors import DataError
from nasdrop.searchers.gradient.batches import Halves


def keys(images):
    return {tuple(image.flatten().tolist()) for image in images.pixels}


def test_the_halves_do_not_meet(make_data, make_experiment):
    data = make_data()
    halves = Halves(data, make_experiment().search, seed=0)
    assert len(halves.data.train) == len(halves.alphas) == 32
    assert not keys(halves.data.train) & keys(halves.alphas)
    other = Halves(data, make_experiment().search, seed=1)
    assert keys(other.alphas) == keys(halves.alphas)  # the halves are a part of the data, not of a run


def test_without_a_share_the_validation_split_trains_the_alphas(make_data, make_experiment):
    data = make_data()
    halves = Halves(data, make_experiment(alpha_fraction=0.0).search, seed=0)
    assert len(halves.data.train) == len(data.train) and halves.alphas is data.valid


def test_too_few_images_are_refused(make_data, make_experiment):
    with pytest.raises(DataError, match="train the alphas must be at least one batch of 64, got 32"):
        Halves(make_data(128), make_experiment(batch_size=64, alpha_fraction=0.25).search, seed=0)


@pytest.mark.parametrize("name", ["batches", "alpha_batches"])
def test_an_epoch_is_entered_in_its_middle(name, make_data, make_experiment):
    halves = Halves(make_data(), make_experiment(crop_padding=1, flip=True, cutout=2, batch_size=8).search, seed=3)
    take = getattr(halves, name)
    whole = [next_of for next_of, _ in zip(take(1), range(4), strict=False)]
    for (images, labels), (again, expected) in zip(take(1, 2), whole[2:], strict=False):
        assert torch.equal(images, again) and torch.equal(labels, expected)


def test_few_alpha_images_are_gone_through_again_in_another_order(make_data, make_experiment):
    halves = Halves(make_data(), make_experiment(alpha_fraction=0.25).search, seed=0)
    assert halves.steps == 3 and len(halves.alphas) == 16
    batches = [images for (images, _), _ in zip(halves.alpha_batches(0), range(3), strict=False)]
    assert len(batches) == 3 and not torch.equal(batches[0], batches[1])
    assert torch.equal(batches[0].flatten(1).sum(1).sort()[0], batches[1].flatten(1).sum(1).sort()[0])
