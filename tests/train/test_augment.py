import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator
from torch._subclasses.fake_tensor import FakeTensorMode

from nasdrop.train.augment import crop, cutout, flip, normalise

SHAPES = [(7,), (5, 6), (3, 4, 5)]
SPATIAL = st.sampled_from(SHAPES)


def numbered(count, channels, spatial):
    """Every pixel differs from every other one, and none is zero."""
    size = count * channels * torch.Size(spatial).numel()
    return torch.arange(1, size + 1).view(count, channels, *spatial)


def generator(seed=0):
    return Generator().manual_seed(seed)


@settings(max_examples=30, deadline=None)
@given(SPATIAL, st.integers(1, 3), st.integers(0, 1000))
def test_a_crop_is_the_image_shifted_with_zeros_at_the_border(spatial, padding, seed):
    x = numbered(4, 2, spatial)
    y = crop(x, padding, generator(seed))
    padded = torch.nn.functional.pad(x, [padding] * 2 * len(spatial))
    for image, wide in zip(y, padded, strict=True):
        windows = [
            wide[(slice(None), *(slice(o, o + s) for o, s in zip(offset, spatial, strict=True)))]
            for offset in itertools.product(range(2 * padding + 1), repeat=len(spatial))
        ]
        assert any(torch.equal(image, window) for window in windows)


@pytest.mark.parametrize("spatial", SHAPES)
def test_all_offsets_of_a_crop_occur_equally_often_and_apart_for_each_sample(spatial):
    padding, count = 1, 4000
    x = torch.zeros(count, 1, *spatial, dtype=torch.uint8)
    centre = tuple(size // 2 for size in spatial)
    x[(slice(None), 0, *centre)] = 1
    places = crop(x, padding, generator()).nonzero()[:, 2:]
    assert len(places) == count
    shifts = places - torch.tensor(centre)
    assert shifts.abs().max() == padding
    _, found = torch.unique(shifts, dim=0, return_counts=True)
    kinds = 3 ** len(spatial)
    expected = count / kinds
    assert len(found) == kinds
    assert (found - expected).abs().max() < 5 * (expected * (1 - 1 / kinds)) ** 0.5


@settings(max_examples=30, deadline=None)
@given(SPATIAL, st.integers(0, 1000))
def test_a_flip_mirrors_the_last_axis_or_nothing(spatial, seed):
    x = numbered(6, 2, spatial)
    y = flip(x, generator(seed))
    for image, original in zip(y, x, strict=True):
        assert torch.equal(image, original) or torch.equal(image, original.flip(-1))


def test_half_of_the_samples_are_flipped():
    x = numbered(4000, 1, (2,))
    flipped = (flip(x, generator())[:, 0, 0] != x[:, 0, 0]).sum().item()
    assert abs(flipped - 2000) < 5 * 1000**0.5


@settings(max_examples=40, deadline=None)
@given(SPATIAL, st.integers(1, 9), st.integers(0, 1000))
def test_cutout_zeroes_one_cube_in_all_channels(spatial, side, seed):
    x = numbered(5, 2, spatial)
    y = cutout(x, side, generator(seed))
    holes = y == 0
    assert torch.equal(y[~holes], x[~holes])
    assert torch.equal(holes[:, 0], holes[:, 1])
    for hole in holes[:, 0]:
        at = hole.nonzero()
        low, high = at.min(0).values, at.max(0).values
        assert hole.sum() == (high - low + 1).prod()  # solid
        for axis, size in enumerate(spatial):
            length = (high - low + 1)[axis]
            assert length <= side
            assert length == side or low[axis] == 0 or high[axis] == size - 1  # cut by the border alone


def test_the_centre_of_cutout_is_uniform_over_the_image():
    x = torch.ones(5000, 1, 6)
    centres = (cutout(x, 1, generator()) == 0).nonzero()[:, 2]
    found = torch.bincount(centres, minlength=6)
    assert (found - 5000 / 6).abs().max() < 5 * (5000 / 6) ** 0.5


@pytest.mark.parametrize("function", [lambda x, g: crop(x, 2, g), flip, lambda x, g: cutout(x, 3, g)])
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_augmentation_repeats_with_its_seed_and_leaves_argument_and_type_alone(function, kind):
    x = numbered(3, 1, (5, 6)).to(kind)
    before = x.clone()
    first, second = function(x, generator(1)), function(x, generator(1))
    assert torch.equal(first, second)
    assert not torch.equal(first, function(x, generator(2)))
    assert torch.equal(x, before)
    assert first.dtype == kind
    assert first.shape == x.shape
    torch.manual_seed(0)
    default = function(x, None)
    torch.manual_seed(0)
    assert torch.equal(default, function(x, None))


def test_nothing_to_do_returns_the_argument_and_draws_nothing():
    x, dice = numbered(2, 1, (4,)), generator()
    state = dice.get_state()
    assert crop(x, 0, dice) is x
    assert cutout(x, 0, dice) is x
    assert torch.equal(dice.get_state(), state)


@pytest.mark.parametrize("spatial", SHAPES)
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_normalising_is_the_formula_a_channel(spatial, kind):
    x = torch.randint(0, 256, (4, 2, *spatial), generator=generator()).to(kind)
    before = x.clone()
    mean, std = torch.tensor([100.0, 50.0]), torch.tensor([30.0, 0.5])
    y = normalise(x, mean, std)
    assert y.dtype == torch.float32
    for channel in range(2):
        expected = (x[:, channel].double() - mean[channel].double()) / std[channel].double()
        assert torch.allclose(y[:, channel].double(), expected, rtol=1e-6)
    assert torch.equal(x, before)


def test_normalising_keeps_the_memory_format():
    x = torch.zeros(2, 3, 4, 5, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    assert normalise(x, torch.zeros(3), torch.ones(3)).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("spatial", SHAPES)
def test_nothing_waits_for_the_device(spatial):
    with FakeTensorMode():  # raises where a value would have to be read
        x = torch.empty(4, 2, *spatial, dtype=torch.uint8)
        y = cutout(normalise(flip(crop(x, 2)), torch.zeros(2), torch.ones(2)), 3)
    assert y.shape == (4, 2, *spatial)
