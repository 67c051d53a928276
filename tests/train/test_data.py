import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nasdrop.errors import DataError
from nasdrop.settings import DataSettings
from nasdrop.train.data import Images, load, split, statistics, stratified_order


def counts(images):
    return torch.bincount(images.labels, minlength=10)


def rows(images):
    return {image.numpy().tobytes() for image in images.pixels}


def test_digits_have_360_test_images_and_the_rest_is_split_by_the_fraction(digits):
    assert [len(part) for part in (digits.train, digits.valid, digits.test)] == [1077, 360, 360]
    assert len(load(DataSettings(valid_fraction=0.5)).train) == 718
    assert digits.shape == (1, 8, 8)
    assert digits.num_classes == 10


def test_the_test_split_depends_on_nothing(digits):
    other = load(DataSettings(valid_fraction=0.1))
    assert torch.equal(other.test.pixels, digits.test.pixels)
    # Written down once: a test split that moved would make old results worthless.
    assert hashlib.sha256(digits.test.pixels.numpy().tobytes()).hexdigest()[:16] == "c4a6437d004c678f"


def test_splits_are_disjoint_complete_and_stratified(digits):
    parts = (digits.train, digits.valid, digits.test)
    every = torch.cat([part.pixels for part in parts]).flatten(1)
    assert len(torch.unique(every, dim=0)) == 1797  # no two digits are equal, so no image is in two splits
    whole = sum(counts(part) for part in parts)
    for part in parts:
        expected = whole.double() * len(part) / 1797
        assert (counts(part) - expected).abs().max() <= 1.5


def test_loading_twice_gives_the_same_and_another_seed_another_split(digits):
    again, other = load(DataSettings()), load(DataSettings(), seed=1)
    assert torch.equal(again.valid.pixels, digits.valid.pixels)
    assert rows(other.valid) != rows(digits.valid)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=200), st.integers(0, 2**32 - 1))
def test_every_beginning_of_the_order_holds_the_classes_in_proportion(labels, seed):
    labels = np.array(labels)
    order = stratified_order(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    shares = np.bincount(labels, minlength=6) / len(labels)
    for length in range(1, len(labels) + 1):
        found = np.bincount(labels[order[:length]], minlength=6)
        assert np.abs(found - shares * length).max() <= 1 + shares.max() * 6


def test_the_order_is_random_within_a_class_and_fixed_by_its_seed():
    labels = np.zeros(1000, dtype=np.int64)
    order = stratified_order(labels, 3)
    assert np.array_equal(order, stratified_order(labels, 3))
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 5 / np.sqrt(1000)


@given(st.integers(2, 300), st.floats(0.01, 0.99))
def test_a_split_rounds_up_and_loses_nothing(count, fraction):
    images = Images(torch.arange(count).view(-1, 1, 1), torch.arange(count) % 3)
    first, rest = split(images, fraction, 0)
    assert len(first) == int(np.ceil(fraction * count - 1e-9))
    assert sorted(torch.cat([first.pixels, rest.pixels]).flatten().tolist()) == list(range(count))


def test_statistics_are_those_of_the_training_split_a_channel():
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (50, 3, 4, 5)).astype(np.uint8))
    pixels[:, 2] = 7
    mean, std = statistics(pixels)
    expected = pixels.numpy().astype(float)
    assert np.allclose(mean, expected.mean((0, 2, 3)))
    assert np.allclose(std[:2], expected.std((0, 2, 3))[:2])
    assert std[2] == 1.0  # a constant channel must not divide by zero


def test_statistics_of_many_images_are_summed_in_pieces():
    pixels = torch.arange(10_000).view(-1, 1, 1).float()
    mean, std = statistics(pixels)
    assert mean == pytest.approx((4999.5,))
    assert std == pytest.approx((np.arange(10_000).std(),))


def test_the_data_set_carries_the_statistics_of_train_only(digits):
    assert digits.mean == pytest.approx((digits.train.pixels.double().mean().item(),))
    assert digits.std == pytest.approx((digits.train.pixels.double().std(correction=0).item(),))


def test_merging_joins_train_and_valid(digits):
    merged = digits.merged()
    assert len(merged.train) == 1437
    assert len(merged.valid) == 0
    assert merged.valid.pixels.shape == (0, 1, 8, 8)
    assert rows(merged.train) == rows(digits.train) | rows(digits.valid)
    assert merged.mean == pytest.approx((merged.train.pixels.double().mean().item(),))
    assert merged.test is digits.test


def test_limiting_keeps_a_stratified_part_of_train(digits):
    limited = digits.limited(100)
    assert len(limited.train) == 100
    assert rows(limited.train) <= rows(digits.train)
    assert (counts(limited.train) - 10).abs().max() <= 1
    assert limited.valid is digits.valid
    assert limited.mean != digits.mean
    assert digits.limited(0) is digits
    assert digits.limited(5000) is digits


def test_moving_keeps_the_types(digits):
    moved = digits.to("meta")
    for part in (moved.train, moved.valid, moved.test):
        assert part.pixels.device.type == part.labels.device.type == "meta"
        assert (part.pixels.dtype, part.labels.dtype) == (torch.uint8, torch.int64)


def test_splits_of_the_user_are_kept_and_empty_ones_refused(tmp_path):
    x, y = np.arange(10, dtype=np.float32).reshape(10, 1, 1), np.arange(10) % 2
    np.savez(tmp_path / "own.npz", x=x, y=y, split=[0] * 6 + [1] * 2 + [2] * 2)
    own = DataSettings(name="npz", root=str(tmp_path), file="own.npz")
    data = load(own)
    assert data.valid.pixels.flatten().tolist() == [6, 7]
    assert data.test.pixels.flatten().tolist() == [8, 9]
    assert data.train.pixels.dtype == torch.float32
    np.savez(tmp_path / "own.npz", x=x, y=y)
    assert [len(part) for part in (load(own).train, load(own).valid, load(own).test)] == [6, 2, 2]
    np.savez(tmp_path / "own.npz", x=x[:2], y=y[:2])
    with pytest.raises(DataError, match="every split must have images, got 0 for training"):
        load(own)
